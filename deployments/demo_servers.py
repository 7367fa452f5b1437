"""The servers of the demo with Label Studio, as children that end with it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from alloop.errors import LoopError
from deployments.processes import Child, Part

__all__ = ["answers", "running"]

CHECKOUT = Path(__file__).parents[1]
START_S = 240.0
"""Seconds; the first start of Label Studio migrates an empty database: 40 s on an idle machine (2026-11)."""
LOOK_S = 0.2

Wait = Callable[[], None]


@contextmanager
def running(parts: Sequence[Part], logs: Path, env: Mapping[str, str]) -> Iterator[Wait]:
    """Start all parts at once and give a function that waits until they are ready; at the end all are stopped.

    LoopError, with its log's place, when a part ends or takes too long.
    """
    logs.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    known = {**os.environ, **env, "PYTHONPATH": paths}
    children = [Child(part, log=logs / f"{part.name}.log", env=known) for part in parts]
    try:
        for child in children:
            child.start()
        yield lambda: _wait_until_ready(children)
    finally:
        for child in children:
            child.ask_to_stop()
        for child in children:
            child.stop()


def _wait_until_ready(children: Sequence[Child]) -> None:
    deadline = time.monotonic() + START_S
    for child in children:
        while not child.part.is_ready():
            if not child.lives or time.monotonic() > deadline:
                raise LoopError(f"{child.part.name} did not start; read {child.log}")
            time.sleep(LOOK_S)


def answers(url: str) -> Callable[[], bool]:
    """A function that tells whether somebody answers well at `url`."""

    def is_there() -> bool:
        try:
            return httpx.get(url, timeout=2).is_success
        except httpx.TransportError:
            return False

    return is_there
