"""CVAT's interface through cvat-sdk: access, timeouts and errors. It tries once; trying again is the caller's business.

Requests are built and checked by the SDK's models. Answers are read as plain JSON, so that a server which is newer than
the SDK, and says more, is understood as well.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from alloop.errors import ConfigError, MissingExtra, ToolUnavailable

__all__ = ["Access", "Api", "Record", "Server"]

Record = dict[str, Any]
TIMEOUT_S = (5.0, 60.0)
"""Seconds to connect, and to wait for an answer."""
PAGE = 100
"""Rows per request of a listing."""
SHOWN = 200
"""Characters of an answer that an error quotes."""


@dataclass(frozen=True)
class Access:
    """Who asks: a personal access token, or a user with a password; `organization` is a short name there."""

    token: SecretStr | None = None
    user: str = ""
    password: SecretStr | None = None
    organization: str = ""


class Api:
    """An open connection.

    ToolUnavailable when the server cannot be reached or fails; ConfigError when it refuses, with what to check.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client, self._url = client, url

    def body(self, model: str, *value: Any, **fields: Any) -> Any:
        """What to send: the SDK's model of this name, which checks its value or its fields."""
        return getattr(_sdk().models, model)(*value, **fields)

    def ask(self, room: str, verb: str, **content: Any) -> Any:
        """The answer to one request, such as `ask("tasks", "retrieve", id=5)`; None when it is empty."""
        from urllib3.exceptions import HTTPError

        call: Callable[..., Any] = getattr(getattr(self._client, f"{room}_api"), verb)
        what = f"{verb} {room}"
        try:
            _, response = call(**content, _parse_response=False, _check_status=False, _request_timeout=TIMEOUT_S)
            raw = bytes(response.data)
        except HTTPError as error:
            said = f"CVAT at {self._url} does not answer '{what}' ({type(error).__name__})"
            raise ToolUnavailable(f"{said}; check that it runs, it is asked again") from None
        self._check(response, raw, what)
        try:
            return json.loads(raw) if raw.strip() else None
        except ValueError:
            raise ConfigError(f"{self._url} does not answer '{what}' as CVAT does; check the address") from None

    def each(self, room: str, **wanted: Any) -> Iterator[Record]:
        """The rows of a listing by id.

        Each page starts behind the last id instead of at a number, so that rows which come or go meanwhile move no other
        past a page's edge.
        """
        last = 0
        while True:
            behind = json.dumps({">": [{"var": "id"}, last]})
            page = self.ask(room, "list", **wanted, filter=behind, sort="id", page_size=PAGE)
            yield from page["results"]
            if not page["next"] or not page["results"]:
                return
            last = page["results"][-1]["id"]

    def _check(self, response: Any, raw: bytes, what: str) -> None:
        status, said = response.status, self._excerpt(raw)
        if status >= 500 or status in (408, 429):
            raise ToolUnavailable(f"CVAT at {self._url} answers {status} to '{what}'; see its log, it is asked again")
        if status in (401, 403):
            raise ConfigError(
                f"CVAT at {self._url} refuses '{what}' ({status}: {said}); check the token, or user and password, and "
                "that its owner may edit the project"
            )
        if 300 <= status < 400:
            raise ConfigError(
                f"CVAT at {self._url} has moved to {response.headers.get('location')}; write that address"
            )
        if status >= 400:
            raise ConfigError(f"CVAT at {self._url} refuses '{what}' ({status}: {said}); check the project there")

    def _excerpt(self, raw: bytes) -> str:
        """The start of an answer, unless it repeats what gives access."""
        text, given = raw.decode(errors="replace"), self._client.configuration
        secrets = [secret for secret in (given.access_token, given.password) if secret]
        return "it repeats what was sent" if any(map(text.__contains__, secrets)) else " ".join(text.split())[:SHOWN]


class Server:
    """A CVAT server and the right to use it; MissingExtra without cvat-sdk."""

    def __init__(self, url: str, access: Access) -> None:
        self.url = url.strip().rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is no address of CVAT; write it like https://cvat.example.org")
        if not _revealed(access.token) and not (access.user and _revealed(access.password)):
            raise ConfigError(
                "CVAT asks who it is; set ALLOOP_ANNOTATION__CVAT__TOKEN to a personal access token, or user and "
                "ALLOOP_ANNOTATION__CVAT__PASSWORD"
            )
        self._access = access
        _sdk()

    @contextmanager
    def open(self) -> Iterator[Api]:
        """A connection for a few requests, each with its timeout."""
        from urllib3.util import Retry

        sdk, access = _sdk(), self._access
        token = _revealed(access.token)
        who = {"access_token": token} if token else {"username": access.user, "password": _revealed(access.password)}
        given = sdk.Configuration(host=self.url, **who)
        given.retries = Retry(total=0, raise_on_redirect=False)  # the SDK's own would send a request up to four times
        headers = {"X-Organization": access.organization} if access.organization else {}
        client = sdk.ApiClient(given, headers=headers)
        try:
            yield Api(client, self.url)
        finally:
            client.rest_client.pool_manager.clear()
            client.close()


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret else ""


def _sdk() -> ModuleType:
    try:
        return importlib.import_module("cvat_sdk.api_client")
    except ImportError as error:
        raise MissingExtra(f"CVAT needs cvat-sdk ({error}); install it with: pip install 'alloop[cvat]'") from None
