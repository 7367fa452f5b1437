from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import ConfigError
from alloop.nouns import STEPS, Cycle, Stage
from alloop.sla import Limits, breaches, cycle_age, stage_ages, to_hours

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
CYCLE = Cycle("signs", 3, "margin", 500, NOON)


def after(**time: float) -> datetime:
    return NOON + timedelta(**time)


@pytest.mark.parametrize(("seconds", "flags"), [(-1, 0), (0, 0), (1, 1)])
def test_exactly_48_hours_keep_the_promise(seconds: int, flags: int) -> None:
    assert len(breaches(CYCLE, [], Limits(), after(hours=48, seconds=seconds))) == flags


def test_a_flag_says_what_took_how_long() -> None:
    (flag,) = breaches(CYCLE, [], Limits(), after(hours=50))
    assert (flag.cycle, flag.stage, flag.kind, flag.hours, flag.at) == (3, "cycle", "breached", 50.0, after(hours=50))


def test_a_closed_cycle_is_measured_to_its_close() -> None:
    closed = Cycle("signs", 3, "margin", 500, NOON, after(hours=47))
    assert breaches(closed, [], Limits(), after(days=30)) == ()
    assert to_hours(cycle_age(closed, after(days=30))) == 47


def test_a_stage_has_its_own_promise() -> None:
    stages = [Stage(3, "retrain", NOON, after(hours=2)), Stage(3, "wait_for_labels", after(hours=2))]
    limits = Limits(stage_hours={"retrain": 2, "wait_for_labels": 4})
    assert breaches(CYCLE, stages, limits, after(hours=6)) == ()
    (flag,) = breaches(CYCLE, stages, limits, after(hours=6, seconds=1))
    assert flag.stage == "wait_for_labels"


def test_a_stage_without_a_promise_is_not_flagged() -> None:
    assert breaches(CYCLE, [Stage(3, "retrain", NOON)], Limits(), after(hours=47)) == ()


def test_stages_of_other_cycles_do_not_count() -> None:
    assert stage_ages(CYCLE, [Stage(2, "retrain", NOON)], after(hours=1)) == {}


def test_a_step_that_was_done_in_two_parts_is_summed() -> None:
    parts = [Stage(3, "retrain", NOON, after(hours=1)), Stage(3, "retrain", after(hours=5), after(hours=7))]
    assert stage_ages(CYCLE, parts, after(hours=9)) == {"retrain": timedelta(hours=3)}


def test_an_open_stage_of_a_closed_cycle_ends_with_it() -> None:
    closed = Cycle("signs", 3, "margin", 500, NOON, after(hours=4))
    assert stage_ages(closed, [Stage(3, "retrain", NOON)], after(days=9)) == {"retrain": timedelta(hours=4)}


def test_clocks_that_differ_do_not_give_negative_time() -> None:
    assert cycle_age(CYCLE, after(seconds=-5)) == timedelta()


def test_a_promise_for_an_unknown_stage_is_refused() -> None:
    with pytest.raises(ConfigError, match="'retain', which is no stage; did you mean 'retrain'"):
        Limits(stage_hours={"retain": 2})


times = st.integers(0, 400_000)


@given(
    spans=st.lists(st.tuples(st.sampled_from(STEPS), times, st.none() | times), max_size=9),
    limits=st.dictionaries(st.sampled_from(STEPS), st.integers(1, 100)),
    waits=st.tuples(times, times),
)
def test_a_breach_never_heals(
    spans: list[tuple[str, int, int | None]], limits: dict[str, int], waits: tuple[int, int]
) -> None:
    stages = [
        Stage(3, step, after(seconds=start), None if length is None else after(seconds=start + length))
        for step, start, length in spans
    ]
    early, late = (
        {flag.stage for flag in breaches(CYCLE, stages, Limits(48, limits), after(seconds=wait))}
        for wait in sorted(waits)
    )
    assert early <= late
    assert ("cycle" in late) == (max(waits) > 48 * 3600)
