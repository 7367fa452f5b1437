"""The relay: takes in what people answered while no run is there to do it, and sees to it that the open cycle has a run.

    python -m deployments.relay ALLOOP_TOML [--watch-s 60]

It looks every `loop.poll_s` seconds, and at once when a tool sent a hint. All that it knows stands in the ledger and in
Prefect, so it can be killed and started again at any moment, and two of them do no harm.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import alloop.cycle as loop
from alloop.clock import VirtualClock
from alloop.errors import AlloopError, LabelsPending, LeaseHeld, LeaseLost
from alloop.ledger.attempts import Attempt
from alloop.watch import watch
from alloop.workspace import Workspace, open_workspace
from deployments.remedies import Remedy, remedy, revival_delay_s
from deployments.runs import Runs, open_runs

__all__ = ["look", "relay", "take_in"]

log = logging.getLogger("alloop.relay")
HINT_S = 1.0
"""How soon a hint is noticed."""
AGAIN_S = 10.0
"""How soon a project is opened again that could not be."""


def look(ws: Workspace, runs: Runs, *, watch_s: float) -> Remedy:
    """Take in answers, then do what the open cycle needs of Prefect; what that was."""
    cycle = _open_cycle(ws)
    if cycle is None:
        return _open_again(ws, runs)
    if ws.ledger.interventions.held_back(cycle):
        return Remedy.LEAVE
    try:
        take_in(ws, cycle)
    except AlloopError as error:  # the tool may be away, and the run may need something all the same
        log.warning("%s", error)
    attempt = ws.ledger.attempts.newest(cycle)
    if attempt is None:  # `alloop run` has it in hand, or the next scheduled run will
        return _open_again(ws, runs)
    return _mend(ws, runs, attempt, watch_s=watch_s)


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


def _mend(ws: Workspace, runs: Runs, attempt: Attempt, *, watch_s: float) -> Remedy:
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


def _revive(ws: Workspace, runs: Runs, attempt: Attempt, *, wait_s: float) -> Remedy:
    """Start the next attempt, unless it is too soon for that or another relay was quicker."""
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


def relay(config: Path, *, watch_s: float | None = None) -> None:
    """Look again and again; what goes wrong is told once, and tried again."""
    trying = Trying()
    while True:
        looked = False
        with trying("project"), open_workspace(config) as ws:
            looked, wait_s, hint = True, watch_s or ws.config.loop.poll_s, ws.ledger.hints.newest()
            with trying("clocks"):
                watch(ws, ws.clock.now())
            with trying("runs"), open_runs(config=ws.config.file, project=ws.config.project.name) as runs:
                look(ws, runs, watch_s=wait_s)
            _rest(ws, wait_s, hint=hint)
        if not looked:
            time.sleep(watch_s or AGAIN_S)


class Trying:
    """Goes on after an error of alloop's, and logs it unless it is the one that it logged before."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Try one thing."""
        try:
            yield
        except AlloopError as error:
            if self._told.get(what) != str(error):
                log.warning("%s", error)
            self._told[what] = str(error)
        else:
            self._told.pop(what, None)


def _rest(ws: Workspace, seconds: float, *, hint: int) -> None:
    """Wait for the next look: until the time is up, or a newer hint is there."""
    if isinstance(ws.clock, VirtualClock):
        seconds = min(seconds, HINT_S)  # simulated people need not be waited for
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(HINT_S, left))
        if ws.ledger.hints.newest() > hint:
            return


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.relay", description=__doc__)
    parser.add_argument("config", type=Path, help="the project's alloop.toml")
    parser.add_argument("--watch-s", type=float, help="seconds between two looks; loop.poll_s unless set")
    parser.add_argument("--ready", type=Path, help="a file to make once everything is open")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("alloop").setLevel(logging.INFO)
    with open_workspace(asked.config):
        pass  # what is wrong with the project is told at once
    if asked.ready:
        asked.ready.touch()
    relay(asked.config, watch_s=asked.watch_s)


if __name__ == "__main__":
    main()
