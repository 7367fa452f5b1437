"""The degrade plan: when a batch may be closed, and how large the next one may be."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.forecast import PastBatch, Plan
from alloop.ledger.expiry import AskedItem
from alloop.nouns import STEPS, Lane
from alloop.quorum import fitting_answers, has_quorum
from alloop.sla import Limits, budgets
from alloop.working_hours import parse_hours

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
QUICK = {step: (0.0,) for step in STEPS if step != "wait_for_labels"}
TEAM = PastBatch(answers=101, hours=10, pickup_hours=0)
"""Ten answers an hour, at once."""


def items(answered: int, asked: int, *, lane: Lane = Lane.ACTIVE, people: int = 1) -> list[AskedItem]:
    return [AskedItem(str(n), lane, "ref", people, (MONDAY,) if n < answered else ()) for n in range(asked)]


@pytest.mark.parametrize(("answered", "enough"), [(7, False), (8, True), (10, True)])
def test_eight_of_ten_are_a_quorum_of_80_percent(answered: int, enough: bool) -> None:
    assert has_quorum(items(answered, 10), 0.8) is enough


def test_a_sample_that_two_people_are_asked_for_is_not_answered_by_one() -> None:
    assert not has_quorum(items(10, 10, people=2), 0.8)


def test_the_holdout_counts_for_nothing_but_has_to_be_complete() -> None:
    assert not has_quorum(items(10, 10) + items(19, 20, lane=Lane.HOLDOUT), 0.8)
    assert not has_quorum(items(7, 10) + items(20, 20, lane=Lane.HOLDOUT), 0.8)
    assert has_quorum(items(8, 10) + items(20, 20, lane=Lane.HOLDOUT), 0.8)


def test_nothing_has_no_quorum() -> None:
    assert not has_quorum([], 0.8)
    assert not has_quorum(items(20, 20, lane=Lane.HOLDOUT), 0.8)


def fits(week: str = "always", hours: float = 48, **plan: object) -> int:
    given = {"batches": [TEAM] * 3, "took": QUICK} | plan
    found = Plan(budgets(Limits(hours)), parse_hours(week), **given)  # type: ignore[arg-type]
    return fitting_answers(found, wanted=500, hours=hours, opened_at=MONDAY)


def test_ten_an_hour_for_48_hours_are_less_than_480_to_be_sure_of() -> None:
    assert 270 < fits() < 340


def test_only_working_hours_count() -> None:
    """Monday and Tuesday from nine to five, until Wednesday at nine: a third of the time around the clock."""
    assert fits("Mon-Fri 09:00-17:00") == pytest.approx(fits() / 3, rel=0.07)


def test_the_other_stages_and_the_pickup_take_their_time() -> None:
    late = PastBatch(answers=101, hours=10, pickup_hours=8)
    assert fits(batches=[TEAM, TEAM, late]) == pytest.approx(
        fits() * 36 / 44, rel=0.02
    )  # a twelfth of the 48 h stays free
    assert fits(took=QUICK | {"retrain": [4.0]}) == pytest.approx(
        fits() * 36 / 44, rel=0.02
    )  # a twelfth of the 48 h stays free  # one alone counts twice


def test_a_cycle_without_time_for_labelling_fits_nothing() -> None:
    assert fits("Sat 09:00-17:00") == 0


@given(st.floats(1, 200), st.floats(1, 200))
def test_more_time_never_fits_less(one: float, other: float) -> None:
    plan = Plan(budgets(Limits()), batches=[TEAM], took=QUICK)
    short, long = (fitting_answers(plan, wanted=500, hours=hours, opened_at=MONDAY) for hours in sorted((one, other)))
    assert short <= long
