"""How good a model is on the holdout, and how sure one can be: on results that can be checked by eye."""

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import BadLabel
from alloop.metrics import (
    METRIC_NAMES,
    ClassResults,
    DetectionResults,
    interval,
    judge,
    lift,
    macro_recall,
    only,
    read_results,
    results,
    should_promote,
    write_results,
)
from alloop.nouns import Box, Content, Detections, Predictions, Sample, Task, TrainingLabel


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def answers(
    right: Sequence[int], groups: Sequence[int] | None = None, ids: Sequence[str] | None = None
) -> ClassResults:
    """ClassResults of two classes: truth 0 everywhere, and the model answers 0 where it is right."""
    n = len(right)
    return ClassResults(
        ids=tuple(ids or map(str, range(n))),
        groups=np.array(range(n) if groups is None else groups, dtype=np.int64),
        truth=np.zeros(n, dtype=np.int64),
        predicted=np.array([0 if ok else 1 for ok in right], dtype=np.int64),
    )


def mixed(right: int, wrong: int) -> ClassResults:
    return answers([1] * right + [0] * wrong)


def held(*classes: str, groups: Sequence[str | None] = ()) -> list[TrainingLabel]:
    known = [*groups, *[None] * len(classes)]
    return [
        TrainingLabel(Sample(f"id{n}", f"{n}.png", known[n]), Content(class_name=name))
        for n, name in enumerate(classes)
    ]


def says(*columns: int, classes: int = 2) -> Predictions:
    return Predictions(tuple(map(str, range(len(columns)))), np.eye(classes, dtype=np.float32)[list(columns)])


def boxed(*confidences: float, task: Task = Task.DETECT) -> ClassResults | DetectionResults:
    """A cat in every sample, found in its half with the given confidence, and nothing found where that is 0."""
    cat = Content(boxes=(Box("cat", 0, 0, 10, 10, ((0, 0), (10, 0), (10, 10))),))
    held = [TrainingLabel(Sample(f"id{n}", f"{n}.png"), cat) for n in range(len(confidences))]
    found = tuple(
        Detections(
            boxes=np.array([[0, 0, 10, 10]] if sure else [], dtype=np.float32).reshape(-1, 4),
            class_scores=np.array([[sure, 0]] if sure else [], dtype=np.float32).reshape(-1, 2),
            polygons=(((0, 0), (0, 10), (10, 10)),) if sure else (),
        )
        for sure in confidences
    )
    best = np.array([[sure, 0] for sure in confidences], dtype=np.float32)
    ids = tuple(label.sample.id for label in held)
    return judge(held, Predictions(ids, best, detections=found), ("cat", "dog"), task=task)


# Accuracy


def test_accuracy_is_the_share_of_right_answers_in_points() -> None:
    assert interval(mixed(3, 1), rng())[0] == 75.0


def test_its_interval_is_the_binomial_one_when_every_sample_is_its_own_group() -> None:
    points, low, high = interval(mixed(300, 100), rng())
    by_hand = 1.96 * 100 * math.sqrt(0.75 * 0.25 / 400)  # 4.24 points
    assert points - low == pytest.approx(by_hand, abs=0.4)
    assert high - points == pytest.approx(by_hand, abs=0.4)


@pytest.mark.parametrize(("right", "wrong", "expected"), [(300, 0, (100, 99, 100)), (0, 300, (0, 0, 1))])
def test_without_a_single_exception_the_rule_of_three_gives_the_doubt(
    right: int, wrong: int, expected: tuple[int, int, int]
) -> None:
    assert interval(mixed(right, wrong), rng()) == pytest.approx(expected)


def test_the_rule_of_three_counts_groups_and_not_frames() -> None:
    _, low, _ = interval(answers([1] * 300, groups=[n // 10 for n in range(300)]), rng())
    assert low == pytest.approx(90)


def test_two_samples_without_exception_leave_every_doubt() -> None:
    assert interval(mixed(2, 0), rng()) == pytest.approx((100, 0, 100))


def test_groups_are_drawn_as_a_whole() -> None:
    right = [1] * 50 + [0] * 50
    _, low, high = interval(answers(right), rng())
    _, low_in_two, high_in_two = interval(answers(right, groups=[0] * 50 + [1] * 50), rng())
    assert high - low < 22
    assert (low_in_two, high_in_two) == (0, 100)


def test_one_giant_group_makes_the_interval_wide() -> None:
    right = [1] * 90 + [0] * 100
    small = interval(answers(right), rng())
    giant = interval(answers(right, groups=[*range(90), *[90] * 100]), rng())
    assert giant[2] - giant[1] > 2 * (small[2] - small[1])


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 7))
def test_the_interval_always_holds_the_estimate_and_stays_within_0_and_100(right: list[bool], size: int) -> None:
    found = answers([int(ok) for ok in right], groups=np.unique(np.arange(len(right)) // size, return_inverse=True)[1])
    points, low, high = interval(found, rng())
    assert 0 <= low <= points + 1e-4
    assert points - 1e-4 <= high <= 100


def test_the_same_dice_give_the_same_interval() -> None:
    assert interval(mixed(30, 10), rng(4)) == interval(mixed(30, 10), rng(4))


def test_macro_recall_weighs_a_rare_class_like_a_common_one() -> None:
    truth, predicted = np.array([0] * 9 + [2]), np.array([0] * 9 + [0])
    found = ClassResults(tuple(map(str, range(10))), np.arange(10), truth, predicted)
    assert macro_recall(found) == 0.5


def test_macro_recall_of_boxes_is_the_share_of_objects_that_are_found_at_all() -> None:
    assert macro_recall(boxed(0.9, 0, 0.01, 0)) == 0.5


def test_macro_recall_of_nothing_is_0() -> None:
    held = [TrainingLabel(Sample("a", "a.png"), Content())]
    nothing = Detections(np.empty((0, 4), np.float32), np.empty((0, 2), np.float32))
    found = Predictions(("a",), np.zeros((1, 2), np.float32), detections=(nothing,))
    assert macro_recall(judge(held, found, ("cat", "dog"), task=Task.DETECT)) == 0


# One face for every task


def test_every_task_is_judged_by_a_metric_with_a_name() -> None:
    assert METRIC_NAMES == {Task.CLASSIFY: "accuracy", Task.DETECT: "mAP50", Task.SEGMENT: "mask mAP50"}


def test_a_classifier_is_judged_by_its_answers() -> None:
    found = judge(held("cat", "dog"), says(0, 0), ("cat", "dog"), task=Task.CLASSIFY)
    assert found.metric == "accuracy"
    assert interval(found, rng())[0] == 50


def test_a_detector_is_judged_by_its_boxes_and_a_segmenter_by_its_masks() -> None:
    boxes, masks = boxed(0.9, 0.8), boxed(0.9, 0.8, task=Task.SEGMENT)
    assert (boxes.metric, interval(boxes, rng())[0]) == ("mAP50", 100)
    assert (masks.metric, interval(masks, rng())[0]) == ("mask mAP50", 0)  # they are the other half of each box


def test_the_lift_of_a_detector_is_taken_like_that_of_a_classifier() -> None:
    now, before = boxed(0.9, 0.8, 0.7, 0.6), boxed(0.9, 0.8, 0, 0)
    assert isinstance(now, DetectionResults)
    assert isinstance(before, DetectionResults)
    found = lift(now, before, rng(), seed_sd_points=0)
    assert found.points == pytest.approx(100 * 50 / 101)  # recall 0 to 0.5 are 51 of 101 points
    assert found.low <= found.points <= found.high


# Lift


def test_the_lift_of_one_in_a_hundred_is_exactly_one_point() -> None:
    before, now = mixed(90, 10), mixed(91, 9)
    assert lift(now, before, rng(), seed_sd_points=0).points == 1.0


def test_a_lift_is_paired_so_what_both_get_right_or_wrong_is_no_noise() -> None:
    before, now = mixed(500, 500), mixed(510, 490)
    found = lift(now, before, rng(), seed_sd_points=0)
    by_hand = 1.96 * 100 * math.sqrt(0.01 * 0.99 / 1000)  # 0.62 points; two unpaired accuracies would give 4.4
    assert found.points - found.low == pytest.approx(by_hand, abs=0.15)
    assert found.high - found.points == pytest.approx(by_hand, abs=0.15)


def test_two_models_of_one_mind_have_no_lift_and_no_doubt() -> None:
    found = lift(mixed(7, 3), mixed(7, 3), rng(), seed_sd_points=0)
    assert (found.points, found.low, found.high) == (0, 0, 0)


def test_training_noise_of_both_models_widens_the_interval() -> None:
    found = lift(mixed(70, 30), mixed(70, 30), rng(), seed_sd_points=1.0)
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(2), rel=0.08)
    assert found.points == 0


def test_a_lift_resamples_whole_groups() -> None:
    before, now = answers([0] * 100, groups=[0] * 50 + [1] * 50), answers([1] * 50 + [0] * 50)
    found = lift(ClassResults(now.ids, before.groups, now.truth, now.predicted), before, rng(), seed_sd_points=0)
    assert (found.points, found.low, found.high) == (50, 0, 100)


def test_results_of_different_holdouts_are_never_compared() -> None:
    with pytest.raises(ValueError, match="different holdouts"):
        lift(answers([1, 0], ids=["a", "b"]), answers([1, 0], ids=["a", "c"]), rng(), seed_sd_points=0)


# Promotion


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted"),
    [(80.0, None, True), (80.0, 79.0, True), (80.0, 80.0, True), (80.0, 80.5, True), (80.0, 80.6, False)],
)
def test_a_challenger_is_promoted_unless_it_is_worse_by_more_than_the_tolerance(
    challenger: float, champion: float | None, promoted: bool
) -> None:
    assert should_promote(challenger, champion, tolerance_points=0.5) is promoted


# ClassResults per sample


def test_results_say_for_each_sample_what_it_is_and_what_was_answered() -> None:
    found = results(held("cat", "dog", "dog"), says(0, 1, 0), ("cat", "dog"))
    assert found.ids == ("id0", "id1", "id2")
    assert found.truth.tolist() == [0, 1, 1]
    assert found.predicted.tolist() == [0, 1, 0]
    assert found.correct.tolist() == [1, 1, 0]


def test_frames_of_one_clip_are_one_group_and_samples_without_one_are_their_own() -> None:
    labels = held("cat", "cat", "cat", "cat", groups=["clip", None, "clip", None])
    found = results(labels, says(0, 0, 0, 0), ("cat", "dog")).groups.tolist()
    assert found[0] == found[2]
    assert len(set(found)) == 3


def test_a_group_that_is_named_like_a_sample_is_not_that_sample() -> None:
    labels = held("cat", "cat", groups=["id1", None])
    assert len(set(results(labels, says(0, 0), ("cat", "dog")).groups.tolist())) == 2


def test_a_class_outside_the_label_set_is_refused_with_its_name() -> None:
    with pytest.raises(BadLabel, match=r"0\.png is labelled 'bird', which is not in the label set cat, dog"):
        results(held("bird"), says(0), ("cat", "dog"))


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    found, path = answers([1, 0, 1], groups=[0, 0, 1]), tmp_path / "new" / "v1.parquet"
    write_results(found, path)
    again = read_results(path)
    assert isinstance(again, ClassResults)
    assert again.ids == found.ids
    for name in ("groups", "truth", "predicted"):
        assert getattr(again, name).tolist() == getattr(found, name).tolist()
        assert getattr(again, name).dtype == np.int64
    assert [file.name for file in path.parent.iterdir()] == ["v1.parquet"]


def test_results_are_on_the_disk_before_their_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_results(answers([1], groups=[0]), tmp_path / "v1.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("confidences", [(0.9, 0, 0.3), (0, 0)])
@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
def test_results_of_a_detector_come_back_from_their_file(
    tmp_path: Path, task: Task, confidences: tuple[float, ...]
) -> None:
    found, path = boxed(*confidences, task=task), tmp_path / "v1.parquet"
    write_results(found, path)
    again = read_results(path)
    assert isinstance(again, DetectionResults)
    assert isinstance(found, DetectionResults)
    assert (again.task, again.labels, again.ids) == (task, ("cat", "dog"), found.ids)
    for name in ("groups", "targets", "image", "class_index", "confidence", "hits"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
        assert getattr(again, name).dtype == getattr(found, name).dtype


# On some of the samples


def test_what_is_left_is_as_if_the_rest_had_never_been_measured() -> None:
    found = only(answers([1, 0, 1, 1], groups=[0, 0, 1, 2], ids="abcd"), ["a", "c", "d"])
    assert isinstance(found, ClassResults)
    assert (found.ids, found.groups.tolist(), found.correct.tolist()) == (("a", "c", "d"), [0, 1, 2], [1, 1, 1])


def test_groups_that_are_gone_are_not_drawn() -> None:
    found = only(answers([1, 0, 1], groups=[0, 1, 2], ids="abc"), "ac")
    assert found.groups.tolist() == [0, 1]
    assert interval(found, rng()) == interval(answers([1, 1]), rng())


def test_all_of_them_are_the_same_results() -> None:
    found = mixed(3, 1)
    assert only(found, found.ids) is found


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
@given(
    confidences=st.lists(st.sampled_from([0, 0.25, 0.5, 0.75]), min_size=2, max_size=8),
    dice=st.randoms(use_true_random=False),
)
def test_detections_in_what_is_left_stay_with_their_images(task: Task, confidences: list[float], dice: Random) -> None:
    kept = sorted(dice.sample(range(len(confidences)), k=dice.randint(1, len(confidences))))
    left = only(boxed(*confidences, task=task), {f"id{n}" for n in kept})
    alone = boxed(*[confidences[n] for n in kept], task=task)
    assert isinstance(left, DetectionResults)
    assert isinstance(alone, DetectionResults)
    assert left.ids == tuple(f"id{n}" for n in kept)
    for name in ("groups", "targets", "class_index", "confidence", "hits"):
        assert np.array_equal(getattr(left, name), getattr(alone, name))
    assert sorted(zip(left.image, left.confidence, strict=True)) == sorted(
        zip(alone.image, alone.confidence, strict=True)
    )
