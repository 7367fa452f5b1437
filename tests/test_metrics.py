"""How good a model is on the holdout, and how sure one can be: on results that can be checked by eye."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import BadLabel
from alloop.metrics import (
    Results,
    accuracy,
    lift,
    macro_recall,
    read_results,
    results,
    should_promote,
    write_results,
)
from alloop.nouns import Content, Predictions, Sample, TrainingLabel


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def answers(right: Sequence[int], groups: Sequence[int] | None = None, ids: Sequence[str] | None = None) -> Results:
    """Results of two classes: truth 0 everywhere, and the model answers 0 where it is right."""
    n = len(right)
    return Results(
        ids=tuple(ids or map(str, range(n))),
        groups=np.array(range(n) if groups is None else groups, dtype=np.int64),
        truth=np.zeros(n, dtype=np.int64),
        predicted=np.array([0 if ok else 1 for ok in right], dtype=np.int64),
    )


def mixed(right: int, wrong: int) -> Results:
    return answers([1] * right + [0] * wrong)


def held(*classes: str, groups: Sequence[str | None] = ()) -> list[TrainingLabel]:
    known = [*groups, *[None] * len(classes)]
    return [
        TrainingLabel(Sample(f"id{n}", f"{n}.png", known[n]), Content(class_name=name))
        for n, name in enumerate(classes)
    ]


def says(*columns: int, classes: int = 2) -> Predictions:
    return Predictions(tuple(map(str, range(len(columns)))), np.eye(classes, dtype=np.float32)[list(columns)])


# Accuracy


def test_accuracy_is_the_share_of_right_answers_in_points() -> None:
    assert accuracy(mixed(3, 1), rng())[0] == 75.0


def test_its_interval_is_the_binomial_one_when_every_sample_is_its_own_group() -> None:
    points, low, high = accuracy(mixed(300, 100), rng())
    by_hand = 1.96 * 100 * math.sqrt(0.75 * 0.25 / 400)  # 4.24 points
    assert points - low == pytest.approx(by_hand, abs=0.4)
    assert high - points == pytest.approx(by_hand, abs=0.4)


@pytest.mark.parametrize(("right", "wrong", "expected"), [(300, 0, (100, 99, 100)), (0, 300, (0, 0, 1))])
def test_without_a_single_exception_the_rule_of_three_gives_the_doubt(
    right: int, wrong: int, expected: tuple[int, int, int]
) -> None:
    assert accuracy(mixed(right, wrong), rng()) == pytest.approx(expected)


def test_the_rule_of_three_counts_groups_and_not_frames() -> None:
    _, low, _ = accuracy(answers([1] * 300, groups=[n // 10 for n in range(300)]), rng())
    assert low == pytest.approx(90)


def test_two_samples_without_exception_leave_every_doubt() -> None:
    assert accuracy(mixed(2, 0), rng()) == pytest.approx((100, 0, 100))


def test_groups_are_drawn_as_a_whole() -> None:
    right = [1] * 50 + [0] * 50
    _, low, high = accuracy(answers(right), rng())
    _, low_in_two, high_in_two = accuracy(answers(right, groups=[0] * 50 + [1] * 50), rng())
    assert high - low < 22
    assert (low_in_two, high_in_two) == (0, 100)


def test_one_giant_group_makes_the_interval_wide() -> None:
    right = [1] * 90 + [0] * 100
    small = accuracy(answers(right), rng())
    giant = accuracy(answers(right, groups=[*range(90), *[90] * 100]), rng())
    assert giant[2] - giant[1] > 2 * (small[2] - small[1])


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 7))
def test_the_interval_always_holds_the_estimate_and_stays_within_0_and_100(right: list[bool], size: int) -> None:
    found = answers([int(ok) for ok in right], groups=np.unique(np.arange(len(right)) // size, return_inverse=True)[1])
    points, low, high = accuracy(found, rng())
    assert 0 <= low <= points + 1e-4
    assert points - 1e-4 <= high <= 100


def test_the_same_dice_give_the_same_interval() -> None:
    assert accuracy(mixed(30, 10), rng(4)) == accuracy(mixed(30, 10), rng(4))


def test_macro_recall_weighs_a_rare_class_like_a_common_one() -> None:
    truth, predicted = np.array([0] * 9 + [2]), np.array([0] * 9 + [0])
    found = Results(tuple(map(str, range(10))), np.arange(10), truth, predicted)
    assert macro_recall(found) == 0.5


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
    found = lift(Results(now.ids, before.groups, now.truth, now.predicted), before, rng(), seed_sd_points=0)
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


# Results per sample


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
    assert again.ids == found.ids
    for name in ("groups", "truth", "predicted"):
        assert getattr(again, name).tolist() == getattr(found, name).tolist()
        assert getattr(again, name).dtype == np.int64
    assert [file.name for file in path.parent.iterdir()] == ["v1.parquet"]
