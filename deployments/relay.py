"""The relay: takes in what people answered while no run is there to do it, and sees to it that the open cycle has a run.

    python -m deployments.relay ALLOOP_TOML [--watch-s 60]

It looks every `loop.poll_s` seconds, and at once when a tool sent a hint; what it does then stands in `tasks.mending`. All
that it knows stands in the ledger and in Prefect, so it can be killed and started again at any moment, and two of them do no
harm.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alloop.clock import VirtualClock
from alloop.errors import AlloopError
from alloop.watch import watch
from alloop.workspace import Workspace, open_workspace
from tasks.mending import look
from tasks.runs import open_runs

__all__ = ["relay"]

log = logging.getLogger("alloop.relay")
HINT_S = 1.0
"""How soon a hint is noticed."""
AGAIN_S = 10.0
"""How soon a project is opened again that could not be."""


def relay(config: Path, *, watch_s: float | None = None) -> None:
    """Look again and again; what goes wrong is told once, and tried again."""
    trying = Trying()
    while True:
        looked = False
        with trying("project"), open_workspace(config) as ws:
            looked, wait_s, hint = True, watch_s or ws.config.loop.poll_s, ws.ledger.hints.newest()
            with trying("clocks"):
                watch(ws, ws.clock.now())
            with trying("runs"), open_runs(config=ws.config.file, project=ws.config.project.name) as runs:
                look(ws, runs, watch_s=wait_s)
            _rest(ws, wait_s, hint=hint)
        if not looked:
            time.sleep(watch_s or AGAIN_S)


class Trying:
    """Goes on after an error of alloop's or of the disk, and logs it unless it is the one that it logged before."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Try one thing."""
        try:
            yield
        except (AlloopError, OSError) as error:  # a full disk has room again at some time, and the relay is still there
            # without the name of a temporary file, which is another each time
            cause = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            if self._told.get(what) != cause:
                log.warning("%s", error)
            self._told[what] = cause
        else:
            self._told.pop(what, None)


def _rest(ws: Workspace, seconds: float, *, hint: int) -> None:
    """Wait for the next look: until the time is up, or a newer hint is there."""
    if isinstance(ws.clock, VirtualClock):
        seconds = min(seconds, HINT_S)  # simulated people need not be waited for
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(HINT_S, left))
        if ws.ledger.hints.newest() > hint:
            return


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.relay", description=__doc__)
    parser.add_argument("config", type=Path, help="the project's alloop.toml")
    parser.add_argument("--watch-s", type=float, help="seconds between two looks; loop.poll_s unless set")
    parser.add_argument("--ready", type=Path, help="a file to make once everything is open")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("alloop").setLevel(logging.INFO)
    with open_workspace(asked.config):
        pass  # what is wrong with the project is told at once
    if asked.ready:
        asked.ready.touch()
    relay(asked.config, watch_s=asked.watch_s)


if __name__ == "__main__":
    main()
