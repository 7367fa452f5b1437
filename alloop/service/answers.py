"""From errors to HTTP: which remedy is which status; and request bodies with a bound."""

import asyncio
import logging

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from alloop.annotation.hints import BadHint
from alloop.errors import AlloopError, Forged, LedgerBusy

__all__ = ["read_body", "refusal"]

LOG = logging.getLogger("alloop.service")
STATUS = {Forged: 401, BadHint: 422, LedgerBusy: 503}
BODY_S = 10.0
"""How long a body may take to arrive."""


def refusal(error: AlloopError) -> HTTPException:
    """The answer that an error becomes: its sentence where the sender can mend it, else only what to do."""
    status = STATUS.get(type(error), 500)
    if status < 500:
        return HTTPException(status, str(error))
    LOG.warning("%s: %s", type(error).__name__, error)
    if status == 503:
        return HTTPException(503, "the ledger is busy; send it again", headers={"Retry-After": "5"})
    return HTTPException(500, "this cannot be answered; the service's log says why")


async def read_body(request: Request, limit: int) -> bytes:
    """A request's body of at most `limit` bytes, whatever its headers say; HTTPException 413 beyond it, 408 too late."""
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request, limit)
    except TimeoutError:
        raise HTTPException(408, f"the body took more than {BODY_S:.0f} s; send it again") from None
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off; send it again") from None


async def _read(request: Request, limit: int) -> bytes:
    too_long = HTTPException(413, f"the body is larger than {limit} bytes; send less at once")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:19]) > limit:  # only saves reading it: what comes is counted all the same
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_long
    return bytes(body)
