from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import ConfigError
from alloop.nouns import STEPS, Cycle, Stage
from alloop.sla import (
    AT_RISK,
    BREACHED,
    RECOVERED,
    RETRAINING,
    VISIBLE,
    Limits,
    breaches,
    budgets,
    cycle_age,
    handovers,
    may_follow,
    prospects,
    stage_ages,
    to_hours,
)

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


# Clocks that change

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("opened", ["2026-03-28 12:00", "2026-10-24 12:00", "2026-07-01 12:00"])
@pytest.mark.parametrize(("seconds", "flags"), [(-1, 0), (0, 0), (1, 1)])
def test_48_hours_are_48_hours_also_when_clocks_change(opened: str, seconds: int, flags: int) -> None:
    start = datetime.fromisoformat(opened).replace(tzinfo=BERLIN)
    cycle, now = Cycle("signs", 3, "margin", 500, start), start.astimezone(UTC) + timedelta(hours=48, seconds=seconds)
    assert (
        len(breaches(cycle, [], Limits(), now)) == len(breaches(cycle, [], Limits(), now.astimezone(BERLIN))) == flags
    )


# Budgets


def test_the_usual_budgets_fill_the_cycle() -> None:
    assert sum(budgets(Limits(cycle_hours=24)).values()) == pytest.approx(24)
    assert budgets(Limits())["wait_for_labels"] == 36


def test_a_named_budget_stays_as_it_is() -> None:
    assert budgets(Limits(24, {"retrain": 5}))["retrain"] == 5


# Handovers


def test_the_clock_from_selected_to_visible_ends_with_the_push() -> None:
    chosen, pushed = Stage(3, "diversity_select", NOON, after(hours=1)), Stage(3, "push_to_annotation", after(hours=2))
    assert handovers(CYCLE, [chosen, pushed], after(hours=5)) == {VISIBLE: timedelta(hours=4)}
    done = Stage(3, "push_to_annotation", after(hours=2), after(hours=3))
    assert handovers(CYCLE, [chosen, done], after(hours=9)) == {VISIBLE: timedelta(hours=2)}


def test_a_batch_that_nobody_pushes_is_timed_too() -> None:
    chosen = Stage(3, "diversity_select", NOON, after(hours=1))
    assert handovers(CYCLE, [chosen], after(hours=5)) == {VISIBLE: timedelta(hours=4)}


def test_the_clock_from_the_last_label_ends_when_retraining_begins() -> None:
    last, trained = after(hours=10), Stage(3, "retrain", after(hours=12))
    assert handovers(CYCLE, [], after(hours=11), last_label=last) == {RETRAINING: timedelta(hours=1)}
    assert handovers(CYCLE, [trained], after(hours=30), last_label=last) == {RETRAINING: timedelta(hours=2)}


@pytest.mark.parametrize(("seconds", "flags"), [(-1, 0), (0, 0), (1, 1)])
def test_a_handover_has_a_promise_too(seconds: int, flags: int) -> None:
    limits, now = Limits(stage_hours={RETRAINING: 1}), after(hours=11, seconds=seconds)
    assert len(breaches(CYCLE, [], limits, now, last_label=after(hours=10))) == flags


# At risk, and recovered


def prospect(bound_hours: float, *, standing: str | None = None, now_hours: float = 20) -> list[str]:
    flags = prospects(CYCLE, Limits(), after(hours=now_hours), bound=after(hours=bound_hours), standing=standing)
    return [flag.kind for flag in flags]


@pytest.mark.parametrize(("seconds", "kinds"), [(-1, []), (0, []), (1, [AT_RISK])])
def test_a_forecast_of_exactly_48_hours_is_no_risk(seconds: int, kinds: list[str]) -> None:
    assert prospect(48 + seconds / 3600) == kinds


def test_a_flag_of_risk_says_what_the_cycle_may_take() -> None:
    (flag,) = prospects(CYCLE, Limits(), after(hours=20), bound=after(hours=55), standing=None)
    assert (flag.stage, flag.hours, flag.at) == ("cycle", 55, after(hours=20))


def test_a_risk_is_told_once() -> None:
    assert prospect(55, standing=AT_RISK) == []


def test_a_forecast_that_is_early_by_four_hours_again_has_recovered() -> None:
    assert prospect(44.1, standing=AT_RISK) == []
    assert prospect(44, standing=AT_RISK) == [RECOVERED]


def test_after_a_recovery_comes_another_risk() -> None:
    assert prospect(49, standing=RECOVERED) == [AT_RISK]


def test_a_cycle_that_is_not_at_risk_does_not_recover() -> None:
    assert prospect(30) == prospect(30, standing=RECOVERED) == []


def test_a_late_cycle_is_no_longer_at_risk_and_never_recovers() -> None:
    assert prospect(60, now_hours=48.1) == prospect(60, now_hours=48.1, standing=AT_RISK) == []
    assert prospect(40, standing=BREACHED) == []


@pytest.mark.parametrize(("closed_hours", "kinds"), [(47.9, [RECOVERED]), (48, [RECOVERED]), (48.1, [])])
def test_a_cycle_that_closes_in_time_has_recovered(closed_hours: float, kinds: list[str]) -> None:
    closed = Cycle("signs", 3, "margin", 500, NOON, after(hours=closed_hours))
    flags = prospects(closed, Limits(), after(hours=99), bound=after(hours=99), standing=AT_RISK)
    assert [flag.kind for flag in flags] == kinds


@given(st.lists(st.sampled_from([AT_RISK, BREACHED, RECOVERED]), max_size=30))
def test_whatever_is_raised_risk_and_recovery_take_turns_and_a_breach_is_the_end(raised: list[str]) -> None:
    told: list[str] = []
    for kind in raised:
        if may_follow(told[-1] if told else None, kind):
            told.append(kind)
    healthy = told[:-1] if told and told[-1] == BREACHED else told
    assert healthy == [AT_RISK, RECOVERED] * (len(healthy) // 2) + [AT_RISK] * (len(healthy) % 2)


@given(st.lists(st.tuples(st.integers(0, 60 * 3600), st.integers(0, 80 * 3600)), max_size=12))
def test_however_often_and_whenever_one_looks_everything_is_told_once(looks: list[tuple[int, int]]) -> None:
    """A virtual clock: looks at these seconds after opening, each with a forecast of so many seconds more, or none left."""
    told: list[str] = []
    for at, left in sorted(looks):
        now = after(seconds=at)
        for again in (False, True):  # two watches at once
            standing = told[-1] if told else None
            due = prospects(CYCLE, Limits(), now, bound=now + timedelta(seconds=left), standing=standing)
            for flag in (*due, *breaches(CYCLE, [], Limits(), now)):
                if may_follow(told[-1] if told else None, flag.kind):
                    told.append(flag.kind)
                    assert not again, "the second look told something new"
    latest = max((at for at, _ in looks), default=0)
    assert told.count(BREACHED) == (latest > 48 * 3600)
    turns = told[:-1] if told[-1:] == [BREACHED] else told
    assert all(kind == (AT_RISK, RECOVERED)[place % 2] for place, kind in enumerate(turns))
