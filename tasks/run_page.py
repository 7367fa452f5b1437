"""What the page of a flow run shows in Prefect: its name, its tags, our log lines, and the page of its cycle."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException
from prefect.logging.handlers import APILogHandler

from alloop.log_lines import ROOT
from alloop.report_cycle import cycle_markdown, cycle_title
from alloop.workspace import Workspace

__all__ = ["TAG", "logged_to_run", "name_run", "put_up_cycle", "show_run"]

TAG = "alloop"
"""The tag of all our runs, besides such as "project:digits" and "cycle:7"."""


def name_run(project: str, cycle: int, *, name: str) -> None:
    """Give this flow run its name and its tags.

    Its task runs get none: Prefect asks for a concurrency slot for each tag of a task at each start of it, which its server
    on SQLite now and then refuses for two seconds.
    """
    show_run(name, (TAG, f"project:{project}", f"cycle:{cycle}"))


def show_run(name: str, more_tags: tuple[str, ...]) -> None:
    """Name this flow run and add tags to it; a server that does not answer now goes on showing the old ones."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run = context.flow_run
    with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=name, tags=[*dict.fromkeys((*run.tags, *more_tags))])


def put_up_cycle(ws: Workspace, cycle: int) -> None:
    """Put the page of a cycle up; those of a project stand under one key, as versions."""
    project = ws.config.project.name
    key = f"alloop-{project.replace('_', '-')}"
    create_markdown_artifact(cycle_markdown(ws, cycle), key=key, description=cycle_title(ws, cycle))


@contextmanager
def logged_to_run() -> Iterator[None]:
    """Send what alloop logs to the log of the task run at work, plain lines too; other threads only with its context."""
    logger = logging.getLogger(ROOT)
    if any(isinstance(handler, APILogHandler) for handler in logger.handlers):  # PREFECT_LOGGING_EXTRA_LOGGERS=alloop
        yield
        return
    handler, level = APILogHandler(), logger.level
    handler.addFilter(lambda _: TaskRunContext.get() is not None)
    logger.addHandler(handler)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
