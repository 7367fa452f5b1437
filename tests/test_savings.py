"""Savings on curves small enough to check by eye."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.savings import Curve, Estimate, Saving, estimate, height_difference, mean_curve, saving, verdict

N = (10, 20, 30, 40)
RANDOM = Curve(N, (0.5, 0.6, 0.7, 0.8))


# Curves


def test_a_curve_that_falls_is_levelled() -> None:
    assert Curve(N, (0.5, 0.7, 0.6, 0.8)).smooth.tolist() == pytest.approx([0.5, 0.65, 0.65, 0.8])


def test_a_quality_is_reached_between_two_cycles() -> None:
    assert RANDOM.reach(0.65) == pytest.approx(25)


def test_a_quality_of_the_start_costs_the_start() -> None:
    assert RANDOM.reach(0.4) == 10


def test_a_quality_never_reached_is_none() -> None:
    assert RANDOM.reach(0.81) is None


def test_a_plateau_is_reached_at_its_beginning() -> None:
    assert Curve(N, (0.5, 0.8, 0.8, 0.8)).reach(0.8) == pytest.approx(20)


def test_the_height_is_the_area_over_its_width() -> None:
    assert Curve((10, 20, 40), (0.0, 1.0, 1.0)).height == pytest.approx((5 + 20) / 30)


def test_the_mean_of_curves_is_taken_point_by_point() -> None:
    assert mean_curve([Curve(N, (0.0, 0.2, 0.4, 0.6)), RANDOM]).quality == pytest.approx((0.25, 0.4, 0.55, 0.7))


def test_curves_of_other_schedules_have_no_mean() -> None:
    with pytest.raises(ValueError, match="different n"):
        mean_curve([RANDOM, Curve((10, 20), (0.5, 0.6))])


# Savings


def test_half_the_labels_for_the_same_quality_save_a_half() -> None:
    found = saving({0: Curve(N, (0.5, 0.8, 0.9, 0.9))}, {0: RANDOM}, share=1.0)
    assert found == Saving((0.5,), (True,))


def test_the_target_is_what_the_reference_had_after_that_share() -> None:
    fast = Curve(N, (0.6, 0.7, 0.8, 0.9))
    assert saving({0: fast}, {0: RANDOM}, share=0.5).values == pytest.approx((0.5,))  # 0.6 at 10 instead of 20
    assert saving({0: fast}, {0: RANDOM}, share=0.75).values == pytest.approx((1 / 3,))  # 0.7 at 20 instead of 30


def test_a_seed_that_never_gets_there_counts_with_the_budget_and_is_marked() -> None:
    early = Curve(N, (0.5, 0.8, 0.8, 0.8))
    found = saving({0: Curve(N, (0.5, 0.5, 0.5, 0.7))}, {0: early}, share=1.0)
    assert found.values == pytest.approx((-1.0,))  # 40 labels and still not there, against 20
    assert found.reached == (False,)


def test_each_seed_is_compared_with_its_own_reference() -> None:
    slow = Curve(N, (0.1, 0.2, 0.3, 0.4))
    found = saving({0: RANDOM, 1: slow}, {0: RANDOM, 1: slow}, share=1.0)
    assert found.values == pytest.approx((0.0, 0.0))
    assert found.worst == 0.0


def test_the_interval_over_seeds_is_students() -> None:
    found = estimate([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found.mean == pytest.approx(0.3)
    doubt = 2.7764 * (0.025 / 5) ** 0.5
    assert found.interval == pytest.approx((0.3 - doubt, 0.3 + doubt), rel=1e-4)


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_few_seeds_have_no_interval(seeds: int) -> None:
    assert estimate([0.25] * seeds) == Estimate(0.25, None)


def test_nobody_saves_more_than_all_labels() -> None:
    values = (0.99, 0.2, 0.95, 0.97, 0.98)
    mean, interval = estimate(values).mean, estimate(values).interval
    assert interval is not None
    assert interval[1] > 1
    assert Saving(values, (True,) * 5).mean == Estimate(mean, (interval[0], 1.0))


def test_the_height_difference_is_in_points() -> None:
    higher = Curve(N, tuple(quality + 0.02 for quality in RANDOM.quality))
    assert height_difference({0: higher, 1: higher}, {0: RANDOM, 1: RANDOM}).mean == pytest.approx(2.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_curve_saves_nothing_against_itself(qualities: list[float]) -> None:
    curve = Curve(tuple(range(1, len(qualities) + 1)), tuple(qualities))
    for share in (0.5, 0.75, 1.0):
        found = saving({0: curve}, {0: curve}, share=share)
        assert found.values == pytest.approx((0.0,))
        assert found.reached == (True,)


# The sentence


def judge(values: tuple[float, ...], *, dedup: tuple[float, ...], height: tuple[float, float]) -> str:
    reached = (True,) * len(values)
    return verdict(
        {"auto": Saving(values, reached)},
        {"auto": Saving(dedup, reached)},
        {"auto": Estimate(sum(height) / 2, height)},
        dataset="pets",
    )


def test_a_saving_beyond_doubt_is_stated() -> None:
    said = judge((0.5, 0.51, 0.52, 0.53, 0.54), dedup=(0.19, 0.2, 0.21, 0.22, 0.23), height=(1, 2))
    assert said.startswith("On pets 'auto' saved 52% [50%, 54%] of random's labels (worst seed 50%; 5 of 5 seeds")
    assert said.endswith("and 21% [19%, 23%] of those of de-duplicated random.")


def test_an_interval_around_nothing_is_no_saving() -> None:
    assert judge((-0.2, 0.1, 0.3, 0, 0), dedup=(0,) * 5, height=(-1, 1)).startswith("No reliable saving on pets")


def test_a_saving_against_random_alone_says_so() -> None:
    said = judge((0.5, 0.52, 0.54, 0.5, 0.5), dedup=(-0.1, 0.0, 0.2, 0, 0), height=(1, 2))
    assert "nothing reliable against de-duplicated random" in said


def test_a_curve_under_randoms_is_mentioned() -> None:
    said = judge((-0.2, 0.1, 0.3, 0, 0), dedup=(0,) * 5, height=(-2, -1))
    assert said.endswith("while its curve as a whole lies 1.5 points under random's.")


def test_one_seed_proves_nothing() -> None:
    assert judge((0.9,), dedup=(0.9,), height=(1, 2)).startswith("One seed shows nothing reliable on pets")


def test_two_seeds_are_too_few_for_an_interval() -> None:
    assert judge((0.3, 0.45), dedup=(0.2, 0.2), height=(1, 2)) == (
        "2 seeds are too few for an interval on pets: 'auto' saved 38% in the mean and 30% in the worst; run 5 or more, "
        "ten are better."
    )


def test_the_best_of_many_needs_a_wider_interval() -> None:
    values = (0.02, 0.2, 0.3, 0.15, 0.1)
    assert estimate(values).is_above_zero
    many = {f"s{number}": Saving(values, (True,) * 5) for number in range(12)}
    heights = {name: Estimate(0, (-1, 1)) for name in many}
    assert verdict(many, {}, heights, dataset="pets").startswith("No reliable saving on pets: the best of 12")
