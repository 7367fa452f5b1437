"""What an open cycle needs, told from how its newest attempt looks in the ledger and its run in Prefect; pure."""

from enum import StrEnum
from typing import TYPE_CHECKING

from prefect.client.schemas.objects import StateType

from tasks.runs import Seen

if TYPE_CHECKING:
    from alloop.ledger.attempts import Attempt

__all__ = ["Remedy", "remedy", "revival_delay_s"]

STARTING_S = 60.0
"""How long a run may take from Prefect's word to a process that lives in it; on a busy machine 20 s were seen."""
LEAVING_S = 60.0
"""How long a run that left its attempt may take to tell Prefect so."""
LONGEST_S = 3600.0
"""A cycle that fails again and again is tried once an hour, until somebody mends or cancels it."""


class Remedy(StrEnum):
    """What to do for a cycle."""

    LEAVE = "leave"
    START = "start"
    RESUME = "resume"
    BURY = "bury"
    REVIVE = "revive"


def remedy(attempt: "Attempt", seen: Seen | None, *, labelled: bool) -> Remedy:
    """The next thing to do; `labelled` says that the cycle's batch is closed, so that nobody is waited for.

    START: the attempt was begun, and has no run yet. RESUME: it sleeps, and need not. BURY: Prefect takes it for alive,
    and it is not. REVIVE: it ended before the cycle did. A run that a person cancelled is left alone.
    """
    if attempt.run is None:
        return Remedy.START
    if attempt.alive:
        return Remedy.LEAVE
    if seen is None:
        return Remedy.REVIVE
    if seen.state is StateType.PAUSED:
        return Remedy.RESUME if labelled else Remedy.LEAVE
    if seen.state in (StateType.SCHEDULED, StateType.CANCELLING, StateType.CANCELLED):
        return Remedy.LEAVE  # a scheduled run is late while no runner runs, and starts when there is one
    if seen.state is StateType.PENDING:
        return Remedy.BURY if seen.for_s > STARTING_S else Remedy.LEAVE
    if seen.state is StateType.RUNNING:
        return Remedy.BURY if _is_dead(attempt, seen) else Remedy.LEAVE
    return Remedy.REVIVE


def _is_dead(attempt: "Attempt", seen: Seen) -> bool:
    """Of a run that Prefect takes for running and in which no process lives.

    A claim from before it ran, such as that of a process that was killed while it fell asleep, tells nothing about it.
    """
    died_in_it = attempt.claimed and attempt.silent_s < seen.for_s
    return died_in_it or (seen.for_s > STARTING_S and attempt.silent_s > LEAVING_S)


def revival_delay_s(futile: int, watch_s: float) -> float:
    """How long after its end an attempt is followed by the next: at once, and later and later while none gets further.

    `futile` counts the attempts in a row that began at the step where the cycle still stands.
    """
    return float(min(watch_s * (2 ** max(0, min(futile, 32) - 1) - 1), LONGEST_S))
