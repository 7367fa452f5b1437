"""The watch on a virtual clock: whole cycles with slow people, and what is raised of them, when, and how often."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import alloop.cycle as loop
from alloop.announce import Message
from alloop.errors import LabelsPending
from alloop.nouns import STEPS, Flag, Lane, Outcome
from alloop.outlook import look_ahead
from alloop.quorum import close_at_quorum, next_nominal, should_close
from alloop.sla import AT_RISK, BREACHED, RECOVERED, RETRAINING, VISIBLE, WHOLE_CYCLE
from alloop.watch import watch
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, answer, for_holdout, project, truly, without_labels, write_digits

HOUR = timedelta(hours=1)
SLOW = """
[annotation.simulated]
annotators = 1
pickup_hours = 2
seconds_per_sample = {seconds}
[sla]
degrade = {degrade}
quorum = 0.6
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Twenty digits to measure with, and sixty to label."""
    rows = write_digits(tmp_path_factory.mktemp("digits") / "images", 80)
    return [*for_holdout(rows[:20]), *rows[20:]]


def hours(ws: Workspace, cycle: int, at: datetime) -> float:
    return (at - ws.ledger.cycles.get(cycle).opened_at) / HOUR


def told(flags: tuple[Flag, ...]) -> list[tuple[str, str]]:
    return [(flag.stage, flag.kind) for flag in flags]


def unanswered(rows: list[Row]) -> list[Row]:
    """The same holdout, and a pool as a team has it at the start."""
    return [*rows[:20], *without_labels(rows[20:])]


def push(ws: Workspace, *, nominal: int | None = None) -> int:
    """A cycle that people have been asked for; of a batch of that size, if it is given."""
    if nominal is not None:
        ws.ledger.cycles.open_next(strategy="margin", nominal=nominal)
    cycle = loop.open_cycle(ws)
    for step in STEPS[:3]:
        getattr(loop, step)(ws, cycle)
    return cycle


def finish(ws: Workspace, cycle: int) -> None:
    for step in STEPS[4:]:
        getattr(loop, step)(ws, cycle)


def look(ws: Workspace, cycle: int) -> bool:
    """One look for labels, with the degrade plan; whether the batch is closed."""
    try:
        loop.wait_for_labels(ws, cycle)
    except LabelsPending:
        if not should_close(ws, cycle, ws.clock.now()):
            return False
        close_at_quorum(ws, cycle)
        with ws.ledger.steps.working(cycle, "wait_for_labels") as lease:
            assert lease is not None
            loop._close_batch(ws, lease)
    return True


def live(ws: Workspace, cycle: int, *, until_h: float = 100) -> Iterator[Flag]:
    """A cycle hour by hour, with a look at the clocks and one for labels each hour, to its decision or that long."""
    while hours(ws, cycle, ws.clock.now()) < until_h:
        yield from watch(ws, ws.clock.now())
        if look(ws, cycle):
            finish(ws, cycle)
            yield from watch(ws, ws.clock.now())
            return
        ws.clock.sleep(3600)


def slow(seconds_h: float, *, degrade: bool = False) -> str:
    return SLOW.format(seconds=seconds_h * 3600, degrade=str(degrade).lower())


# People who are too slow


def test_the_degrade_plan_brings_a_slow_cycle_in_on_time_and_makes_the_next_one_fit(
    tmp_path: Path, digits: list[Row]
) -> None:
    """Cycle 0 has 8 samples and shows that people take 4.6 hours each; the 12 of cycle 1 would take 57 hours."""
    with project(tmp_path / "p", digits, more=slow(4.6, degrade=True)) as ws:
        list(live(ws, push(ws)))
        cycle = push(ws, nominal=12)
        flags = list(live(ws, cycle))
        assert told(tuple(flags)) == [(WHOLE_CYCLE, AT_RISK), (WHOLE_CYCLE, RECOVERED)]
        assert hours(ws, cycle, flags[0].at) < 24
        assert hours(ws, cycle, ws.ledger.cycles.get(cycle).closed_at) < 48
        tally = ws.ledger.batches.tally(cycle)
        assert sum(tally.values()) == 12
        assert tally[Outcome.LABELLED] >= 8
        assert tally[Outcome.EXPIRED] == 12 - tally[Outcome.LABELLED] > 0
        third = push(ws, nominal=next_nominal(ws, ws.clock.now()))
        list(live(ws, third))
        assert 4 <= len(ws.ledger.batches.get(third).items) < 12
        assert set(ws.ledger.batches.tally(third)) == {Outcome.LABELLED}
        assert hours(ws, third, ws.ledger.cycles.get(third).closed_at) < 48


def test_without_the_plan_the_same_cycle_is_late(tmp_path: Path, digits: list[Row]) -> None:
    with project(tmp_path / "p", digits, more=slow(4.6)) as ws:
        list(live(ws, push(ws)))
        assert told(tuple(live(ws, push(ws)))) == [(WHOLE_CYCLE, AT_RISK), (WHOLE_CYCLE, BREACHED)]
        assert next_nominal(ws, ws.clock.now()) == 12


def test_what_expired_is_in_the_pool_again_and_nobody_is_asked_for_it_any_more(
    tmp_path: Path, digits: list[Row]
) -> None:
    with project(tmp_path / "p", digits, more=slow(4.6, degrade=True)) as ws:
        list(live(ws, push(ws)))
        cycle = push(ws, nominal=12)
        list(live(ws, cycle))
        expired = {key for key, out in ws.ledger.batches.outcomes(cycle).items() if out is Outcome.EXPIRED}
        unlabelled = {sample.id for shard in ws.ledger.samples.unlabelled(shard=100) for sample in shard}
        assert expired
        assert expired <= unlabelled
        ws.clock.sleep(1000 * 3600)
        assert ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name)).labels == ()


# Looks that are late, doubled or rare


@pytest.mark.parametrize(("seconds", "kinds"), [(-1, [AT_RISK]), (0, [AT_RISK]), (1, [BREACHED])])
def test_a_machine_that_slept_through_the_deadline_tells_what_is_true_now(
    tmp_path: Path, digits: list[Row], seconds: int, kinds: list[str]
) -> None:
    with project(tmp_path / "p", digits, tool="folder") as ws:
        cycle = push(ws)
        at = ws.ledger.cycles.get(cycle).opened_at + timedelta(hours=48, seconds=seconds)
        assert [flag.kind for flag in watch(ws, at)] == kinds
        assert watch(ws, at) == ()


def test_another_process_does_not_tell_it_again(tmp_path: Path, digits: list[Row]) -> None:
    heard: list[str] = []
    with project(tmp_path / "p", digits, tool="folder") as ws:
        at = ws.ledger.cycles.get(push(ws)).opened_at + 50 * HOUR
        watch(ws, at, channels={"phone": lambda message: heard.append(message.kind)})
    with open_workspace(tmp_path / "p") as again:
        assert watch(again, at + HOUR, channels={"phone": lambda message: heard.append(message.kind)}) == ()
    assert heard == [BREACHED]


def test_a_flag_that_the_loop_raised_at_the_end_is_told_at_the_next_look(tmp_path: Path, digits: list[Row]) -> None:
    heard: list[Message] = []
    with project(tmp_path / "p", digits, more="[sla]\ncycle_hours = 0.5") as ws:
        cycle = push(ws)
        while not look(ws, cycle):
            ws.clock.sleep(3600)
        finish(ws, cycle)
        assert watch(ws, ws.clock.now(), channels={"phone": heard.append}) == ()
    assert [(message.cycle, message.kind) for message in heard] == [(0, BREACHED)]


def test_a_crash_between_raising_and_telling_loses_no_announcement(tmp_path: Path, digits: list[Row]) -> None:
    heard: list[str] = []

    def crash(_: Message) -> None:
        raise KeyboardInterrupt

    with project(tmp_path / "p", digits, tool="folder") as ws:
        at = ws.ledger.cycles.get(push(ws)).opened_at + 50 * HOUR
        with pytest.raises(KeyboardInterrupt):
            watch(ws, at, channels={"first": crash, "phone": lambda message: heard.append(message.kind)})
    with open_workspace(tmp_path / "p") as again:
        assert watch(again, at, channels={"phone": lambda message: heard.append(message.kind)}) == ()
    assert heard == [BREACHED]


def test_a_project_without_cycles_has_nothing_to_tell(tmp_path: Path) -> None:
    with project(tmp_path / "p", []) as ws:
        assert watch(ws, ws.clock.now()) == ()


# The clocks


def test_every_clock_is_in_the_outlook(tmp_path: Path, digits: list[Row]) -> None:
    with project(tmp_path / "p", digits, more=slow(1)) as ws:
        cycle = push(ws)
        ws.clock.sleep(5 * 3600)
        with pytest.raises(LabelsPending):
            loop.wait_for_labels(ws, cycle)
        seen = look_ahead(ws, cycle, ws.clock.now())
        assert set(seen.clocks) == {WHOLE_CYCLE, *STEPS[:4], VISIBLE}
        assert seen.clocks[WHOLE_CYCLE] == 5 * HOUR
        assert seen.clocks[VISIBLE] == timedelta()
        assert 1 <= seen.answered < seen.asked == 8
        assert not seen.is_at_risk


def test_the_clock_from_the_last_label_runs_until_retraining(tmp_path: Path, digits: list[Row]) -> None:
    more = slow(1) + "stage_hours = { labelled_to_retraining = 5 }\n"
    with project(tmp_path / "p", digits, more=more) as ws:
        cycle = push(ws)
        ws.clock.sleep(40 * 3600)
        loop.wait_for_labels(ws, cycle)
        assert look_ahead(ws, cycle, ws.clock.now()).clocks[RETRAINING] > 20 * HOUR
        assert (RETRAINING, BREACHED) in told(watch(ws, ws.clock.now()))


def test_nights_and_weekends_do_not_make_a_team_look_slow(tmp_path: Path, digits: list[Row]) -> None:
    """The virtual clock starts on a Monday at 8:00. Four of eight are answered in an hour; then it is night."""
    office = '\n[annotators]\nhours = "Mon-Fri 08:00-16:00"\n'
    with project(tmp_path / "p", digits, more=slow(0.25) + office) as ws:
        cycle = push(ws)
        ws.clock.sleep(3 * 3600)
        assert not look(ws, cycle)
        start = ws.ledger.cycles.get(cycle).opened_at
        evening, night = (look_ahead(ws, cycle, start + hour * HOUR) for hour in (9, 20))
        assert evening.forecast.answers_per_hour == night.forecast.answers_per_hour
        assert evening.forecast.finished == night.forecast.finished
        assert watch(ws, start + 20 * HOUR) == ()


# Closing early


def test_the_holdout_is_never_cut_short(tmp_path: Path, digits: list[Row]) -> None:
    rows = [(uri, label, group, "pool") for uri, label, group, _ in digits]
    with project(tmp_path / "p", without_labels(rows), tool="folder", more="[sla]\ndegrade = true") as ws:
        cycle = push(ws)
        late = ws.ledger.cycles.get(cycle).opened_at + 47 * HOUR
        lanes = {item.sample.id: item.lane for item in ws.ledger.batches.get(cycle).items}
        answer(ws, cycle, lambda sample: None if lanes[sample.id] is Lane.HOLDOUT else truly(rows)(sample))
        assert not look(ws, cycle)
        assert not should_close(ws, cycle, late)
        answer(ws, cycle, lambda sample: truly(rows)(sample) if lanes[sample.id] is Lane.HOLDOUT else None)
        assert not look(ws, cycle)
        assert not should_close(ws, cycle, late)


def test_closing_goes_on_after_a_crash_though_the_forecast_is_good_again(tmp_path: Path, digits: list[Row]) -> None:
    """Withdrawn tasks cannot be answered: a batch whose closing was begun must not wait for them."""
    with project(tmp_path / "p", unanswered(digits), tool="folder", more="[sla]\ndegrade = true\nquorum = 0.5") as ws:
        cycle, people = push(ws), truly(digits)
        first = [item.sample.id for item in ws.ledger.batches.get(cycle).items][:5]
        answer(ws, cycle, lambda sample: people(sample) if sample.id in first else None)
        assert not look(ws, cycle)
        opened = ws.ledger.cycles.get(cycle).opened_at
        assert not should_close(ws, cycle, opened + HOUR)
        assert should_close(ws, cycle, opened + 47 * HOUR)
        assert close_at_quorum(ws, cycle) == 3
        assert should_close(ws, cycle, opened + HOUR)
        assert close_at_quorum(ws, cycle) == 3
        assert look(ws, cycle)
        assert ws.ledger.batches.tally(cycle) == {Outcome.LABELLED: 5, Outcome.EXPIRED: 3}


def test_an_answer_that_comes_at_the_last_moment_counts(tmp_path: Path, digits: list[Row]) -> None:
    with project(tmp_path / "p", unanswered(digits), tool="folder", more="[sla]\ndegrade = true\nquorum = 0.5") as ws:
        cycle, people = push(ws), truly(digits)
        chosen = [item.sample.id for item in ws.ledger.batches.get(cycle).items]
        answer(ws, cycle, lambda sample: people(sample) if sample.id in chosen[:5] else None)
        assert not look(ws, cycle)
        answer(ws, cycle, lambda sample: people(sample) if sample.id in chosen[:7] else None)
        assert close_at_quorum(ws, cycle) == 1
