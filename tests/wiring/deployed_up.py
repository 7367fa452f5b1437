"""`alloop up` as a person starts it, in a process of its own, and what can be seen of it from outside."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from alloop.cli import main; main()"
)
"""A child of a shell's background job ignores Ctrl-C; a command that is typed does not."""
READY_S = 180.0


@dataclass(frozen=True)
class Up:
    """A running `alloop up`."""

    process: "subprocess.Popen[bytes]"
    said: Path
    prefect: str

    def text(self) -> str:
        return self.said.read_text()

    def parts(self) -> dict[str, psutil.Process]:
        """Its living children by name."""
        names = {"deployments.server": "server", "deployments.runner": "runner", "deployments.relay": "relay"}
        found = {}
        for child in psutil.Process(self.process.pid).children():
            try:
                module = child.cmdline()[3]
            except (psutil.Error, IndexError):
                continue
            found[names.get(module, "service")] = child
        return found

    def everything(self) -> list[psutil.Process]:
        """All processes below it, those of flow runs included."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, how: int = signal.SIGINT, *, within_s: float = 60) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=within_s)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(is_so: Callable[[], bool], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def environment(**more: str) -> dict[str, str]:
    """Of somebody who has no Prefect server, and whose ports are free."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    ports = {"PREFECT_SERVER_API_PORT": str(free_port()), "ALLOOP_SERVICE__PORT": str(free_port())}
    return ours | ports | more


@contextmanager
def started(config: Path, *options: str, env: dict[str, str]) -> Iterator[Up]:
    """`alloop up` in a session of its own, as in a terminal; whatever is left of it at the end is killed."""
    said = config.with_name("said")
    command = [sys.executable, "-c", INTERRUPTIBLE, "up", "--config", str(config), *options]
    with (
        said.open("wb") as told,
        subprocess.Popen(command, stdout=told, stderr=told, env=env, start_new_session=True) as process,
    ):
        up = Up(process, said, f"http://127.0.0.1:{env['PREFECT_SERVER_API_PORT']}/api")
        try:
            yield up
        finally:
            left = up.everything() if process.poll() is None else []
            process.kill()
            for one in left:
                if one.is_running():
                    one.kill()


@contextmanager
def ready(config: Path, *options: str, env: dict[str, str]) -> Iterator[Up]:
    """The same, once it has said that it is ready."""
    with started(config, *options, env=env) as up:
        until(lambda: "ready; Ctrl-C ends it" in up.text() or up.process.poll() is not None, within_s=READY_S)
        assert up.process.poll() is None, up.text()
        yield up
