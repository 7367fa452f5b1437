"""Where `now` comes from: the wall, or a virtual clock that simulated annotators can make run."""

import fcntl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from alloop.errors import LoopError
from alloop.whole_files import write_atomically

__all__ = ["Clock", "VirtualClock", "WallClock"]


class Clock(Protocol):
    """Aware UTC time, and a way to let some of it pass."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class WallClock:
    """The time of day."""

    def now(self) -> datetime:
        """The time of day in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when somebody sleeps; its time is a file, so that every process sees the same."""

    def __init__(self, path: Path, start: datetime) -> None:
        self._path = path
        self._start = start

    def now(self) -> datetime:
        """The virtual time; LoopError when its file holds none."""
        try:
            return datetime.fromisoformat(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return self._start
        except ValueError as error:
            raise LoopError(f"{self._path} holds no time ({error}); restore it, or delete it to begin anew") from error

    def sleep(self, seconds: float) -> None:
        """Move the time on at once; of several who sleep at once, each moves it by its own share."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f".{self._path.name}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            moved = self.now() + timedelta(seconds=seconds)
            write_atomically(self._path, moved.isoformat().encode("ascii"))
