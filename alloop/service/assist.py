"""Pre-labels on demand: Label Studio's "ML backend", answered by the champion. An application and a process of its own.

It answers for the samples of the open cycle's batch, with what `push` shows, and reads nothing of a task but its `item_id`:
no address in a request is ever fetched. `/setup` brings an administrator's token, which is not looked at.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse

from alloop.annotation.form import Form
from alloop.annotation.hints import MAX_BYTES
from alloop.annotation.label_studio_queue import named, prediction
from alloop.annotation.label_studio_results import write_results
from alloop.errors import AlloopError, ConfigError
from alloop.nouns import BatchItem, ModelVersion, Prelabel
from alloop.publishing import readable_prelabels
from alloop.service.answers import read_body, refusal
from alloop.service.app import bare_app
from alloop.service.secrets import ADVICE, BasicAuth, reveal
from alloop.service.webhooks import Wake, rest, waking
from alloop.workspace import Workspace

__all__ = ["create_assist"]

T = TypeVar("T")
MOST = 1000
"""Tasks in one request; Label Studio sends what it shows on a page."""


def create_assist(ws: Workspace, *, wake: Wake = rest) -> FastAPI:
    """The application; ConfigError when it has no password to ask for. `wake` as in `create_app`."""
    assist, auth = Assist(ws), _auth(ws)
    app = bare_app()
    app.include_router(_open_routes(auth, lambda: waking(wake, ws.config.project.name)))
    app.include_router(_closed_routes(auth, assist))
    return app


def _auth(ws: Workspace) -> BasicAuth:
    section = ws.config.service
    password = reveal(section.assist_password, "assist_password")
    if not password:
        raise ConfigError(f"pre-labels need a password to be asked for; set ALLOOP_SERVICE__ASSIST_PASSWORD, {ADVICE}")
    return BasicAuth(section.assist_user, password)


def _open_routes(auth: BasicAuth, wake: Callable[[], None]) -> APIRouter:
    """/webhook, which Label Studio registers by itself for all events, and without any secret."""
    routes = APIRouter()

    @routes.post("/webhook", response_model=None)
    async def told(request: Request, authorization: Annotated[str, Header()] = "") -> JSONResponse:
        await read_body(request, MAX_BYTES)
        return JSONResponse({"status": "ok"}, background=BackgroundTask(wake) if auth.admits(authorization) else None)

    return routes


def _closed_routes(auth: BasicAuth, assist: "Assist") -> APIRouter:
    def admit(authorization: Annotated[str, Header()] = "") -> None:
        if not auth.admits(authorization):
            challenge = {"WWW-Authenticate": 'Basic realm="alloop"'}
            raise HTTPException(401, "give the user and password of [service]", headers=challenge)

    routes = APIRouter(dependencies=[Depends(admit)])

    @routes.get("/health")
    async def lives() -> dict[str, str]:
        return {"status": "UP", "model_class": "alloop"}

    @routes.post("/setup")
    async def set_up(request: Request) -> dict[str, str]:
        await read_body(request, MAX_BYTES)
        return {"model_version": await assist.version()}

    @routes.get("/versions")
    async def versions() -> dict[str, list[str]]:
        name = await assist.version()
        return {"versions": [name] if name else []}

    @routes.post("/predict")
    async def predict(request: Request) -> dict[str, list[dict[str, Any]]]:
        return {"results": await assist.predict(_asked(await read_body(request, MAX_BYTES)))}

    return routes


def _asked(raw: bytes) -> list[str | None]:
    """The sample id of each task in a request, None for one that is none of ours."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    tasks = body.get("tasks") if isinstance(body, dict) else None
    if not isinstance(tasks, list) or len(tasks) > MOST:
        raise HTTPException(422, f'send {{"tasks": [...]}} as JSON, with at most {MOST} of them')
    return [_item_id(task) for task in tasks]


def _item_id(task: Any) -> str | None:
    data = task.get("data") if isinstance(task, dict) else None
    found = data.get("item_id") if isinstance(data, dict) else None
    return found if isinstance(found, str) else None


class Assist:
    """The champion's pre-labels, one request at a time: a model is not made for two."""

    def __init__(self, ws: Workspace) -> None:
        self._ws, self._turn = ws, asyncio.Lock()
        self._form = Form(ws.config.project.task, ws.config.project.labels)

    async def version(self) -> str:
        """What predictions are called now: the champion and the newest batch, as `push` calls them; "" without a champion."""
        return await self._call(self._version)

    async def predict(self, asked: Sequence[str | None]) -> list[dict[str, Any]]:
        """A prediction for each sample id; one without regions where annotators are to answer without help."""
        async with self._turn:
            found, version = await self._call(lambda: self._predictions({key for key in asked if key}))
        # what is none of ours keeps out of the queue: its score would come first there
        nothing = {"model_version": version.partition("/")[0], "score": 0.0, "result": []}
        return [found.get(key or "", nothing) for key in asked]

    async def _call(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except AlloopError as error:
            raise refusal(error) from error

    def _version(self) -> str:
        champion, cycles = self._ws.ledger.models.champion(), self._ws.ledger.cycles.all()
        if champion is None or not cycles:
            return ""
        return named(champion.name, cycles[-1].number)

    def _predictions(self, asked: set[str]) -> tuple[dict[str, dict[str, Any]], str]:
        ledger, version = self._ws.ledger, self._version()
        champion, cycles = ledger.models.champion(), ledger.cycles.all()
        if champion is None or cycles[-1].closed_at is not None:
            return {}, version
        cycle = cycles[-1].number
        items = {x.sample.id: x for x in ledger.batches.get(cycle).items if x.sample.id in asked}
        sizes = {x.sample.id: (x.width, x.height) for x in ledger.samples.known(_uris(items)).values()}
        prelabels = self._prelabels(champion, [item for item in items.values() if item.shown is not None])
        return {
            key: prediction(
                {"cycle": cycle, "rank": item.rank},
                version,
                write_results(prelabels[key], self._form, sizes.get(key)) if key in prelabels else [],
            )
            for key, item in items.items()
        }, version

    def _prelabels(self, champion: ModelVersion, items: Sequence[BatchItem]) -> Mapping[str, Prelabel]:
        """The champion's pre-labels: those of the batch where they are its own, so that all say what was pushed.

        An image that cannot be read gets none: it must not cost the rest of the page its own.
        """
        kept = {x.sample.id: x.shown for x in items if x.shown and x.shown.model_version == champion.name}
        others = [item.sample for item in items if item.sample.id not in kept]
        return kept | dict(readable_prelabels(self._ws, champion, others))


def _uris(items: Mapping[str, BatchItem]) -> list[str]:
    return [item.sample.uri for item in items.values()]
