import socket
import subprocess
import sys

import pytest
from pydantic import SecretStr

from alloop.annotation.cvat_client import Access, Server
from alloop.errors import ConfigError, MissingExtra, ToolUnavailable
from tests.annotation.fake_cvat import PASSWORD, TOKEN, USER, FakeCvat


@pytest.fixture
def fake():
    with FakeCvat().serving() as fake:
        yield fake


def ask(url, access=None):
    with Server(url, access or Access(SecretStr(TOKEN))).open() as api:
        return list(api.each("projects"))


@pytest.mark.parametrize(
    "access", [Access(SecretStr(TOKEN)), Access(user=USER, password=SecretStr(PASSWORD))], ids=["token", "password"]
)
def test_a_token_or_a_password_opens_the_door(fake, access):
    assert ask(fake.url, access) == []


def test_an_organization_goes_along(fake):
    ask(fake.url, Access(SecretStr(TOKEN), organization="signs-inc"))
    assert fake.headers[0]["X-Organization"] == "signs-inc"


def test_a_wrong_token_says_so_without_telling_it(fake):
    with pytest.raises(ConfigError, match=r"refuses 'list projects' \(401: .*Invalid token") as error:
        ask(fake.url, Access(SecretStr("a-wrong-token")))
    assert "a-wrong-token" not in str(error.value)


def test_an_answer_that_repeats_the_token_is_not_quoted(fake):
    fake.refuses = (403, f"who is {TOKEN}")
    with pytest.raises(ConfigError, match="it repeats what was sent") as error:
        ask(fake.url)
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize("access", [Access(SecretStr(TOKEN)), Access(user=USER, password=SecretStr(PASSWORD))])
def test_secrets_are_not_shown(access):
    assert TOKEN not in repr(access)
    assert PASSWORD not in repr(access)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (500, ToolUnavailable, "answers 500"),
        (503, ToolUnavailable, "answers 503"),
        (429, ToolUnavailable, "answers 429"),
        (403, ConfigError, "check the token"),
        (404, ConfigError, "check the project"),
        (302, ConfigError, "has moved to https://elsewhere.example"),
    ],
)
def test_a_refusal_says_whether_trying_again_helps(fake, status, error, says):
    fake.refuses = (status, "no")
    with pytest.raises(error, match=says):
        ask(fake.url)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_connection_that_breaks_is_asked_again_later_and_not_at_once(fake, when):
    fake.cut = (0, when)
    with pytest.raises(ToolUnavailable, match="does not answer 'list projects'"):
        ask(fake.url)
    assert len(fake.requests) == 1


def test_a_server_that_is_not_there_is_asked_again_later():
    with pytest.raises(ToolUnavailable, match="check that it runs"):
        ask("http://127.0.0.1:9")


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("alloop.annotation.cvat_client.TIMEOUT_S", (0.2, 0.2))
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ToolUnavailable, match=r"ReadTimeoutError|MaxRetry"),
    ):
        ask(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize("url", ["", "cvat", "ftp://cvat.example", "https://"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="is no address of CVAT"):
        Server(url, Access(SecretStr(TOKEN)))


@pytest.mark.parametrize(
    "access", [Access(), Access(SecretStr(" ")), Access(user="lea"), Access(password=SecretStr("p"))]
)
def test_somebody_without_credentials_is_refused(access):
    with pytest.raises(ConfigError, match="ALLOOP_ANNOTATION__CVAT__TOKEN"):
        Server("https://cvat.example", access)


def test_without_the_sdk_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvat_sdk.api_client", None)
    with pytest.raises(MissingExtra, match=r"pip install 'alloop\[cvat\]'"):
        Server("https://cvat.example", Access(SecretStr(TOKEN)))


def test_the_adapter_imports_the_sdk_only_when_it_is_used():
    code = "import alloop.annotation.cvat, sys; print('cvat_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
