"""One child of the supervisor: started, watched, started again when it dies, and stopped with all that it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Child", "Part"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
SETTLED_S = 60.0
"""A child that lived this long and dies is started again at once, and not with the pause that it had earned before."""


@dataclass(frozen=True)
class Part:
    """What to run: a module with its arguments, how to tell that it is ready, and how long it may take to stop."""

    name: str
    module: tuple[str, ...]
    is_ready: Callable[[], bool]
    stop_s: float


class Child:
    """A part as a process in a session of its own, so that the terminal's Ctrl-C goes to the supervisor alone."""

    def __init__(self, part: Part, *, log: Path, env: Mapping[str, str]) -> None:
        self.part, self.log, self._env = part, log, dict(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._again_at = 0.0
        self._pause_s = FIRST_PAUSE_S

    @property
    def pid(self) -> int | None:
        """Its process; none before the first start."""
        return None if self._process is None else self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; what it says goes to the end of its log."""
        command = [sys.executable, "-m", "deployments.child", *self.part.module]
        with self.log.open("ab") as told:
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                command, stdin=subprocess.PIPE, stdout=told, stderr=told, env=self._env, start_new_session=True
            )
        self._began = time.monotonic()

    def revive(self) -> str | None:
        """Start it again if it died and its pause is over; what to tell of it, if anything."""
        if self._process is None or self.lives:
            return None
        now = time.monotonic()
        if self._again_at == 0.0:
            self._kill_group()
            if now - self._began > SETTLED_S:
                self._pause_s = FIRST_PAUSE_S
            self._again_at = now + self._pause_s
            ended = _told(self._process.returncode)
            return f"{self.part.name} {ended}; started again in {self._pause_s:g} s, see {self.log}"
        if now >= self._again_at:
            self._again_at, self._pause_s = 0.0, min(2 * self._pause_s, LONGEST_PAUSE_S)
            self.start()
        return None

    def ask_to_stop(self) -> None:
        """Tell it to end."""
        if self.lives and self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End it and everything it started; after `part.stop_s` by force."""
        if self._process is None:
            return
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=self.part.stop_s)
        self._kill_group()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _kill_group(self) -> None:
        """Its session outlives it: a runner that was killed leaves the processes of its runs behind."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _told(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
