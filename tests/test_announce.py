"""Announcements through real receivers on this machine: a webhook, and Apprise's own JSON format."""

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from alloop.announce import Message, announce, channels_of, message_of, signature, tell_log
from alloop.config import load_config
from alloop.errors import ConfigError, Transient
from alloop.ledger.announcements import Announcement
from alloop.nouns import Flag
from alloop.sections import NotifySection
from alloop.sla import Limits
from alloop.workspace import Workspace, open_workspace

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
FLAG = Flag(3, "cycle", "at_risk", 53.25, NOON)
SECRET = "5a1f0c2e9b7d4a36"
PATH = "/hooks/T0P-S3CRET"
PROJECT = '[project]\nname = "birds"\nlabels = ["cat", "dog"]\n[model]\nkind = "tests.small_project:nearest_centroid"\n'


class Receiver:
    """A server on this machine that keeps what it gets and answers with `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]

    def section(self, **more: Any) -> NotifySection:
        """Tells the receiver as a webhook."""
        return NotifySection(webhook_url=SecretStr(f"http://{self.address}{PATH}"), **more)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "alloop.toml").write_text(PROJECT)
    with open_workspace(tmp_path) as ws:
        ws.ledger.cycles.open_next(strategy="margin", nominal=3)
        yield ws


def message(flag: Flag = FLAG, limits: Limits | None = None) -> Message:
    return message_of(Announcement("birds", flag, 0), limits or Limits(), opened_at=NOON)


def raise_(ws: Workspace, *kinds: str) -> None:
    for kind in kinds:
        ws.ledger.decisions.raise_flags([Flag(0, "cycle", kind, 50.0, ws.clock.now())])


# Words


def test_a_message_says_what_and_until_when() -> None:
    told = message()
    assert told.title == "birds: cycle 3 is at risk"
    assert told.text.startswith(
        "cycle 3 in 'birds' may take 53.2 h, and 48 h were promised (until 2026-11-04 12:00 UTC)"
    )
    assert (told.id, told.deadline) == ("birds/3/cycle/0", "2026-11-04T12:00:00+00:00")


def test_a_stage_has_a_promise_and_no_deadline_of_its_own() -> None:
    told = message(Flag(3, "retrain", "breached", 7, NOON), Limits(stage_hours={"retrain": 6}))
    assert told.text == "retrain of cycle 3 in 'birds' has taken 7.0 h, and 6 h were promised"
    assert (told.limit_hours, told.deadline) == (6, None)


def test_a_promise_that_was_taken_back_is_not_told() -> None:
    assert message(Flag(3, "retrain", "breached", 7, NOON)).limit_hours is None


@pytest.mark.parametrize(("kind", "level"), [("at_risk", "WARNING"), ("breached", "WARNING"), ("recovered", "INFO")])
def test_the_log_warns_of_what_is_bad(kind: str, level: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tell_log(message(Flag(3, "cycle", kind, 50.0, NOON)))
    assert [record.levelname for record in caplog.records] == [level]


# The webhook


def test_a_webhook_gets_json_with_a_signature_over_its_raw_bytes(receiver: Receiver) -> None:
    channels_of(receiver.section(webhook_secret=SecretStr(SECRET)))["webhook"](message())
    ((path, headers, body),) = receiver.got
    assert path == PATH
    assert headers["x-alloop-signature"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-alloop-id"] == json.loads(body)["id"] == "birds/3/cycle/0"
    assert {key: json.loads(body)[key] for key in ("project", "cycle", "stage", "kind", "hours", "limit_hours")} == {
        "project": "birds",
        "cycle": 3,
        "stage": "cycle",
        "kind": "at_risk",
        "hours": 53.25,
        "limit_hours": 48,
    }


def test_a_webhook_without_a_secret_is_not_signed(receiver: Receiver) -> None:
    channels_of(receiver.section())["webhook"](message())
    assert "x-alloop-signature" not in receiver.got[0][1]


def test_the_signature_is_hmac_sha256() -> None:
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signature(b"what do ya want for nothing?", "Jefe") == f"sha256={expected}"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_success_is_a_failure(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Transient, match=f"answered {status}"):
        channels_of(receiver.section())["webhook"](message())


def test_a_receiver_that_is_silent_is_not_waited_for() -> None:
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = SecretStr(f"http://127.0.0.1:{deaf.getsockname()[1]}{PATH}")
        start = time.monotonic()
        with pytest.raises(Transient, match="ReadTimeout"):
            channels_of(NotifySection(webhook_url=url, timeout_s=0.2))["webhook"](message())
        assert time.monotonic() - start < 5


@pytest.mark.parametrize("url", ["nonsense", "http://", "ftp://h/x", "http://[", "http://a b/"])
def test_an_address_that_is_none_is_told_without_showing_it(url: str) -> None:
    with pytest.raises((ConfigError, Transient)) as told:
        channels_of(NotifySection(webhook_url=SecretStr(url)))["webhook"](message())
    assert "notify.webhook_url" in str(told.value)
    assert url not in str(told.value).replace("https://host/path", "")


# Apprise


def test_apprise_tells_a_receiver_of_its_own_json(receiver: Receiver) -> None:
    section = NotifySection(apprise=SecretStr(f"json://{receiver.address}{PATH}"))
    channels_of(section)["apprise-1"](message())
    assert receiver.bodies[0]["title"] == "birds: cycle 3 is at risk"
    assert receiver.bodies[0]["message"] == message().text
    assert receiver.bodies[0]["type"] == "warning"


def test_every_url_of_apprise_is_a_channel_of_its_own(receiver: Receiver) -> None:
    section = NotifySection(apprise=SecretStr(f"json://{receiver.address}/a  json://{receiver.address}/b"))
    for name, channel in channels_of(section).items():
        if name != "log":
            channel(message())
    assert [path for path, _, _ in receiver.got] == ["/a", "/b"]


def test_what_apprise_could_not_tell_is_a_failure(receiver: Receiver) -> None:
    receiver.status = 500
    with pytest.raises(Transient, match=r"URL 1 of notify\.apprise did not take the message"):
        channels_of(NotifySection(apprise=SecretStr(f"json://{receiver.address}{PATH}")))["apprise-1"](message())


def test_a_url_that_apprise_does_not_know_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError, match=r"URL 2 of notify\.apprise") as told:
        channels_of(NotifySection(apprise=SecretStr(f"json://h slakc://{SECRET}")))["apprise-2"](message())
    assert SECRET not in str(told.value)


# Secrets


def test_no_log_line_holds_an_address_or_a_secret(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for status in (200, 500):
        receiver.status = status
        section = receiver.section(
            webhook_secret=SecretStr(SECRET), apprise=SecretStr(f"json://u:{SECRET}@{receiver.address}{PATH}")
        )
        for channel in channels_of(section).values():
            with suppress(Transient):
                channel(message())
    assert len(receiver.got) == 4
    assert "S3CRET" not in caplog.text
    assert SECRET not in caplog.text


def test_libraries_log_again_afterwards(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    channels_of(receiver.section())["webhook"](message())
    with caplog.at_level(logging.INFO):
        logging.getLogger("httpx").info("here again")
    assert "here again" in caplog.text


def test_secrets_come_from_the_environment_and_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_NOTIFY__APPRISE", f"json://h/{SECRET} json://i")
    monkeypatch.setenv("ALLOOP_NOTIFY__WEBHOOK_URL", f"https://h/{SECRET}")
    monkeypatch.setenv("ALLOOP_NOTIFY__WEBHOOK_SECRET", "1234567890")
    (tmp_path / "alloop.toml").write_text(PROJECT)
    config = load_config(tmp_path)
    assert list(channels_of(config.notify)) == ["log", "apprise-1", "apprise-2", "webhook"]
    assert SECRET not in repr(config) + str(config.notify) + config.model_dump_json()


@pytest.mark.parametrize("written", ["['json://h/{0}', 'json://i']", "'json://h/{0}'"])
def test_a_list_and_a_text_of_apprise_urls_are_both_understood(tmp_path: Path, written: str) -> None:
    (tmp_path / "alloop.toml").write_text(PROJECT + f"[notify]\napprise = {written.format(SECRET)}\n")
    assert "apprise-1" in channels_of(load_config(tmp_path).notify)


# At least once, and once only


def test_a_flag_is_told_once_however_often_one_looks(receiver: Receiver, ws: Workspace) -> None:
    raise_(ws, "at_risk")
    channels = channels_of(receiver.section())
    assert [announce(ws, channels) for _ in range(3)] == [2, 0, 0]
    assert len(receiver.got) == 1


def test_at_risk_twice_is_told_twice_in_order_with_ids_of_their_own(receiver: Receiver, ws: Workspace) -> None:
    raise_(ws, "at_risk", "recovered", "at_risk")
    announce(ws, channels_of(receiver.section()))
    assert [(body["id"], body["kind"]) for body in receiver.bodies] == [
        ("birds/0/cycle/0", "at_risk"),
        ("birds/0/cycle/1", "recovered"),
        ("birds/0/cycle/2", "at_risk"),
    ]


def test_what_a_receiver_did_not_take_is_told_later_and_others_hear_it_now(
    receiver: Receiver, ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    channels = {**channels_of(receiver.section()), "more": lambda told: heard.append(told.kind)}
    raise_(ws, "at_risk", "breached")
    receiver.status = 503
    announce(ws, channels)
    assert heard == ["at_risk", "breached"]
    assert "birds/0/cycle/0 could not be told on channel webhook: notify.webhook_url answered 503" in caplog.text
    assert ws.ledger.announcements.untold() == 1
    receiver.status = 200
    announce(ws, channels)
    assert [body["kind"] for body in receiver.bodies] == ["at_risk", "at_risk", "breached"]
    assert ws.ledger.announcements.untold() == 0
    assert heard == ["at_risk", "breached"]


class Killed(BaseException):
    """What a process meets that is killed."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_dies_while_telling_loses_nothing(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    heard: list[str] = []

    def die(told: Message) -> None:
        if when == "after":
            heard.append(told.id)
        raise Killed

    raise_(ws, "breached")
    with pytest.raises(Killed):
        announce(ws, {"phone": die})
    assert announce(ws, {"phone": lambda told: heard.append(told.id)}) == 0  # it may still be telling
    later = ws.clock.now() + timedelta(minutes=5)
    monkeypatch.setattr("alloop.clock.WallClock.now", lambda _: later)
    assert announce(ws, {"phone": lambda told: heard.append(told.id)}) == 1
    assert heard == ["birds/0/cycle/0"] * (2 if when == "after" else 1)  # the same id: who has heard it can tell


def test_two_that_look_at_once_tell_it_once(ws: Workspace) -> None:
    raise_(ws, "at_risk", "recovered", "at_risk", "breached")
    heard: list[str] = []
    gate = threading.Barrier(4)

    def look() -> None:
        gate.wait()
        announce(ws, {"phone": lambda told: heard.append(told.id)})

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    announce(ws, {"phone": lambda told: heard.append(told.id)})
    assert heard == [f"birds/0/cycle/{number}" for number in range(4)]


def test_a_new_channel_does_not_hear_of_old_times(ws: Workspace) -> None:
    ws.ledger.decisions.raise_flags([Flag(0, "cycle", "breached", 50.0, NOON.replace(year=2025))])
    assert announce(ws, {"phone": lambda told: pytest.fail(told.id)}) == 0


def test_a_wrong_address_does_not_keep_the_others_waiting(
    receiver: Receiver, ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    raise_(ws, "at_risk")
    announce(ws, channels_of(receiver.section(apprise=SecretStr("slakc://x"))))
    assert len(receiver.got) == 1
    assert "URL 1 of notify.apprise is none that Apprise understands" in caplog.text
