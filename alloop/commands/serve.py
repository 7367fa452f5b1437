"""`alloop serve` and `alloop assist`."""

from typing import TYPE_CHECKING

from alloop.commands.shown import HERE, ConfigOption

if TYPE_CHECKING:
    import socket

    from fastapi import FastAPI

__all__ = ["assist", "serve"]


def serve(config: ConfigOption = HERE) -> None:
    """Take in webhooks, and serve signed images and metrics, until Ctrl-C."""
    import sys

    from alloop.service.app import create_app
    from alloop.service.secrets import missing
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        section = ws.config.service
        for fault in missing(section):
            print(f"alloop: {fault}", file=sys.stderr)
        with _bound(section.host, section.port, key="port") as listening:
            app = create_app(ws)
            print(
                f"serving project '{ws.config.project.name}' at http://{section.host}:{section.port}; Ctrl-C ends it",
                flush=True,
            )
            _run(app, listening)


def assist(config: ConfigOption = HERE) -> None:
    """Answer Label Studio's requests for pre-labels with the champion, until Ctrl-C."""
    from alloop.service.assist import create_assist
    from alloop.workspace import open_workspace

    with open_workspace(config) as ws:
        section = ws.config.service
        host, port = section.host, section.assist_port
        with _bound(host, port, key="assist_port") as listening:
            app = create_assist(ws)
            print(f"pre-labels of '{ws.config.project.name}' at http://{host}:{port}; Ctrl-C ends it", flush=True)
            _run(app, listening)


def _run(app: "FastAPI", listening: "socket.socket") -> None:
    import gc
    import logging

    import uvicorn

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("alloop.service").setLevel(logging.INFO)
    options = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # it would write signatures; the application has a log of its own
        server_header=False,
        limit_concurrency=500,
        timeout_graceful_shutdown=10,
    )
    gc.collect()
    gc.freeze()  # looking through all that was imported took 60 to 110 ms each time, while senders waited (2026-11)
    uvicorn.Server(options).run(sockets=[listening])


def _bound(host: str, port: int, *, key: str) -> "socket.socket":
    """A socket that listens there; ConfigError when it cannot, which uvicorn would tell as a log line."""
    import os
    import socket

    from alloop.errors import ConfigError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=512)
        # asyncio does so only for sockets that name their protocol; without it each answer took 40 ms (2026-11)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        number: int = error.errno or 0
        cause = os.strerror(number) if number > 0 else error.strerror or error  # Python's own text repeats the address
        raise ConfigError(f"nothing can listen at {host}:{port} ({cause}); choose another [service] {key}") from error
