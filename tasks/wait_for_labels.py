"""The fourth step: until the batch is complete."""

from pathlib import Path

import alloop.cycle as loop
from alloop.errors import LabelsPending
from alloop.workspace import open_workspace
from tasks.progress import task_progress
from tasks.step import cycle_number, do, step

__all__ = ["look_for_labels", "wait_for_labels"]


@step(name="wait-for-labels")
def wait_for_labels(config: str, cycle: str) -> str:
    """Look again and again until everybody has answered, however long that takes."""
    return do(config, cycle, loop.wait_until_labelled)


@step(name="wait-for-labels", timeout_seconds=3600)
def look_for_labels(config: str, cycle: str) -> str | None:
    """Look once; nothing while answers are missing."""
    with task_progress() as progress, open_workspace(Path(config), progress=progress) as ws:
        try:
            loop.patiently(loop.wait_for_labels, ws, cycle_number(cycle))
        except LabelsPending:
            return None
    return cycle
