"""Forecasts: what must hold whatever people do and whenever one asks."""

from datetime import timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from alloop.forecast import Batch, Forecast, PastBatch, Plan, Spell, forecast
from alloop.nouns import STEPS
from alloop.working_hours import parse_hours
from tests.test_forecast import BUDGETS, PUSHED, START

SECOND = timedelta(seconds=1)  # quantiles are found to so many digits

office_or_not = st.sampled_from(
    [parse_hours("always"), parse_hours("Mon-Fri 09:00-17:00", "Europe/Berlin"), parse_hours("Sat 22:00-06:00")]
)
past = st.lists(
    st.builds(PastBatch, st.integers(1, 500), st.floats(0, 100), st.floats(0, 30)),
    max_size=5,
)
took = st.dictionaries(st.sampled_from(STEPS), st.lists(st.floats(0, 30), min_size=1, max_size=4))
plans = st.builds(lambda week, batches, times: Plan(BUDGETS, week, batches, times), office_or_not, past, took)
waits = st.integers(0, 100 * 3600).map(lambda seconds: timedelta(seconds=seconds))
walks = st.integers(0, len(STEPS) - 1).map(lambda done: {step: Spell(START, START) for step in STEPS[:done]})


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, int, int]:
    """Asked, and two numbers of answers, the smaller first."""
    asked = draw(st.integers(1, 2000))
    fewer, more = sorted((draw(st.integers(0, asked)), draw(st.integers(0, asked))))
    return asked, fewer, more


@given(plans, answers(), waits, waits, walks)
def test_more_answers_since_the_same_first_one_never_make_it_later(
    plan: Plan, counts: tuple[int, int, int], pickup: timedelta, wait: timedelta, spells: dict[str, Spell]
) -> None:
    asked, fewer, more = counts
    now, began = START + pickup + wait, START + pickup
    slow, fast = (forecast(Batch(asked, max(n, 1), START, began), spells, plan, now=now) for n in (fewer, more))
    assert_not_later(fast, slow)


@given(plans, st.integers(1, 2000), waits)
def test_the_first_answer_never_makes_it_later(plan: Plan, asked: int, wait: timedelta) -> None:
    now = START + wait
    waiting, begun = (forecast(Batch(asked, n, START, now), PUSHED, plan, now=now) for n in (0, 1))
    assert_not_later(begun, waiting)


@given(plans, answers(), waits, waits, walks)
def test_silence_never_makes_it_sooner(
    plan: Plan, counts: tuple[int, int, int], wait: timedelta, silence: timedelta, spells: dict[str, Spell]
) -> None:
    asked, _, answered = counts
    batch = Batch(asked, max(answered, 1), START, START)
    before, after = (forecast(batch, spells, plan, now=START + gone) for gone in (wait, wait + silence))
    assert after.labelled_bound >= before.labelled_bound - SECOND
    assert after.labelled >= before.labelled - SECOND


def assert_not_later(fast: Forecast, slow: Forecast) -> None:
    assert fast.labelled <= slow.labelled + SECOND
    assert fast.labelled_bound <= slow.labelled_bound + SECOND
    assert fast.finished <= slow.finished + SECOND
    assert fast.finished_bound <= slow.finished_bound + SECOND


@given(plans, answers(), waits, walks)
def test_now_is_before_the_median_and_that_before_the_bound(
    plan: Plan, counts: tuple[int, int, int], wait: timedelta, spells: dict[str, Spell]
) -> None:
    seen = forecast(Batch(counts[0], counts[1], START), spells, plan, now=START + wait)
    assert START + wait <= seen.labelled <= seen.labelled_bound
    assert seen.labelled <= seen.finished <= seen.finished_bound


@given(plans, answers(), waits, walks, st.integers(-14 * 60, 14 * 60))
def test_the_zone_in_which_now_is_told_changes_nothing(
    plan: Plan, counts: tuple[int, int, int], wait: timedelta, spells: dict[str, Spell], offset: int
) -> None:
    batch, now = Batch(counts[0], counts[1], START), START + wait
    elsewhere = now.astimezone(timezone(timedelta(minutes=offset)))
    assert forecast(batch, spells, plan, now=elsewhere) == forecast(batch, spells, plan, now=now)
