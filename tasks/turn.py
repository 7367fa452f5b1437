"""Whose turn it is: of all the runs that Prefect starts for a project, one at a time walks its open cycle.

A run that a schedule started opens the next cycle, or ends at once when another run has the open one in hand, be it at
work or asleep. The relay starts a run for a certain attempt at a certain cycle. A run that was resumed is still the
attempt it was. The ledger knows all three, so a run that comes late, twice or from the dead does no harm.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run

import alloop.cycle as loop
from alloop.errors import LeaseHeld, LeaseLost, LoopError
from alloop.workspace import Workspace, open_workspace
from tasks.step import cycle_id

__all__ = ["NotOurTurn", "Turn", "take_turn"]

ASLEEP_S = 365 * 24 * 3600
"""How long a run may sleep. Prefect fails it then, by default after an hour: the promise about time is the ledger's."""
PATIENCE_S = 90.0
"""How long to wait for the process that lived in this attempt before: it may still be leaving."""
LOOK_AGAIN_S = 0.5
BY_SCHEDULE = "auto-scheduled"
"""The tag that Prefect's scheduler gives its runs."""


class NotOurTurn(Exception):
    """There is nothing for this run to do; why."""


@dataclass(frozen=True)
class Turn:
    """The right to walk a cycle, until a newer attempt takes it."""

    ws: Workspace
    number: int
    attempt: int

    @property
    def cycle(self) -> str:
        """The cycle's id, such as "digits/7"."""
        return cycle_id(self.ws.config.project.name, self.number)

    def sleep(self) -> None:
        """Suspend this run: its process ends here, and once somebody resumes it, the flow begins again from its top."""
        try:
            times = self.ws.ledger.attempts.sleep(self.number, self.attempt)
        except LeaseLost as lost:
            raise NotOurTurn(str(lost)) from lost
        suspend_flow_run(timeout=ASLEEP_S, key=f"labels-{times}")  # with a key that was used it would not sleep


@contextmanager
def take_turn(config: str, cycle: int | None, attempt: int | None) -> Iterator[Turn]:
    """The turn of the flow run that calls this, held while the block runs; NotOurTurn when it has none.

    `cycle` and `attempt` are what the relay asked this run for; a run that a schedule or a person started has neither.
    """
    run = _this_run()
    with open_workspace(Path(config)) as ws, ExitStack() as held:
        turn = Turn(ws, *_claim(ws, run, cycle, attempt))
        _enter(turn, held)
        _rename(run, turn)
        yield turn


def _this_run() -> FlowRun:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise LoopError("this flow runs as a deployment only; use 'alloop run' for one without")
    return context.flow_run


def _claim(ws: Workspace, run: FlowRun, cycle: int | None, attempt: int | None) -> tuple[int, int]:
    """(cycle, attempt) that this run is."""
    known = ws.ledger.attempts.of_run(str(run.id))
    if known is not None:
        return known.cycle, known.number
    if cycle is None or attempt is None:
        return _open(ws, run)
    ws.ledger.attempts.name(cycle, attempt, str(run.id))
    return cycle, attempt


def _open(ws: Workspace, run: FlowRun) -> tuple[int, int]:
    try:
        cycle = loop.open_cycle(ws)
    except LoopError as error:  # an empty pool, a loop on hold: nothing failed, and there is nothing to do
        raise NotOurTurn(str(error)) from error
    newest = ws.ledger.attempts.newest(cycle)
    if newest is not None and (BY_SCHEDULE in run.tags or newest.alive):
        raise NotOurTurn(f"cycle {cycle} is in the hands of run {newest.run or 'that is being started'}")
    number = newest.number + 1 if newest else 1  # what a person starts takes over from a run that sleeps or is dead
    if not ws.ledger.attempts.begin(cycle, number, run=str(run.id)):
        raise NotOurTurn(f"cycle {cycle} was taken by another run just now")
    return cycle, number


def _enter(turn: Turn, held: ExitStack) -> None:
    """Live in the attempt from now on, once the process that did so before has left it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            held.enter_context(turn.ws.ledger.attempts.living(turn.number, turn.attempt))
        except LeaseLost as lost:
            raise NotOurTurn(str(lost)) from lost
        except LeaseHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_S)
        else:
            return


def _rename(run: FlowRun, turn: Turn) -> None:
    """Let people see in Prefect which cycle this is; a server that does not answer now will show the old name."""
    name = f"cycle-{turn.number}" if turn.attempt == 1 else f"cycle-{turn.number}-attempt-{turn.attempt}"
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=name)
