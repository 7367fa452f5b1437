"""Webhooks: verify, store, answer at once, and wake the loop. The labels themselves are read from the tool."""

import logging
import time
from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from alloop.annotation.hints import MAX_BYTES, PARSERS, Hint
from alloop.clock import Clock
from alloop.errors import AlloopError
from alloop.ledger.hints import Delivery
from alloop.service.answers import read_body, refusal
from alloop.service.inbox import Inbox
from alloop.service.metrics import Metrics
from alloop.service.secrets import ADVICE, reveal
from alloop.service.threads import Threads
from alloop.workspace import Workspace

__all__ = ["Wake", "Webhooks", "rest", "waking", "webhook_routes"]

Wake = Callable[[str], None]
"""Called with the project's name, in a thread, after a hint was stored and its sender answered."""
NAMES = {400: "broken off", 401: "forged", 404: "unknown project", 408: "slow", 413: "oversized", 422: "malformed"}
"""{HTTP status: what the metrics call it}."""
LARGE = 1 << 16
"""Bytes; the annotations that Label Studio was seen to send have 5,000."""
LARGE_AT_ONCE = 4
LOG = logging.getLogger("alloop.service")


def rest(project: str) -> None:
    """A Wake for loops that look by themselves: whoever waits for labels watches the hints in the ledger."""


def waking(wake: Wake, project: str) -> None:
    """Wake, and only log what goes wrong: the hint is stored, and the loop looks on a timer too."""
    try:
        wake(project)
    except Exception as error:  # whoever handed it in may fail in any way
        LOG.warning("project '%s' was not woken (%s); it looks on its timer", project, type(error).__name__)


class Webhooks:
    """Takes in what tools send."""

    def __init__(self, ws: Workspace, *, metrics: Metrics, clock: Clock, wake: Wake) -> None:
        self._project, self._metrics, self._clock, self._wake = ws.config.project.name, metrics, clock, wake
        self._secret = reveal(ws.config.service.webhook_secret, "webhook_secret")
        self._inbox, self._threads = Inbox(ws.ledger.hints.receive), Threads(LARGE_AT_ONCE)

    async def receive(self, request: Request) -> JSONResponse:
        """Answer a delivery of the tool that its path names."""
        tool = request.path_params["tool"]
        if tool not in PARSERS:
            raise HTTPException(404, f"there is no webhook for this tool; known are {', '.join(PARSERS)}")
        began, status = time.perf_counter(), "failed"
        try:
            is_new = await self._store(request, tool)
            status = "stored" if is_new else "duplicate"
        except AlloopError as error:
            refused = refusal(error)
            status = NAMES.get(refused.status_code, "failed")
            raise refused from error
        except HTTPException as refused:
            status = NAMES.get(refused.status_code, "failed")
            raise
        finally:
            self._metrics.count_hint(tool, status, time.perf_counter() - began)
        # nobody to wake, no thread for it: those of 32 senders at once kept the others waiting for 50 ms (2026-11)
        wakes = is_new and self._wake is not rest
        waking_up = BackgroundTask(waking, self._wake, self._project) if wakes else None
        return JSONResponse({"status": status}, background=waking_up)

    async def _store(self, request: Request, tool: str) -> bool:
        if not self._secret:
            raise HTTPException(503, f"no webhook secret is set; set ALLOOP_SERVICE__WEBHOOK_SECRET, {ADVICE}")
        raw = await read_body(request, MAX_BYTES)
        parts = (request.headers, raw, self._secret, self._clock.now())
        # a megabyte takes 70 ms, in which nobody else would be answered; a thread for each small one would cost more
        parse = partial(PARSERS[tool], *parts)
        hint = parse() if len(raw) < LARGE else await self._threads.run(parse)
        self._refuse_strangers(hint, request.query_params.get("project"))
        return await self._inbox.put(Delivery(hint.tool, hint.event, hint.key, hint.body))

    def _refuse_strangers(self, hint: Hint, addressed: str | None) -> None:
        """Refuse what is meant for another project; known only after the secret was checked, so that nobody can guess."""
        for named in (hint.project, addressed):
            if named is not None and named != self._project:
                raise HTTPException(404, f"there is no project {named[:80]!r} here; correct the webhook's address")


def webhook_routes(webhooks: Webhooks) -> APIRouter:
    """POST /webhooks/{tool}; `?project=` may name the project it is meant for."""
    routes = APIRouter()
    # a plain route: looking for parameters that FastAPI could fill in took a tenth of each answer (2026-11)
    routes.add_route("/webhooks/{tool}", webhooks.receive, methods=["POST"])
    return routes
