"""The fourth step: until the batch is complete."""

import logging

import alloop.cycle as loop
from alloop.errors import LabelsPending
from tasks.step import cycle_number, do, opened, step

__all__ = ["look_for_labels", "wait_for_labels"]

log = logging.getLogger("alloop.steps")
STAGE = "wait_for_labels"


@step(name="wait-for-labels")
def wait_for_labels(config: str, cycle: str) -> str:
    """Look again and again until everybody has answered, however long that takes."""
    return do(config, cycle, STAGE, loop.wait_until_labelled)


@step(name="wait-for-labels", timeout_seconds=3600)
def look_for_labels(config: str, cycle: str) -> str | None:
    """Look once; nothing while answers are missing."""
    with opened(config, cycle, STAGE) as ws:
        try:
            loop.patiently(loop.wait_for_labels, ws, cycle_number(cycle))
        except LabelsPending as pending:
            log.info("%s", pending)
            return None
    return cycle
