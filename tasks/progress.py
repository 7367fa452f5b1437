"""Progress of a task: on the console of `alloop run`, and as a progress artifact in the Prefect UI."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import PrefectException

from alloop.nouns import Progress
from alloop.progress import current_progress

__all__ = ["task_progress"]

log = logging.getLogger("alloop.steps")
SHOW_AFTER_S = 3.0
"""Work that is done sooner needs no artifact."""
EVERY_S = 2.0
AWAY_S = 60.0
"""How long a server that did not answer is left alone: to ask it may take a while."""
LOG_EVERY_S = 60.0
"""How often long work has a line in the log of its task run too."""
WHOLE = 100.0


@contextmanager
def task_progress() -> Iterator[Progress]:
    """A Progress that tells the console at once, the Prefect UI every two seconds, and the log every minute."""
    console, artifact, logged = current_progress(), _Artifact(), time.monotonic()

    def progress(what: str, done: int, total: int) -> None:
        nonlocal logged
        console(what, done, total)
        if not total:
            return
        artifact.show(what, WHOLE * done / total)
        if time.monotonic() - logged > LOG_EVERY_S:
            logged = time.monotonic()
            log.info("%s: %d of %d", what, done, total)

    yield progress


class _Artifact:
    """A bar in the Prefect UI for what takes longer than a moment; a server that is away ends no training."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SHOW_AFTER_S
        self._what, self._percent = "", 0.0
        self._id: UUID | None = None

    def show(self, what: str, percent: float) -> None:
        is_last = self._id is not None and what == self._what and percent >= WHOLE > self._percent
        if time.monotonic() < self._next and not is_last:
            return
        pause_s = AWAY_S
        with suppress(httpx.HTTPError, PrefectException):
            self._put_up(what, percent)
            pause_s = EVERY_S
        self._next = time.monotonic() + pause_s

    def _put_up(self, what: str, percent: float) -> None:
        if self._id is None or what != self._what:
            self._id, self._what = cast("UUID", create_progress_artifact(percent, description=what)), what
        else:
            update_progress_artifact(self._id, percent)
        self._percent = percent
