"""Images for the browsers of annotators: signed addresses, registered samples, and exactly the bytes that were added."""

import asyncio
import io
import os
import re
import stat
from functools import partial

import fsspec
from fastapi import APIRouter, HTTPException, Request, Response
from PIL import Image

from alloop.clock import Clock
from alloop.errors import AlloopError, BadImage, Forged
from alloop.images import content_id, decode
from alloop.ledger.samples import SampleFile
from alloop.nouns import Split
from alloop.service.answers import refusal
from alloop.service.metrics import Metrics
from alloop.service.secrets import ADVICE, reveal
from alloop.service.threads import Threads
from alloop.signing import Signer
from alloop.workspace import Workspace

__all__ = ["Images", "image_routes"]

SAMPLE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
SHOWN = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}
"""{Pillow's format: media type} of what every browser shows; anything else becomes a PNG."""
READ_S = 30.0
"""How long an image may take, from its place in the queue to the last byte that storage gives."""
AT_ONCE = 8
"""Images in memory at a time; one whose storage hangs counts until it answers, whether or not somebody still waits."""
CACHE_S = 3600
SAFE = {
    "Access-Control-Allow-Origin": "*",  # the address is the permission, and no cookie is asked for
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",
}

SUFFIX = ".jpg"


class Images:
    """Gives out the samples of one project."""

    def __init__(self, ws: Workspace, *, metrics: Metrics, clock: Clock) -> None:
        self._ws, self._metrics, self._clock = ws, metrics, clock
        key = reveal(ws.config.service.signing_key, "signing_key")
        self._signer = Signer(ws.config.project.name, key.encode()) if key else None
        self._threads = Threads(AT_ONCE)

    async def give(self, request: Request, sample_id: str) -> Response:
        """Answer a request for one image; CVAT wants an address that ends like a picture's."""
        sample_id = sample_id.removesuffix(SUFFIX)
        try:
            answer = await self._give(request, sample_id)
        except HTTPException as refused:
            refused.headers = SAFE | {"Cache-Control": "no-store"}  # without CORS a browser would not show the reason
            self._metrics.count_image(refused.status_code)
            raise
        self._metrics.count_image(200)
        return answer

    async def _give(self, request: Request, sample_id: str) -> Response:
        left_s = self._check(request, sample_id)
        try:
            async with asyncio.timeout(READ_S):
                media_type, raw = await self._threads.run(partial(self._read, sample_id))
        except TimeoutError:
            raise HTTPException(504, "the image's storage does not answer; try again") from None
        except AlloopError as error:
            raise refusal(error) from error
        return Response(
            raw,
            media_type=media_type,
            headers=SAFE | {"Cache-Control": f"private, max-age={min(left_s, CACHE_S)}, immutable"},
        )

    def _check(self, request: Request, sample_id: str) -> int:
        """Seconds that the address is good for; nothing about samples is told to who has no signature."""
        if self._signer is None:
            raise HTTPException(503, f"no signing key is set; set ALLOOP_SERVICE__SIGNING_KEY, {ADVICE}")
        asked = request.query_params
        try:
            return self._signer.check(
                sample_id,
                expires=asked.get("expires", ""),
                signature=asked.get("signature", ""),
                now=self._clock.now(),
            )
        except Forged as error:
            raise HTTPException(403, str(error)) from None

    def _read(self, sample_id: str) -> tuple[str, bytes]:
        file = self._find(sample_id)
        try:
            raw = _read_at_most(file.sample.uri, file.size_bytes + 1)
            if content_id(raw) != sample_id:  # these very bytes: whatever was swapped in meanwhile is not given out
                raise HTTPException(409, "the image's file has changed since it was added; restore it")
            return _presented(raw, file.sample.uri)
        except BadImage:  # its text names a path of this machine
            raise HTTPException(410, "the image's file cannot be read any more; restore it") from None

    def _find(self, sample_id: str) -> SampleFile:
        """The sample, if it is one that people may be asked about."""
        found = self._ws.ledger.samples.get([sample_id]) if SAMPLE_ID.fullmatch(sample_id) else {}
        if sample_id not in found or found[sample_id].split is Split.ASIDE:
            raise HTTPException(404, "there is no such sample; push the batch again")
        uri = found[sample_id].uri
        return self._ws.ledger.samples.known([uri])[uri]


def _read_at_most(uri: str, limit: int) -> bytes:
    """The first `limit` bytes at a uri of the ledger; BadImage when there are none to be had."""
    try:
        if "://" in uri:
            with fsspec.open(uri, "rb") as remote:
                return bytes(remote.read(limit))
        with os.fdopen(_open_plain(uri), "rb") as file:
            return file.read(limit)
    except (OSError, ValueError, ImportError) as error:
        raise BadImage(f"{uri} cannot be read ({error}); check the path") from error


def _open_plain(path: str) -> int:
    """A plain file, and nothing else: opening a pipe would wait for its other end."""
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError("is no plain file")
    return number


def _presented(raw: bytes, uri: str) -> tuple[str, bytes]:
    """The media type that its bytes have, whatever its name says, and the bytes; as a PNG where browsers know no better."""
    try:
        with Image.open(io.BytesIO(raw)) as image:
            known = SHOWN.get(image.format or "")
    except Exception as error:  # on broken bytes Pillow raises almost anything
        raise BadImage(f"{uri} does not open as an image; replace or remove it") from error
    if known:
        return known, raw
    png = io.BytesIO()
    decode(raw, uri).save(png, "PNG")
    return "image/png", png.getvalue()


def image_routes(images: Images) -> APIRouter:
    """GET /images/{sample_id}, signed."""
    routes = APIRouter()
    routes.add_api_route("/images/{sample_id}", images.give, methods=["GET"], response_model=None)
    return routes
