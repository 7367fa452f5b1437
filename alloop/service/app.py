"""The service as one ASGI application: webhooks, images, metrics."""

import logging
import time
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alloop.clock import Clock, WallClock
from alloop.service.images import Images, image_routes
from alloop.service.metrics import Metrics, metrics_routes
from alloop.service.webhooks import Wake, Webhooks, rest, webhook_routes
from alloop.workspace import Workspace

__all__ = ["RequestLog", "bare_app", "create_app"]

LOG = logging.getLogger("alloop.service")
SHOWN = 120
"""Characters of a path that the log shows."""


def create_app(ws: Workspace, *, wake: Wake = rest, clock: Clock | None = None) -> FastAPI:
    """Webhooks in, images and metrics out, for an open workspace; ConfigError when a secret is too short.

    `wake` is called after a hint was stored; `clock` is the time of day unless a test hands in another.
    """
    clock, metrics = clock or WallClock(), Metrics(ws)
    app = bare_app()
    app.include_router(webhook_routes(Webhooks(ws, metrics=metrics, clock=clock, wake=wake)))
    app.include_router(image_routes(Images(ws, metrics=metrics, clock=clock)))
    app.include_router(metrics_routes(ws, metrics))
    return app


def bare_app() -> FastAPI:
    """An application without pages of its own: those would load scripts from elsewhere."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(RequestLog)
    return app


class RequestLog:
    """One line per request, without its query and headers: signatures and secrets stand there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log it once it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            path = quote(scope["path"])[:SHOWN]  # quoted again: a line break in it would begin a line of its own
            LOG.info("%s %s %d %.1f ms", scope["method"], path, status, 1000 * (time.perf_counter() - began))
