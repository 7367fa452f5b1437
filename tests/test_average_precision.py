"""Mean average precision: by hand, against COCO's algorithm written out, and against ultralytics."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop import average_precision
from alloop.average_precision import DetectionResults, precision_of
from alloop.matching import Matching, match
from alloop.nouns import Box, Content, Detections, Sample, Task, TrainingLabel
from alloop.resampling import interval, lift
from tests.coco_by_the_book import Scene, evaluate

LABELS = ("cat", "dog", "owl")
PLACE = (0, 0, 10, 10)
ELSEWHERE = (50, 50, 60, 60)
Found = tuple[str, float, tuple[float, float, float, float]]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def frame(name: str, *boxes: Box, group: str | None = None) -> TrainingLabel:
    return TrainingLabel(Sample(name, f"{name}.png", group), Content(boxes=boxes))


def seen(*found: Found) -> Detections:
    scores = [[confidence if label == name else 0.0 for label in LABELS] for name, confidence, _ in found]
    return Detections(
        boxes=np.array([corners for _, _, corners in found], dtype=np.float32).reshape(-1, 4),
        class_scores=np.array(scores, dtype=np.float32).reshape(-1, len(LABELS)),
    )


def judged(*frames: tuple[TrainingLabel, Detections]) -> DetectionResults:
    return match([label for label, _ in frames], [found for _, found in frames], Matching(LABELS))


def cats(confidences: Sequence[float | None], groups: Sequence[str] | None = None) -> DetectionResults:
    """A cat in each frame, found where a confidence is given."""
    names = groups or [None] * len(confidences)
    return judged(
        *[
            (frame(f"{n:03}", Box("cat", *PLACE), group=group), seen(*[("cat", sure, PLACE)] if sure else []))
            for n, (sure, group) in enumerate(zip(confidences, names, strict=True))
        ]
    )


def map50(of: DetectionResults) -> float:
    return precision_of(of).map50


def scene(dice: np.random.Generator, images: int = 30) -> Scene:
    """Frames with up to four objects, most of them found more or less well, and false alarms."""
    truth, found = [], []
    for _ in range(images):
        corners = dice.uniform(0, 60, (dice.integers(0, 5), 2))
        boxes = np.concatenate([corners, corners + dice.uniform(15, 40, corners.shape)], axis=1)
        classes = dice.integers(3, size=len(boxes))
        again = dice.integers(len(boxes), size=2 * len(boxes)) if len(boxes) else np.empty(0, int)
        near = boxes[again] + dice.normal(0, 3, (len(again), 4))
        alarms = np.concatenate([dice.uniform(0, 40, (3, 2)), dice.uniform(50, 99, (3, 2))], axis=1)
        guesses = np.where(dice.random(len(again)) < 0.8, classes[again], dice.integers(3, size=len(again)))
        truth.append([(int(c), tuple(b)) for c, b in zip(classes, boxes.tolist(), strict=True)])
        seen_classes = [*guesses.tolist(), *dice.integers(3, size=3).tolist()]
        places = np.concatenate([near, alarms]).astype(np.float32).astype(float).tolist()
        sure = dice.random(len(places)).astype(np.float32).astype(float).tolist()
        found.append([(c, s, tuple(b)) for c, s, b in zip(seen_classes, sure, places, strict=True)])
    return Scene(truth, found)


def of_scene(drawn: Scene, names: Sequence[str] | None = None, *, most: int = 100) -> DetectionResults:
    held = [
        frame(name, *[Box(LABELS[c], *corners) for c, corners in boxes])
        for name, boxes in zip(names or [f"{n:03}" for n in range(len(drawn.truth))], drawn.truth, strict=True)
    ]
    found = [seen(*[(LABELS[c], sure, corners) for c, sure, corners in boxes]) for boxes in drawn.found]
    return match(held, found, Matching(LABELS, most=most))


# By hand


def test_precision_is_averaged_over_101_recalls() -> None:
    hit_miss_hit = seen(("cat", 0.9, PLACE), ("cat", 0.8, (80, 80, 90, 90)), ("cat", 0.7, ELSEWHERE))
    found = judged((frame("a", Box("cat", *PLACE), Box("cat", *ELSEWHERE)), hit_miss_hit))
    assert map50(found) == pytest.approx(100 * (51 * 1 + 50 * 2 / 3) / 101)


def test_a_perfect_model_scores_100_on_a_set_of_mostly_empty_frames() -> None:
    empty = [(frame(f"empty{n}"), seen()) for n in range(97)]
    full = [(frame(f"{n}", Box("cat", *PLACE)), seen(("cat", 0.4, PLACE))) for n in range(3)]
    assert map50(judged(*empty, *full)) == 100


def test_a_false_alarm_on_an_empty_frame_costs_as_much_as_it_is_sure() -> None:
    full = (frame("full", Box("cat", *PLACE)), seen(("cat", 0.6, PLACE)))
    surer, less_sure = ((frame("empty"), seen(("cat", sure, PLACE))) for sure in (0.9, 0.1))
    assert map50(judged(full, surer)) == pytest.approx(50)
    assert map50(judged(full, less_sure)) == 100


def test_a_model_that_finds_nothing_scores_0() -> None:
    assert map50(cats([None, None])) == 0


def test_a_box_that_overlaps_by_72_percent_counts_at_five_of_ten_overlaps() -> None:
    found = precision_of(judged((frame("a", Box("cat", *PLACE)), seen(("cat", 0.9, (0, 0, 10, 7.2))))))
    assert (found.map50, found.map50_95) == (100, 50)


def test_the_mean_is_over_the_classes_that_the_holdout_shows() -> None:
    boxes = Box("cat", *PLACE), Box("owl", *ELSEWHERE)
    found = precision_of(judged((frame("a", *boxes), seen(("cat", 0.9, PLACE), ("dog", 0.9, PLACE)))))
    assert found.by_class == {"cat": 100, "owl": 0}
    assert found.map50 == 50


def test_a_holdout_without_any_object_gives_0_and_every_doubt() -> None:
    found = judged((frame("a"), seen(("cat", 0.9, PLACE))), (frame("b"), seen()))
    assert precision_of(found) == average_precision.Precision(0, 0, {})
    assert interval(found, rng()) == (0, 0, 100)
    gained = lift(found, found, rng(), seed_sd_points=0)
    assert (gained.points, gained.low, gained.high) == (0, -100, 100)


# By the book


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [2, 100])
def test_every_class_and_overlap_is_as_coco_has_it(seed: int, most: int) -> None:
    drawn = scene(rng(seed))
    by_the_book = evaluate(drawn, classes=3, most=most)  # (10, 3)
    found = precision_of(of_scene(drawn, most=most))
    assert found.by_class == pytest.approx(dict(zip(LABELS, 100 * by_the_book[0], strict=True)))
    assert found.map50_95 == pytest.approx(100 * by_the_book.mean())
    assert 5 < found.map50_95 < 95


def test_it_is_close_to_what_ultralytics_reports(tmp_path: Path) -> None:
    of = of_scene(scene(rng(1), images=300))
    script = (
        "import json, sys, numpy as np\nfrom ultralytics.utils.metrics import ap_per_class\n"
        "a = [np.array(x) for x in json.load(sys.stdin)]\nprint(json.dumps(ap_per_class(*a)[5].tolist()))"
    )
    statistics = of.hits, of.confidence, of.class_index, np.repeat([0, 1, 2], of.targets.sum(axis=0))
    offline = {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "0",
        "ULTRALYTICS_SAFE_LOAD": "1",
        "YOLO_CONFIG_DIR": str(tmp_path),
        "YOLO_VERBOSE": "false",
    }
    answer = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([part.tolist() for part in statistics]),
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = 100 * np.array(json.loads(answer.stdout.splitlines()[-1]))  # (3, 10)
    ours = precision_of(of)
    # it joins the points of the curve by straight lines where COCO takes steps, and has as many points as objects: 200
    assert list(ours.by_class.values()) == pytest.approx(theirs[:, 0], abs=0.5)
    assert ours.map50_95 == pytest.approx(theirs.mean(), abs=0.5)


# What must not matter

# few places and few confidences, so that many boxes are equal and many are equally sure
spots = st.tuples(st.integers(0, 2), st.integers(0, 2)).map(lambda at: (at[0], at[1], at[0] + 3.0, at[1] + 3.0))
objects = st.lists(st.tuples(st.integers(0, 2), spots), max_size=4)
answers = st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.25, 0.5, 0.75]), spots), max_size=6)
scenes = st.lists(st.tuples(objects, answers), min_size=1, max_size=5).map(
    lambda frames: Scene([truth for truth, _ in frames], [found for _, found in frames])
)


@given(scenes, st.randoms(use_true_random=False))
def test_the_order_of_images_objects_and_detections_does_not_matter(drawn: Scene, dice: object) -> None:
    order = list(range(len(drawn.truth)))
    dice.shuffle(order)  # type: ignore[attr-defined]
    mixed = Scene(*[[dice.sample(part[n], len(part[n])) for n in order] for part in (drawn.truth, drawn.found)])  # type: ignore[attr-defined]
    mine, theirs = of_scene(drawn), of_scene(mixed, [f"{n:03}" for n in order])
    assert mine.ids == theirs.ids
    for name in ("groups", "targets", "image", "class_index", "confidence", "hits"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name))


@given(scenes)
def test_average_precision_lies_between_0_and_100(drawn: Scene) -> None:
    found = precision_of(of_scene(drawn))
    assert 0 <= found.map50_95 <= found.map50 + 1e-9 <= 100 + 1e-9


# Drawing samples again


@given(scenes)
def test_drawing_every_sample_once_gives_the_plain_value(drawn: Scene) -> None:
    found = of_scene(drawn)
    again = found.measure.resampled(np.arange(len(found.ids))[None])
    assert again[0] == (np.float32(found.measure.share) if drawn.has_objects else pytest.approx(np.nan, nan_ok=True))


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_that_is_drawn_twice_counts_like_two_samples(seed: int) -> None:
    dice = rng(seed)
    drawn = scene(dice, images=8)
    draws = dice.integers(8, size=(20, 8))
    again = of_scene(drawn).measure.resampled(draws)
    for row, found in zip(np.sort(draws), again, strict=True):
        copies = Scene([drawn.truth[n] for n in row], [drawn.found[n] for n in row])
        assert found == pytest.approx(of_scene(copies).measure.share, abs=1e-6)


def test_counting_in_small_blocks_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found, draws = of_scene(scene(rng())), rng().integers(30, size=(50, 30))
    at_once = found.measure.resampled(draws)
    monkeypatch.setattr(average_precision, "CELLS", 300)
    assert np.array_equal(found.measure.resampled(draws), at_once)


# Intervals and lift


def test_frames_of_one_clip_are_drawn_together() -> None:
    sure = [0.9] * 50 + [None] * 50
    alone, clips = interval(cats(sure), rng()), interval(cats(sure, ["x"] * 50 + ["y"] * 50), rng())
    assert alone[2] - alone[1] < 25
    assert clips[1:] == (0, 100)


def test_without_a_single_exception_the_rule_of_three_gives_the_doubt() -> None:
    assert interval(cats([0.9] * 100), rng()) == pytest.approx((100, 97, 100))
    assert interval(cats([None] * 100), rng()) == pytest.approx((0, 0, 3))


def test_the_rule_of_three_counts_clips_that_show_the_class() -> None:
    clips = [f"clip{n // 10}" for n in range(100)]
    assert interval(cats([0.9] * 100, clips), rng()) == pytest.approx((100, 70, 100))


def test_a_class_that_is_always_found_and_one_that_never_is_leave_doubt_too() -> None:
    frames = [
        (frame(f"{n}", Box("cat", *PLACE), Box("dog", *ELSEWHERE)), seen(("cat", 0.9, PLACE))) for n in range(100)
    ]
    assert interval(judged(*frames), rng()) == pytest.approx((50, 48.5, 51.5))


@given(scenes)
def test_the_interval_always_holds_the_estimate_and_stays_within_0_and_100(drawn: Scene) -> None:
    points, low, high = interval(of_scene(drawn), rng())
    assert 0 <= low <= points <= high <= 100


@given(scenes)
def test_a_model_has_no_lift_on_itself_and_no_doubt(drawn: Scene) -> None:
    found = of_scene(drawn)
    gained = lift(found, found, rng(), seed_sd_points=0)
    assert (gained.points, gained.low, gained.high) == ((0, 0, 0) if drawn.has_objects else (0, -100, 100))


def test_a_lift_is_paired_so_what_both_miss_is_no_noise() -> None:
    before, now = cats([0.9] * 100 + [None] * 100), cats([0.9] * 104 + [None] * 96)
    gained = lift(now, before, rng(), seed_sd_points=0)
    assert gained.points == pytest.approx(2, abs=0.6)
    assert gained.high - gained.low < 5  # each interval alone is 14 points wide
    assert gained.low >= 0


def test_training_noise_widens_a_lift() -> None:
    found = cats([0.9] * 20 + [None] * 20)
    gained = lift(found, found, rng(), seed_sd_points=1.0)
    assert gained.high - gained.low == pytest.approx(2 * 1.96 * np.sqrt(2), rel=0.15)


def test_results_of_different_holdouts_tasks_or_label_sets_are_never_compared() -> None:
    found = cats([0.9, None])
    with pytest.raises(ValueError, match="different holdouts"):
        lift(found, cats([0.9]), rng(), seed_sd_points=0)
    for other in (replace(found, task=Task.SEGMENT), replace(found, labels=("owl", "dog", "cat"))):
        with pytest.raises(ValueError, match="different tasks or label sets"):
            lift(found, other, rng(), seed_sd_points=0)
