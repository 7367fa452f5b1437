"""What the task of every step shares: the ledger remembers, Prefect retries and shows.

A task is handed the path of an alloop.toml and a cycle's id such as "digits/7", and gives the id back: ids travel,
arrays stay in files, and because a text is passed on, Prefect draws the arrows between the steps.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from alloop.cycle import patiently
from alloop.errors import LabelsPending, Transient
from alloop.workspace import Workspace, open_workspace
from tasks.progress import task_progress

__all__ = ["cycle_id", "cycle_number", "do", "is_worth_retrying", "step"]

P = ParamSpec("P")
R = TypeVar("R")
RETRIES = 4
FIRST_DELAY_S = 2


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


def do(config: str, cycle: str, work: Callable[[Workspace, int], int]) -> str:
    """Open the project, do one step of the loop, and pass the cycle's id on."""
    with task_progress() as progress, open_workspace(Path(config), progress=progress) as ws:
        patiently(work, ws, cycle_number(cycle))
    return cycle
