"""Services of real projects, and callers that need no network."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from alloop.workspace import Workspace, open_workspace

SECRET = "5a1f0c2e9b7d4a36"
KEY = "a-signing-key-of-32-characters-x"
SECRETS = f'[service]\nwebhook_secret = "{SECRET}"\nsigning_key = "{KEY}"\n'
"""In tests these stand in the file: no test then sees the environment of another."""
PROJECT = """
[project]
name = "birds"
labels = ["cat", "dog"]
[model]
kind = "tests.small_project:nearest_centroid"
"""


class Caller:
    """Sends requests to an application, each in an event loop of its own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.together([(method, path, options)])[0]

    def together(self, requests: list[tuple[str, str, dict[str, Any]]]) -> list[httpx.Response]:
        """All of them at once, in one loop."""

        async def send() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await asyncio.gather(*(client.request(how, path, **more) for how, path, more in requests))

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self("GET", path, **options)

    def post(self, path: str, body: Any = b"", **options: Any) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self("POST", path, content=raw, **options)


@contextmanager
def birds(folder: Path, more: str = SECRETS) -> Iterator[Workspace]:
    """A project with an empty pool."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alloop.toml").write_text(PROJECT + more)
    with open_workspace(folder) as ws:
        yield ws


@pytest.fixture
def ws(tmp_path) -> Iterator[Workspace]:
    with birds(tmp_path) as ws:
        yield ws


@pytest.fixture
def caller() -> Callable[[Any], Caller]:
    return Caller
