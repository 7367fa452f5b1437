import base64
import json
import logging
import traceback

import httpx
import pytest
from pydantic import SecretStr

from alloop.annotation.label_studio_client import Server
from alloop.errors import ConfigError, ToolUnavailable

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJyZWZyZXNoIjp0cnVlfQ.c2lnbmF0dXJlLW9mLWl0"


def access(number, life_s=300):
    """An access token such as the server sells; its signature says which one it is."""
    claims = base64.urlsafe_b64encode(json.dumps({"iat": 1_000_000, "exp": 1_000_000 + life_s}).encode())
    return f"head.{claims.decode().rstrip('=')}.number{number}"


class Shop:
    """A server that sells access tokens for PERSONAL, and says who may come in."""

    def __init__(self, life_s=300):
        self.sold, self.valid, self.life_s = 0, set(), life_s

    def __call__(self, request):
        assert request.extensions["timeout"]["read"], "a request without a timeout"
        if request.url.path == "/api/token/refresh/":
            assert json.loads(request.content) == {"refresh": PERSONAL}
            self.sold += 1
            self.valid = {access(self.sold, self.life_s)}
            return httpx.Response(200, json={"access": access(self.sold, self.life_s)})
        welcome = request.headers["Authorization"].removeprefix("Bearer ") in self.valid
        return httpx.Response(200 if welcome else 401, json={"detail": "Given token not valid"})


def server(answer, token=LEGACY, url="https://labels.example/"):
    return Server(url, SecretStr(token), transport=httpx.MockTransport(answer))


def ask(answer, **options):
    with server(answer, **options).open() as api:
        return api.get("/api/projects/")


def test_a_legacy_token_goes_along_as_it_is():
    seen = ask(lambda request: httpx.Response(200, json=dict(request.headers)))
    assert seen["authorization"] == f"Token {LEGACY}"


def test_an_address_below_a_path_is_kept():
    assert ask(lambda request: httpx.Response(200, json=str(request.url)), url="http://host/labels/") == (
        "http://host/labels/api/projects/"
    )


def test_a_personal_token_buys_one_access_token_for_many_requests():
    shop = Shop()
    labels = server(shop, PERSONAL)
    for _ in range(2):
        with labels.open() as api:
            api.get("/api/projects/")
            api.get("/api/projects/")
    assert shop.sold == 1


def test_an_access_token_near_its_end_is_renewed():
    shop = Shop(life_s=59)
    with server(shop, PERSONAL).open() as api:
        api.get("/api/projects/")
        api.get("/api/projects/")
    assert shop.sold == 2


def test_a_refused_access_token_is_renewed_once():
    shop = Shop()
    with server(shop, PERSONAL).open() as api:
        api.get("/api/projects/")
        shop.valid.clear()
        api.get("/api/projects/")
    assert shop.sold == 2


def test_a_token_that_stays_refused_is_not_renewed_for_ever():
    shop = Shop()

    def closed(request):
        answer = shop(request)
        shop.valid.clear()
        return answer

    with pytest.raises(ConfigError, match="refuses the token"):
        ask(closed, token=PERSONAL)
    assert shop.sold == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_server_in_trouble_is_transient(status):
    with pytest.raises(ToolUnavailable, match=f"answers {status} to /api/projects/"):
        ask(lambda request: httpx.Response(status))


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.WriteError])
def test_a_server_that_does_not_answer_is_transient(error):
    def fails(request):
        raise error("gone")

    with pytest.raises(ToolUnavailable, match=rf"does not answer GET /api/projects/ \({error.__name__}\)"):
        ask(fails)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_what_to_check(status):
    said = {"detail": "legacy token authentication has been disabled for this organization"}
    with pytest.raises(ConfigError, match=f"{status}.*has been disabled.*check that it is current"):
        ask(lambda request: httpx.Response(status, json=said))


def test_a_request_that_is_refused_quotes_the_reason():
    with pytest.raises(ConfigError, match="at least 3 characters"):
        ask(lambda request: httpx.Response(400, text="at least 3 characters"))


def test_an_address_that_moved_is_told():
    with pytest.raises(ConfigError, match=r"has moved to https://new\.example"):
        ask(lambda request: httpx.Response(301, headers={"Location": "https://new.example"}))


def test_a_page_that_is_not_label_studio_is_told():
    with pytest.raises(ConfigError, match="does not answer as Label Studio does"):
        ask(lambda request: httpx.Response(200, text="<html>hello</html>"))


@pytest.mark.parametrize("url", ["", "labels.example", "ftp://labels.example", "http://", "http://host:port"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="no address of Label Studio"):
        Server(url, SecretStr(LEGACY))


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token_is_refused(token):
    with pytest.raises(ConfigError, match="token of Label Studio is empty"):
        Server("http://labels.example", SecretStr(token))


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
@pytest.mark.parametrize("status", [400, 401, 500])
def test_no_token_is_ever_shown(token, status, caplog):
    def parrot(request):
        return httpx.Response(status, text=f"you sent {dict(request.headers)} {request.content.decode()}")

    caplog.set_level(logging.DEBUG)
    with pytest.raises((ConfigError, ToolUnavailable)) as problem:
        ask(parrot, token=token)
    told = "".join(traceback.format_exception(problem.value)) + repr(server(parrot, token)) + caplog.text
    assert token not in told
