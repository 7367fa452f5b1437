"""Forecasts: cases to check by hand, and what must hold for all of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.forecast import BOUND, Batch, Pace, PastBatch, Plan, Spell, forecast, labelling_pace, stage_range
from alloop.nouns import STEPS
from alloop.sla import Limits, budgets
from alloop.working_hours import parse_hours

START = datetime(2026, 11, 2, 8, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)
BUDGETS = budgets(Limits())  # 2, 1, 1, 36, 6, 1 and 1 hours
PUSHED = {step: Spell(START, START) for step in STEPS[:3]}
QUICK = {step: (0.0,) for step in STEPS if step != "wait_for_labels"}
"""Stages that take no time at all, so that what is left is labelling."""
TEAM = PastBatch(answers=101, hours=10, pickup_hours=2)
"""Ten an hour, after two hours."""


def hours(time: datetime) -> float:
    return (time - START) / HOUR


# The pace, by hand


def test_one_answer_at_a_rate_that_one_answer_told() -> None:
    """The time is a ratio of two exponentials: half of such ratios are below 1, nine tenths below 9."""
    pace = Pace(shape=1, per_hour=1)
    assert pace.hours_for(1, chance=0.5) == pytest.approx(1)
    assert pace.hours_for(1, chance=0.9) == pytest.approx(9)


def test_with_a_rate_that_is_well_known_ten_answers_take_ten_hours_and_a_bit() -> None:
    """Poisson: the tenth arrival is gamma(10), median 9.67, and below 14.2 nine times in ten."""
    pace = Pace(shape=1e9, per_hour=1)
    assert pace.hours_for(10, chance=0.5) == pytest.approx(9.669, abs=1e-3)
    assert pace.hours_for(10, chance=0.9) == pytest.approx(14.206, abs=1e-3)


def test_no_answers_take_no_time() -> None:
    assert Pace(shape=1, per_hour=1).hours_for(0, chance=0.9) == 0


@given(st.floats(1, 50), st.floats(0.1, 1000), st.integers(1, 5000))
def test_as_many_fit_as_take_so_long(shape: float, per_hour: float, answers: int) -> None:
    pace = Pace(shape, per_hour)
    needed = pace.hours_for(answers, chance=BOUND)
    assert abs(pace.answers_within(needed, chance=BOUND) - answers) <= 1
    assert pace.answers_within(needed * 0.999, chance=BOUND) <= answers


def test_bursts_of_five_are_as_uncertain_as_a_fifth_of_the_answers() -> None:
    alone, bursts = Pace(shape=8, per_hour=2), Pace(shape=8, per_hour=10, burst=5)
    assert bursts.hours_for(50, chance=0.9) == pytest.approx(alone.hours_for(10, chance=0.9))


def test_the_pace_is_that_of_earlier_batches_before_anything_is_seen() -> None:
    """Batches of a team are as alike as a shape of 16 says; two of them tell its mean as well as two thirds of that."""
    pace = labelling_pace(Batch(100), Plan(BUDGETS, batches=[TEAM, TEAM]), now=START)
    assert pace.per_hour == pytest.approx(10)
    assert pace.shape == pytest.approx(16 * 2 / 3)
    assert pace.burst == 1 + 10 / 2  # two bursts an hour


def test_what_is_seen_since_the_first_answer_weighs_against_three_hours_of_what_was_expected() -> None:
    """36 h / 12: 3 h x 10 expected, and 30 answers in the 7 h after the first one: 60 in 10 h."""
    batch = Batch(100, 31, visible_at=START, began_at=START + 5 * HOUR)
    assert labelling_pace(batch, Plan(BUDGETS, batches=[TEAM]), now=START + 12 * HOUR).per_hour == pytest.approx(6)


def test_without_a_past_the_guess_weighs_one_hour() -> None:
    """1 h x 25 expected of a batch of 300, and 35 answers in the 3 h after the first one: 60 in 4 h."""
    batch = Batch(300, 36, visible_at=START, began_at=START + HOUR)
    pace = labelling_pace(batch, Plan(BUDGETS), now=START + 4 * HOUR)
    assert pace.per_hour == pytest.approx(15)
    assert pace.shape == pytest.approx(3.5 + 35 * 6 / (35 + 6))  # 35 answers in the 6 half hours


def test_one_silent_hour_does_not_outweigh_what_was_expected_of_few_samples() -> None:
    """Eight in 12 h: the 3.5 answers that the guess is worth take 5.25 h; one more hour, and it is 3.5 in 6.25 h."""
    batch = Batch(8, 1, visible_at=START, began_at=START)
    assert labelling_pace(batch, Plan(BUDGETS), now=START + HOUR).per_hour == pytest.approx(3.5 / 6.25)


def test_without_any_past_a_third_of_the_budget_is_expected() -> None:
    assert labelling_pace(Batch(120), Plan(BUDGETS), now=START).per_hour == pytest.approx(10)


def test_a_past_of_single_answers_tells_no_rate() -> None:
    once = PastBatch(answers=1, hours=0, pickup_hours=1)
    assert labelling_pace(Batch(120), Plan(BUDGETS, batches=[once]), now=START).per_hour == pytest.approx(10)


def test_only_the_newest_three_batches_tell_the_rate() -> None:
    slow = PastBatch(answers=11, hours=100, pickup_hours=2)
    pace = labelling_pace(Batch(100), Plan(BUDGETS, batches=[slow, TEAM, TEAM, TEAM]), now=START)
    assert pace.per_hour == pytest.approx(10)


def test_answers_that_all_came_in_one_moment_give_a_rate_all_the_same() -> None:
    file = PastBatch(answers=101, hours=0, pickup_hours=20)
    seen = forecast(Batch(100, 0, START), PUSHED, Plan(BUDGETS, batches=[file], took=QUICK), now=START + HOUR)
    assert hours(seen.labelled) == pytest.approx(20, abs=0.3)


# Labelling


def test_labelling_begins_when_people_usually_begin() -> None:
    """Two hours of pickup, then 100 answers at ten an hour; the median of so many is a little under the mean."""
    seen = forecast(Batch(100, 0, START), PUSHED, Plan(BUDGETS, batches=[TEAM] * 3, took=QUICK), now=START)
    assert hours(seen.labelled) == pytest.approx(12, abs=0.2)
    assert 16 < hours(seen.labelled_bound) < 19


def test_who_has_begun_is_not_waited_for() -> None:
    plan, now = Plan(BUDGETS, batches=[TEAM] * 3, took=QUICK), START + HOUR / 2
    waiting, begun = (forecast(Batch(100, n, START, now), PUSHED, plan, now=now) for n in (0, 1))
    assert begun.labelled < waiting.labelled - HOUR


def test_who_is_later_than_ever_is_taken_to_be_as_late_again() -> None:
    """Two hours is what it takes; after five, the first answer may take three more."""
    plan = Plan(BUDGETS, batches=[TEAM] * 3, took=QUICK)
    punctual, late = (forecast(Batch(100, 0, START), PUSHED, plan, now=START + wait * HOUR) for wait in (2, 5))
    assert late.labelled - punctual.labelled == 3 * HOUR
    assert late.labelled_bound - punctual.labelled_bound == (3 + 3) * HOUR


def test_the_longest_pickup_is_waited_for_in_the_bound() -> None:
    late = PastBatch(answers=101, hours=10, pickup_hours=8)
    plan = Plan(BUDGETS, batches=[TEAM, TEAM, late], took=QUICK)
    seen = forecast(Batch(100, 0, START), PUSHED, plan, now=START)
    assert hours(seen.labelled) == pytest.approx(12, abs=0.2)
    assert hours(seen.labelled_bound) > 8 + 11


def test_a_complete_batch_needs_no_more_time() -> None:
    now = START + 5 * HOUR
    seen = forecast(Batch(100, 100, START), PUSHED, Plan(BUDGETS, took=QUICK), now=now)
    assert seen.labelled == seen.labelled_bound == seen.finished_bound == now


def test_few_answers_give_a_wide_bound_and_many_a_narrow_one() -> None:
    now = START + 9 * HOUR

    def width(asked: int) -> float:
        found = forecast(Batch(asked, asked // 2, START), PUSHED, Plan(BUDGETS, took=QUICK), now=now)
        return (found.labelled_bound - now) / (found.labelled - now)

    assert width(4) > 2
    assert width(400) < 1.6


def test_the_weekend_is_not_taken_for_slowness() -> None:
    """Friday 16:00 to Monday 9:00 is no working time: the pace is the same, and the end is on Monday."""
    office = parse_hours("Mon-Fri 09:00-17:00", "UTC")
    friday = START + timedelta(days=4)
    batch, plan = Batch(80, 60, friday + HOUR), Plan(BUDGETS, office, [PastBatch(101, 10, 0)] * 3, QUICK)
    evening = forecast(batch, PUSHED, plan, now=friday + 10 * HOUR)
    sunday = forecast(batch, PUSHED, plan, now=friday + 58 * HOUR)
    assert evening.labelled == sunday.labelled
    assert evening.answers_per_hour == sunday.answers_per_hour
    assert evening.labelled > START + timedelta(days=7) + HOUR


# The other stages


def test_a_stage_takes_what_it_took_before() -> None:
    found = stage_range(Plan(BUDGETS, took={"retrain": (1.0, 2.0, 6.0)}), "retrain")
    assert (found.median, found.bound) == (2 * HOUR, 8 * HOUR)  # the longest of three, and a third more


def test_a_stage_without_a_past_takes_its_budget_at_most() -> None:
    found = stage_range(Plan(BUDGETS), "retrain")
    assert (found.median, found.bound) == (3 * HOUR, 6 * HOUR)


def test_the_time_that_a_stage_took_already_is_not_taken_again() -> None:
    found = stage_range(Plan(BUDGETS), "retrain", elapsed=2 * HOUR)
    assert (found.median, found.bound) == (HOUR, 4 * HOUR)


def test_a_stage_that_hangs_is_expected_to_hang_on() -> None:
    found = stage_range(Plan(BUDGETS), "retrain", elapsed=16 * HOUR)
    assert (found.median, found.bound) == (timedelta(), 10 * HOUR)


def test_a_cycle_ends_after_all_its_stages() -> None:
    """Half or all of 2 + 1 + 1 hours, 3 until the first answer, 12 x 1.1 or 2.5 of labelling, half or all of 6 + 1 + 1."""
    seen = forecast(Batch(10_000), {}, Plan(BUDGETS), now=START)
    assert hours(seen.finished) == pytest.approx(2 + 3 + 12 * 1.09 + 4, abs=0.1)
    assert hours(seen.finished_bound) == pytest.approx(4 + 3 + 12 * 2.52 + 8, abs=0.2)


def test_a_fresh_project_is_not_at_risk_by_ignorance() -> None:
    assert hours(forecast(Batch(500), {}, Plan(BUDGETS), now=START).finished_bound) < 48 - 2


@pytest.mark.parametrize(("silent", "is_late"), [(4, False), (8, True)])
def test_a_project_without_a_past_may_be_silent_for_some_hours(silent: float, is_late: bool) -> None:
    seen = forecast(Batch(500, 0, START), PUSHED, Plan(BUDGETS), now=START + silent * HOUR)
    assert (hours(seen.finished_bound) > 48) is is_late


def test_stages_that_have_ended_take_no_more_time() -> None:
    done = {step: Spell(START, START) for step in STEPS[:-1]}
    now = START + 20 * HOUR
    assert forecast(Batch(9, 5, START), done, Plan(BUDGETS), now=now).finished_bound == now + HOUR


# How often it is kept


def kept(needs_h: float, *, asked_at: int, batches: list[PastBatch]) -> tuple[float, float]:
    """How often median and bound are kept by teams that need so long for 300, give or take a quarter, after so many answers."""
    dice, found = np.random.default_rng(0), []
    plan = Plan(BUDGETS, batches=batches, took=QUICK)
    for _ in range(300):
        times = np.cumsum(dice.exponential(needs_h / 300 / dice.gamma(16, 1 / 16), 300))
        batch = Batch(300, asked_at, START, START + timedelta(hours=times[0]))
        seen = forecast(batch, PUSHED, plan, now=START + timedelta(hours=times[asked_at - 1]))
        found.append((hours(seen.labelled) >= times[-1], hours(seen.labelled_bound) >= times[-1]))
    middle, bound = np.mean(found, axis=0)
    return float(middle), float(bound)


def test_the_bound_is_kept_nine_times_in_ten_by_teams_like_those_before() -> None:
    middle, bound = kept(12, asked_at=1, batches=[PastBatch(300, 12, 0)] * 3)
    assert 0.4 < middle < 0.6
    assert 0.88 < bound < 0.98


@pytest.mark.parametrize(("needs_h", "asked_at"), [(6, 15), (12, 15), (24, 15), (48, 100)])
def test_once_people_answer_the_bound_is_kept_without_a_past_too(needs_h: float, asked_at: int) -> None:
    """Twice as slow as was guessed, from the 15th answer on; four times as slow, from a third of the batch on."""
    assert kept(needs_h, asked_at=asked_at, batches=[])[1] >= 0.88
