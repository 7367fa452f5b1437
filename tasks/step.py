"""What the task of every step shares: the ledger remembers, Prefect retries and shows.

A task is handed the path of an alloop.toml and a cycle's id such as "digits/7", and gives the id back: ids travel,
arrays stay in files, and because a text is passed on, Prefect draws the arrows between the steps.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from alloop.cycle import patiently
from alloop.errors import LabelsPending, Transient
from alloop.log_lines import at_step
from alloop.workspace import Workspace, open_workspace
from tasks.progress import task_progress
from tasks.run_page import logged_to_run

__all__ = ["cycle_id", "cycle_number", "do", "is_worth_retrying", "opened", "step"]

log = logging.getLogger("alloop.steps")

P = ParamSpec("P")
R = TypeVar("R")
RETRIES = 6
FIRST_DELAY_S = 2
"""Six retries take two minutes together: a labelling tool that is restarted is back by then."""


def is_worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again helps: a Transient error, but not labels that are not there yet."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, Transient) and not isinstance(error, LabelsPending)


def step(*, name: str, timeout_seconds: float | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Turns a function into the task of a step; no timeout is for steps that wait for people."""

    def wrap(function: Callable[P, R]) -> Task[P, R]:
        return Task(
            fn=function,
            name=name,
            timeout_seconds=timeout_seconds,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=RETRIES,
            retry_delay_seconds=exponential_backoff(FIRST_DELAY_S),
            retry_jitter_factor=0.5,
            retry_condition_fn=is_worth_retrying,
        )

    return wrap


def cycle_id(project: str, number: int) -> str:
    """What names a cycle between tasks."""
    return f"{project}/{number}"


def cycle_number(cycle: str) -> int:
    """The number in a cycle's id."""
    return int(cycle.rpartition("/")[2])


def do(config: str, cycle: str, stage: str, work: Callable[[Workspace, int], int]) -> str:
    """Open the project, do one step of the loop, and pass the cycle's id on."""
    with opened(config, cycle, stage) as ws:
        patiently(work, ws, cycle_number(cycle))
    return cycle


@contextmanager
def opened(config: str, cycle: str, stage: str) -> Iterator[Workspace]:
    """The project for one step of a cycle: progress and log lines go to the page of the run, what it found at its end."""
    project, number = cycle.rpartition("/")[0], cycle_number(cycle)
    with (
        logged_to_run(),
        at_step(project, number, stage),
        task_progress() as progress,
        open_workspace(Path(config), progress=progress) as ws,
    ):
        was_done, began = _is_done(ws, number, stage), time.monotonic()
        yield ws
        if was_done:
            log.info("was done before, nothing is done again")
        elif _is_done(ws, number, stage):
            log.info("done in %.1f s%s", time.monotonic() - began, _found(ws, number, stage))


def _is_done(ws: Workspace, cycle: int, stage: str) -> bool:
    return any(one.step == stage and one.finished_at is not None for one in ws.ledger.steps.of(cycle))


def _found(ws: Workspace, cycle: int, stage: str) -> str:
    """What the ledger notes of the step in single numbers and words."""
    facts = ws.ledger.steps.facts(cycle, stage).items()
    told = [f"{name} {value}" for name, value in facts if isinstance(value, int | str) and not isinstance(value, bool)]
    return f": {', '.join(told)}" if told else ""
