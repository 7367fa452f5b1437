"""Storage that hangs: who asked for an image is told, and everything else goes on."""

import asyncio
import json
import time
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Any, ClassVar

import fsspec
import httpx
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from alloop.annotation.hints import sign_generic
from alloop.clock import VirtualClock
from alloop.service import images
from alloop.service.app import create_app
from tests.service.conftest import SECRET
from tests.service.test_images import NOW, add, encoded, path

MANY = 40
"""More than asyncio's own threads on any machine with up to 32 cores: those are 4 more than the cores, and 32 at most."""
STAMP = str(int(NOW.timestamp()))


class Hanging(MemoryFileSystem):
    """Remote storage in memory that gives nothing before it is told to."""

    protocol = "hanging"
    store: ClassVar[dict[str, Any]] = {}
    answers, asked, counting = Event(), 0, Lock()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix("hanging://").strip("/")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "rb":
            with Hanging.counting:
                Hanging.asked += 1
            Hanging.answers.wait()
        return super()._open(path, mode, **options)


@pytest.fixture
def storage():
    fsspec.register_implementation("hanging", Hanging, clobber=True)
    Hanging.answers, Hanging.asked = Event(), 0
    Hanging.store.clear()
    yield Hanging
    Hanging.answers.set()


@pytest.fixture
def sample(ws, storage):
    """A sample of the pool in that storage."""
    with fsspec.open("hanging://a.png", "wb") as file:
        file.write(encoded())
    return add(ws, "hanging://a.png", encoded())


@pytest.fixture
def app(ws, tmp_path):
    return create_app(ws, clock=VirtualClock(tmp_path / "now", NOW))


async def webhook(client):
    """(status, seconds) of a genuine delivery."""
    raw = json.dumps({"event": "labelled", "at": str(datetime.now(UTC))}).encode()
    signed = {"X-Alloop-Timestamp": STAMP, "X-Alloop-Signature": sign_generic(raw, SECRET, timestamp=STAMP)}
    began = time.perf_counter()
    answer = await client.post("/webhooks/generic", content=raw, headers=signed)
    return answer.status_code, time.perf_counter() - began


def hanging(app, sample, then):
    """What `then(client, the requests for images)` gives, while MANY images hang."""

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
            asked = [asyncio.create_task(client.get(path(sample))) for _ in range(MANY)]
            await asyncio.sleep(0.1)
            try:
                return await asyncio.wait_for(then(client, asked), 20)
            finally:
                Hanging.answers.set()

    return asyncio.run(ask())


def test_webhooks_are_answered_before_label_studio_hangs_up(app, sample):
    async def then(client, _):
        return await webhook(client)

    status, took_s = hanging(app, sample, then)
    assert status == 200
    assert took_s < 1


def test_metrics_and_readiness_are_answered(app, sample):
    async def then(client, _):
        return [(await client.get(page)).status_code for page in ("/metrics", "/readyz", "/healthz")]

    assert hanging(app, sample, then) == [200, 200, 200]


def test_every_image_is_refused_in_time_whether_or_not_its_turn_came(app, sample, monkeypatch):
    monkeypatch.setattr(images, "READ_S", 0.5)

    async def then(_, asked):
        return {answer.status_code for answer in await asyncio.gather(*asked)}

    assert hanging(app, sample, then) == {504}


def test_reads_that_nobody_waits_for_any_more_do_not_pile_up(app, sample, storage, monkeypatch):
    monkeypatch.setattr(images, "READ_S", 0.3)

    async def then(client, asked):
        await asyncio.gather(*asked)
        return (await client.get(path(sample))).status_code

    assert hanging(app, sample, then) == 504
    assert storage.asked == images.AT_ONCE


def test_images_are_given_again_once_storage_answers(app, sample, storage, monkeypatch):
    monkeypatch.setattr(images, "READ_S", 0.3)

    async def then(client, asked):
        await asyncio.gather(*asked)
        monkeypatch.setattr(images, "READ_S", 10.0)
        storage.answers.set()
        return (await client.get(path(sample))).content

    assert hanging(app, sample, then) == encoded()
