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
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import Pause, PrefectException
from prefect.states import Suspended

import alloop.cycle as loop
from alloop.errors import CycleClosed, LeaseHeld, LeaseLost, LoopError
from alloop.workspace import Workspace, open_workspace
from tasks.run_page import TAG, name_run, put_up_cycle, show_run
from tasks.step import cycle_id

__all__ = ["GivenUp", "NotOurTurn", "Turn", "take_turn"]

ASLEEP_S = 365 * 24 * 3600
"""How long a run may sleep. Prefect fails it then, by default after an hour: the promise about time is the ledger's."""
PATIENCE_S = 90.0
"""How long to wait for the process that lived in this attempt before: it may still be leaving."""
LOOK_AGAIN_S = 0.5
BY_SCHEDULE = "auto-scheduled"
"""The tag that Prefect's scheduler gives its runs."""


class NotOurTurn(Exception):
    """There is nothing for this run to do; why."""


class GivenUp(Exception):
    """A person cancelled the cycle while this run was at it; how."""


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

    @contextmanager
    def giving_up(self) -> Iterator[None]:
        """Turn the error of a step that finds the cycle closed into GivenUp, where a person has cancelled it."""
        try:
            yield
        except CycleClosed as closed:
            if self.ws.ledger.cycles.get(self.number).closed_at is None:  # paused, or being cancelled just now
                raise
            raise GivenUp(str(closed)) from closed

    def sleep(self) -> None:
        """Suspend this run: its process ends here, and once somebody resumes it, the flow begins again from its top."""
        try:
            times = self.ws.ledger.attempts.sleep(self.number, self.attempt)
        except LeaseLost as lost:
            raise NotOurTurn(str(lost)) from lost
        with suppress(httpx.HTTPError, PrefectException):  # a page that is missing keeps nobody awake
            put_up_cycle(self.ws, self.number)
        answered, asked = self.ws.ledger.labels.pending(self.number)
        _suspend(
            key=f"labels-{times}",  # with a key that was used it would not sleep
            why=f"waits for labels: {answered} of {asked} answered on {self.ws.clock.now():%d %b %H:%M} UTC; "
            "it is woken by itself when the batch is complete",
        )


@contextmanager
def take_turn(config: str, cycle: int | None, attempt: int | None) -> Iterator[Turn]:
    """The turn of the flow run that calls this, held while the block runs; NotOurTurn when it has none.

    `cycle` and `attempt` are what the relay asked this run for; a run that a schedule or a person started has neither.
    """
    run = _this_run()
    with open_workspace(Path(config)) as ws, ExitStack() as held:
        try:
            turn = Turn(ws, *_claim(ws, run, cycle, attempt))
            _enter(turn, held)
        except NotOurTurn:
            show_run("nothing-to-do", (TAG, f"project:{ws.config.project.name}"))
            raise
        name_run(ws.config.project.name, turn.number, name=_name(turn))
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


def _name(turn: Turn) -> str:
    return f"cycle-{turn.number}" if turn.attempt == 1 else f"cycle-{turn.number}-attempt-{turn.attempt}"


def _suspend(*, key: str, why: str) -> None:
    """What Prefect's suspend_flow_run does, with a message that the page of the run shows; returns when the key was used."""
    asleep: State[None] = Suspended(timeout_seconds=ASLEEP_S, pause_key=key, message=why)
    with get_client(sync_client=True) as client:
        answer = client.set_flow_run_state(_this_run().id, asleep)
    if answer.status is SetStateStatus.ACCEPT:
        raise Pause(state=answer.state)
    if answer.state is None or not answer.state.is_running():
        raise LoopError(f"Prefect did not let the run sleep ({answer.details}); it is revived")
