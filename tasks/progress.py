"""Progress of a task: on the console of `alloop run`, and as a progress artifact in the Prefect UI."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from alloop.nouns import Progress
from alloop.progress import current_progress

__all__ = ["task_progress"]

SHOW_AFTER_S = 3.0
"""Work that is done sooner needs no artifact."""
EVERY_S = 2.0


@contextmanager
def task_progress() -> Iterator[Progress]:
    """A Progress that tells the console at once, and the Prefect UI every two seconds."""
    console = current_progress()
    artifact = _Artifact()

    def progress(what: str, done: int, total: int) -> None:
        console(what, done, total)
        if total:
            artifact.show(what, 100 * done / total)

    yield progress


class _Artifact:
    def __init__(self) -> None:
        self._next = time.monotonic() + SHOW_AFTER_S
        self._what = ""
        self._id: UUID | None = None

    def show(self, what: str, percent: float) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        if self._id is None or what != self._what:
            self._id, self._what = cast("UUID", create_progress_artifact(percent, description=what)), what
        else:
            update_progress_artifact(self._id, percent)
