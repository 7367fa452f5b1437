"""A Prefect server for one command: it ends with the process that started it, however that ends."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, get_current_settings, temporary_settings

from alloop.errors import LoopError

__all__ = ["prefect_api"]

START_S = 90.0
STOP_S = 10.0
EPHEMERAL = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect 3.8 sets for its own temporary server: no UI, and only the services that one process needs."""
PROGRAM = """
import os, socket, sys, threading
door = socket.create_server(("127.0.0.1", 0))
print(door.getsockname()[1], flush=True)
import uvicorn
settings = uvicorn.Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
server = uvicorn.Server(settings)
def leave():
    sys.stdin.read()
    threading.Timer(5, os._exit, [0]).start()
    server.should_exit = True
threading.Thread(target=leave, daemon=True).start()
server.run(sockets=[door])
os._exit(0)
"""
"""Its standard input is a pipe that ends when the parent does, also by kill -9."""


@contextmanager
def prefect_api() -> Iterator[str]:
    """The address of Prefect's API while the block runs: what PREFECT_API_URL names, or a server of our own.

    The server that Prefect would start itself gets the terminal's Ctrl-C too, and the flow then spends a minute asking it
    in vain; killed, the flow leaves it behind (Prefect 3.8.8, 2026-11). LoopError when ours does not start.
    """
    if named := PREFECT_API_URL.value():
        yield named
        return
    log = Path(PREFECT_HOME.value()) / "alloop-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with _server(log) as url, temporary_settings({PREFECT_API_URL: url}):
        try:
            yield url
        finally:  # states of tasks travel as events: what is not sent yet is lost with the server
            APILogWorker.drain_all(timeout=STOP_S)
            EventsWorker.drain_all(timeout=STOP_S)


@contextmanager
def _server(log: Path) -> Iterator[str]:
    env = os.environ | EPHEMERAL | get_current_settings().to_environment_variables(exclude_unset=True)
    with (
        log.open("wb") as told,
        subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-P", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            env=env,
            start_new_session=True,  # keeps the terminal's Ctrl-C away
        ) as child,
    ):
        try:
            assert child.stdout is not None
            url = f"http://127.0.0.1:{child.stdout.readline().decode().strip()}/api"
            _wait_until_ready(child, url, log)
            yield url
        finally:
            _stop(child)


def _wait_until_ready(child: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while child.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise LoopError(f"Prefect's server did not start within {START_S:.0f} s; read {log}, or run with --direct")


def _stop(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
