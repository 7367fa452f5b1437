"""Label Studio's HTTP interface: tokens, timeouts and errors. It tries once; trying again is the caller's business."""

import base64
import json
import time
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from pydantic import SecretStr

from alloop.errors import ConfigError, ToolUnavailable

__all__ = ["Api", "Server"]

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""Seconds; importing 500 tasks took 0.7 s on an idle SQLite server, and 20 s passed on one with 32 annotators."""
RENEW_S = 60.0
"""An access token with less than this left is renewed; it lives for 300 s (Label Studio 1.23)."""
SHOWN = 200
"""Characters of an answer that an error quotes."""
REFRESH = "/api/token/refresh/"


class LegacyToken(httpx.Auth):
    """A token that goes with each request as it is."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign the request."""
        request.headers["Authorization"] = f"Token {self._token.get_secret_value()}"
        yield request


class PersonalToken(httpx.Auth):
    """A personal access token: it buys short-lived access tokens, and those go with the requests."""

    requires_response_body = True

    def __init__(self, token: SecretStr, url: str) -> None:
        self._token, self._url = token, url
        self._access, self._until = SecretStr(""), 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign the request, with a new access token when the old one is near its end or refused."""
        if time.monotonic() > self._until - RENEW_S:
            self._renew((yield self._wish(request)))
        self._sign(request)
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._renew((yield self._wish(request)))
            self._sign(request)
            yield request

    def _sign(self, request: httpx.Request) -> None:
        request.headers["Authorization"] = f"Bearer {self._access.get_secret_value()}"

    def _wish(self, request: httpx.Request) -> httpx.Request:
        body = {"refresh": self._token.get_secret_value()}
        return httpx.Request("POST", self._url + REFRESH, json=body, extensions=dict(request.extensions))

    def _renew(self, response: httpx.Response) -> None:
        access = _read(response, self._url)["access"]
        self._access, self._until = SecretStr(access), time.monotonic() + _life_s(access)


def _life_s(token: str) -> float:
    """Seconds between a JSON web token's issue and its end: no clock of ours is compared with the server's."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"] - claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError):
        return 0.0


class Api:
    """An open connection; answers are parsed JSON.

    ToolUnavailable when the server cannot be reached or fails; ConfigError when it refuses, with what to check.
    """

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client, self._url = client, url

    def get(self, path: str, **params: Any) -> Any:
        """What is at `path`."""
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: Any, *, ignoring: Collection[int] = (), **params: Any) -> Any:
        """Make something; None when the answer is one of the statuses in `ignoring`."""
        return self._ask("POST", path, ignoring=ignoring, json=body, params=params)

    def patch(self, path: str, body: Any) -> Any:
        """Change something."""
        return self._ask("PATCH", path, json=body)

    def file(self, path: str) -> bytes | None:
        """The bytes of a file that was uploaded; None when it is not there."""
        response = self._send("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        _refuse(response, self._url)
        return response.content

    def _ask(self, method: str, path: str, *, ignoring: Collection[int] = (), **content: Any) -> Any:
        response = self._send(method, path, **content)
        return None if response.status_code in ignoring else _read(response, self._url)

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, self._url + path, **content)
        except httpx.RequestError as error:
            what = f"Label Studio at {self._url} does not answer {method} {path} ({type(error).__name__})"
            raise ToolUnavailable(f"{what}; check that it runs, it is asked again") from None


class Server:
    """A Label Studio server and the right to use it; `token` is a legacy token or a personal access token."""

    def __init__(self, url: str, token: SecretStr, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.strip().rstrip("/")
        if not _is_address(self.url):
            raise ConfigError(f"{url!r} is no address of Label Studio; write it like https://labels.example.org")
        if not token.get_secret_value().strip():
            raise ConfigError("the token of Label Studio is empty; copy it from Account & Settings there")
        is_personal = token.get_secret_value().count(".") == 2
        self._auth = PersonalToken(token, self.url) if is_personal else LegacyToken(token)
        self._transport = transport

    @contextmanager
    def open(self) -> Iterator[Api]:
        """A connection for a few requests, each with its timeout."""
        with httpx.Client(auth=self._auth, timeout=TIMEOUT, transport=self._transport) as client:
            yield Api(client, self.url)


def _is_address(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in ("http", "https") and bool(parts.host)


def _read(response: httpx.Response, url: str) -> Any:
    """What an answer says as JSON."""
    _refuse(response, url)
    try:
        return response.json() if response.content else None
    except ValueError:
        path = response.request.url.path
        raise ConfigError(f"{url}{path} does not answer as Label Studio does; check the address") from None


def _refuse(response: httpx.Response, url: str) -> None:
    """Raise what an answer other than success means."""
    status, path = response.status_code, response.request.url.path
    if status >= 500 or status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS):
        raise ToolUnavailable(f"Label Studio at {url} answers {status} to {path}; see its log, it is asked again")
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ConfigError(
            f"Label Studio at {url} refuses the token ({status}: {_excerpt(response)}); check that it is current, that "
            "its kind is switched on under Organization, and that its owner may edit the project"
        )
    if response.is_redirect:
        raise ConfigError(f"Label Studio at {url} has moved to {response.headers.get('location')}; write that address")
    if response.is_error:
        raise ConfigError(f"Label Studio at {url} refuses {path} ({status}: {_excerpt(response)}); check the project")


def _excerpt(response: httpx.Response) -> str:
    """The start of an answer, unless it repeats a secret that came with the request."""
    request = response.request
    sent = [*request.headers.get("Authorization", "").split(), *request.content.decode(errors="replace").split('"')]
    if any(len(part) > 20 and part in response.text for part in sent):
        return "it repeats what was sent"
    return " ".join(response.text.split())[:SHOWN]
