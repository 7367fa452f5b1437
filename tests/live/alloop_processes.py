"""alloop's own commands as processes, for what kills them, leaves them out, or measures them from outside."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_S = 60.0


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def until(look: Callable[[], bool], *, within_s: float, every_s: float = 0.05) -> None:
    """Wait until `look` says yes; TimeoutError when it does not."""
    deadline = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {within_s:.0f} s for {look}")
        time.sleep(every_s)


def start_alloop(folder: Path, *command: str) -> "subprocess.Popen[bytes]":
    """`alloop` with this command on the project in `folder`; what it prints is added to a log there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALLOOP_", "PREFECT_"))}
    env = kept | {"PREFECT_HOME": str(folder / "prefect")}
    with log_of(folder, command[0]).open("ab") as log:
        arguments = [sys.executable, "-m", "alloop", *command, "--config", str(folder)]
        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env=env)


def log_of(folder: Path, command: str) -> Path:
    """What a command has printed."""
    return folder / f"{command}.log"


@contextmanager
def service(folder: Path, port: int) -> Iterator[None]:
    """A running `alloop serve`, stopped as Ctrl-C does."""
    process = start_alloop(folder, "serve")
    try:
        until(lambda: process.poll() is not None or _listens(port), within_s=START_S)
        if process.poll() is not None:
            raise RuntimeError(log_of(folder, "serve").read_text(errors="replace"))
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
