"""Seeing to it that the open cycle of a project has a run, and that no run sleeps for nothing.

The relay does it every few seconds, and sla-watch every few minutes, so that a cycle is not lost with the relay. Both do the
very same: what they know stands in the ledger and in Prefect, every change is one that only the first of several can make,
or one that done twice is done once. It lives among the tasks, beside `tasks.turn`, whose other half it is: flows may not
know deployments.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import alloop.cycle as loop
from alloop.clock import VirtualClock
from alloop.errors import AlloopError, LabelsPending, LeaseHeld, LeaseLost
from alloop.nouns import Action
from alloop.workspace import Workspace
from tasks.remedies import Remedy, remedy, revival_delay_s
from tasks.runs import Runs

if TYPE_CHECKING:
    from alloop.ledger.attempts import Attempt

__all__ = ["look", "take_in"]

log = logging.getLogger("alloop.mending")


def look(ws: Workspace, runs: Runs, *, watch_s: float) -> Remedy:
    """Take in answers, end runs that sleep for nothing, then do what the open cycle needs of Prefect; what that was."""
    cycle = _open_cycle(ws)
    held = cycle is not None and ws.ledger.interventions.held_back(cycle) is not None
    if cycle is not None and not held:
        try:
            take_in(ws, cycle)
        except AlloopError as error:  # the tool may be away, and the run may need something all the same
            log.warning("%s", error)
    for run, why in list(_needless(ws, runs)):
        log.info("run %s is ended: %s", run, why)
        runs.end(run, why)
    attempt = None if cycle is None else ws.ledger.attempts.newest(cycle)
    if held:
        return Remedy.LEAVE
    if attempt is None:  # `alloop run` has the cycle in hand, or the next scheduled run will
        return _open_again(ws, runs)
    return _mend(ws, runs, attempt, watch_s=watch_s)


def _needless(ws: Workspace, runs: Runs) -> Iterator[tuple[str, str]]:
    """(run, why) of those that sleep and that nobody will wake: their cycle is over, or another attempt goes on with it."""
    ends = {decision.cycle: decision for decision in ws.ledger.decisions.all()}
    for run in runs.asleep():
        attempt = ws.ledger.attempts.of_run(run)
        newest = None if attempt is None else ws.ledger.attempts.newest(attempt.cycle)
        if attempt is None or newest is None:
            continue
        end = ends.get(attempt.cycle)
        if end is not None:
            told = end.reason if end.action is Action.CANCEL else "is over"
            yield run, f"cycle {attempt.cycle} {told}"
        elif newest.number != attempt.number:
            yield run, f"attempt {newest.number} of cycle {attempt.cycle} goes on in its place"


def _open_again(ws: Workspace, runs: Runs) -> Remedy:
    """Repeat the run that was to open a cycle and crashed before it did: its schedule may name it once a week only."""
    crashed = runs.crashed_last()
    if crashed is None or ws.ledger.attempts.of_run(crashed) is not None:
        return Remedy.LEAVE
    log.info("run %s crashed before it opened a cycle, and is repeated", crashed)
    runs.repeat(crashed)
    return Remedy.START


def take_in(ws: Workspace, cycle: int) -> None:
    """Do once what the step wait_for_labels does; nothing while it is not this step's turn, or somebody else is at it."""
    finished = _finished(ws, cycle)
    if "push_to_annotation" not in finished or "wait_for_labels" in finished:
        return
    try:
        loop.wait_for_labels(ws, cycle)
    except LabelsPending:
        if isinstance(ws.clock, VirtualClock):
            ws.clock.sleep(ws.config.loop.poll_s)  # nobody else lets time pass for simulated people
    except (LeaseHeld, LeaseLost) as held:
        log.debug("%s", held)  # the run itself is at it


def _mend(ws: Workspace, runs: Runs, attempt: "Attempt", *, watch_s: float) -> Remedy:
    seen = None if attempt.run is None else runs.look(attempt.run)
    need = remedy(attempt, seen, labelled="wait_for_labels" in _finished(ws, attempt.cycle))
    if need is Remedy.BURY:
        assert attempt.run is not None
        runs.bury(attempt.run, f"no process lives in attempt {attempt.number} of cycle {attempt.cycle} any more")
    elif need is Remedy.RESUME:
        assert attempt.run is not None
        runs.resume(attempt.run)
    elif need is Remedy.START:
        _start(ws, runs, attempt.cycle, attempt.number)
    if need in (Remedy.BURY, Remedy.REVIVE):
        dead_s = seen.for_s if seen is not None and need is Remedy.REVIVE else 0.0
        return _revive(
            ws, runs, attempt, wait_s=revival_delay_s(ws.ledger.attempts.futile(attempt.cycle), watch_s) - dead_s
        )
    if need is not Remedy.LEAVE:
        log.info("cycle %d, attempt %d: %s", attempt.cycle, attempt.number, need)
    return need


def _revive(ws: Workspace, runs: Runs, attempt: "Attempt", *, wait_s: float) -> Remedy:
    """Start the next attempt, unless it is too soon for that or somebody else was quicker."""
    if wait_s > 0 or not ws.ledger.attempts.begin(attempt.cycle, attempt.number + 1):
        return Remedy.LEAVE
    log.info("cycle %d: attempt %d is dead, attempt %d begins", attempt.cycle, attempt.number, attempt.number + 1)
    _start(ws, runs, attempt.cycle, attempt.number + 1)
    return Remedy.REVIVE


def _start(ws: Workspace, runs: Runs, cycle: int, number: int) -> None:
    ws.ledger.attempts.name(cycle, number, runs.start(cycle, number))


def _open_cycle(ws: Workspace) -> int | None:
    cycles = ws.ledger.cycles.all()
    return cycles[-1].number if cycles and cycles[-1].closed_at is None else None


def _finished(ws: Workspace, cycle: int) -> set[str]:
    return {stage.step for stage in ws.ledger.steps.of(cycle) if stage.finished_at is not None}
