"""The promise of 48 hours on a virtual clock, through the loop's own steps: who is too slow is announced in time, and caught up."""

from datetime import timedelta
from pathlib import Path

import pytest

import alloop.cycle as loop
from alloop.errors import LabelsPending
from alloop.nouns import STEPS, Flag, Outcome
from alloop.sla import AT_RISK, BREACHED, RECOVERED, WHOLE_CYCLE
from alloop.watch import watch
from alloop.workspace import Workspace
from tests.loop_project import Row, for_holdout, project, write_digits

HOURS = 48.0
EVERY_S = 3600
"""sla-watch looks more often; what is asked here needs no more."""
TEAM = """
[annotation.simulated]
annotators = 1
pickup_hours = 2
seconds_per_sample = {seconds}
[sla]
cycle_hours = 48
degrade = {degrade}
quorum = 0.6
"""
FIRST, LATER = 8, 14


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Twenty digits to measure with, and sixty to label."""
    rows = write_digits(tmp_path_factory.mktemp("digits") / "images", 80)
    return [*for_holdout(rows[:20]), *rows[20:]]


def team(each_h: float, *, degrade: bool) -> str:
    return TEAM.format(seconds=3600 * each_h, degrade=str(degrade).lower())


def live(ws: Workspace) -> tuple[int, list[tuple[float, Flag]]]:
    """A cycle to its decision with a look every hour: its number, and what was raised when, in hours since it opened."""
    cycle, raised = loop.open_cycle(ws), list[tuple[float, Flag]]()
    opened = ws.ledger.cycles.get(cycle).opened_at
    for step in STEPS:
        while True:
            now = ws.clock.now()
            raised += [((now - opened) / timedelta(hours=1), flag) for flag in watch(ws, now)]
            try:
                getattr(loop, step)(ws, cycle)
                break
            except LabelsPending:
                ws.clock.sleep(EVERY_S)
    raised += [((ws.clock.now() - opened) / timedelta(hours=1), flag) for flag in watch(ws, ws.clock.now())]
    return cycle, [one for one in raised if one[1].stage == WHOLE_CYCLE and one[1].cycle == cycle]


def taken_h(ws: Workspace, cycle: int) -> float:
    record = ws.ledger.cycles.get(cycle)
    assert record.closed_at is not None
    return (record.closed_at - record.opened_at) / timedelta(hours=1)


def second_cycle(ws: Workspace) -> tuple[int, list[tuple[float, Flag]]]:
    """A cycle with a batch that is larger than the team can answer in time, after one that told how fast it is."""
    live(ws)
    ws.ledger.cycles.open_next(strategy="margin", nominal=LATER)
    return live(ws)


def test_in_a_new_project_too_slow_people_are_announced_in_the_first_half_of_the_time(
    tmp_path: Path, digits: list[Row]
) -> None:
    """Eight samples of nine hours each."""
    with project(tmp_path / "p", digits, more=team(9, degrade=False)) as ws:
        cycle, raised = live(ws)
        assert [flag.kind for _, flag in raised] == [AT_RISK, BREACHED]
        assert raised[0][0] < HOURS / 2
        assert HOURS < raised[1][0] <= HOURS + EVERY_S / 3600
        assert taken_h(ws, cycle) > HOURS + 12


def test_of_a_team_that_is_known_it_is_announced_in_the_first_hour(tmp_path: Path, digits: list[Row]) -> None:
    """Fourteen samples of four hours each, after eight of them."""
    with project(tmp_path / "p", digits, more=team(4, degrade=False)) as ws:
        cycle, raised = second_cycle(ws)
        assert [flag.kind for _, flag in raised] == [AT_RISK, BREACHED]
        assert raised[0][0] <= 1
        assert taken_h(ws, cycle) > HOURS


def test_the_degrade_plan_brings_the_same_cycle_in_on_time(tmp_path: Path, digits: list[Row]) -> None:
    with project(tmp_path / "p", digits, more=team(4, degrade=True)) as ws:
        cycle, raised = second_cycle(ws)
        assert [flag.kind for _, flag in raised] == [AT_RISK, RECOVERED]
        assert taken_h(ws, cycle) < HOURS
        tally = ws.ledger.batches.tally(cycle)
        assert tally[Outcome.LABELLED] >= 0.6 * LATER
        assert tally[Outcome.LABELLED] + tally[Outcome.EXPIRED] == LATER


def test_in_a_new_project_the_degrade_plan_saves_what_was_announced(tmp_path: Path, digits: list[Row]) -> None:
    """Eight samples of six hours each: 50 hours."""
    with project(tmp_path / "p", digits, more=team(6, degrade=True)) as ws:
        cycle, raised = live(ws)
        assert raised[0][1].kind == AT_RISK
        assert raised[0][0] < HOURS / 2
        assert taken_h(ws, cycle) < HOURS
        assert ws.ledger.batches.tally(cycle)[Outcome.LABELLED] >= 0.6 * FIRST


@pytest.mark.parametrize("degrade", [True, False])
def test_a_team_that_is_fast_enough_is_left_in_peace(tmp_path: Path, digits: list[Row], degrade: bool) -> None:
    with project(tmp_path / "p", digits, more=team(1, degrade=degrade)) as ws:
        for _ in range(2):
            cycle, raised = live(ws)
            assert raised == []
            assert set(ws.ledger.batches.tally(cycle)) == {Outcome.LABELLED}
