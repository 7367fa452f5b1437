"""Webhooks: verified, stored once, answered; each refusal has a status of its own."""

import hashlib
import hmac
import json
import logging
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from alloop.annotation.hints import KEPT, MAX_BYTES, sign_generic
from alloop.clock import VirtualClock
from alloop.errors import ConfigError
from alloop.ledger.tables import HintRow
from alloop.service.app import create_app
from alloop.workspace import open_workspace
from tests.service.conftest import PROJECT, SECRET, Caller, birds

NOW = datetime(2026, 11, 23, 16, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
TOKEN = {"X-Alloop-Token": SECRET}


def created(number=30, *, updated="2026-11-23T16:01:46Z"):
    annotation = {"id": number, "updated_at": updated, "result": [], "was_cancelled": False}
    return {"action": "ANNOTATION_CREATED", "annotation": annotation, "project": {"id": 11, "token": "0f9c1d"}}


def generic(raw, *, stamp=STAMP):
    signature = sign_generic(raw, SECRET, timestamp=stamp)
    return {"X-Alloop-Timestamp": stamp, "X-Alloop-Signature": signature}


def stored(ws):
    with ws.ledger.database.read() as session:
        return session.scalars(select(HintRow).order_by(HintRow.id)).all()


@pytest.fixture
def woken():
    return []


@pytest.fixture
def service(ws, woken, tmp_path):
    return Caller(create_app(ws, wake=woken.append, clock=VirtualClock(tmp_path / "now", NOW)))


def test_a_genuine_delivery_is_stored_and_the_loop_woken(service, ws, woken):
    answer = service.post("/webhooks/label-studio", created(), headers=TOKEN)
    assert (answer.status_code, answer.json()) == (200, {"status": "stored"})
    assert [(row.tool, row.event) for row in stored(ws)] == [("label-studio", "ANNOTATION_CREATED")]
    assert woken == ["birds"]


def test_cvat_is_taken_in_too(service, ws):
    raw = json.dumps({"event": "update:job", "job": {"id": 7}}).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    assert service.post("/webhooks/cvat", raw, headers={"X-Signature-256": signature}).status_code == 200
    assert [row.event for row in stored(ws)] == ["update:job"]


def test_a_generic_one_too(service, ws):
    raw = b'{"event": "done", "project": "birds"}'
    assert service.post("/webhooks/generic", raw, headers=generic(raw)).status_code == 200
    assert [row.event for row in stored(ws)] == ["done"]


def test_a_forged_one_is_refused_and_leaves_nothing(service, ws, woken):
    answer = service.post("/webhooks/label-studio", created(), headers={"X-Alloop-Token": "wrong"})
    assert answer.status_code == 401
    assert (stored(ws), woken) == ([], [])


@pytest.mark.parametrize("tool", ["label-studio", "cvat", "generic"])
def test_without_any_header_it_is_forged(service, tool):
    assert service.post(f"/webhooks/{tool}", created()).status_code == 401


def test_a_header_that_is_no_ascii_is_forged(service):
    assert service.post("/webhooks/label-studio", created(), headers={"X-Alloop-Token": b"\xe9"}).status_code == 401


def test_one_that_is_too_large_is_refused(service, ws):
    answer = service.post("/webhooks/label-studio", b" " * (MAX_BYTES + 1), headers=TOKEN)
    assert (answer.status_code, stored(ws)) == (413, [])


def test_its_own_word_about_its_length_is_not_trusted(service):
    sent = []

    async def endless():
        while True:
            sent.append(65536)
            yield b" " * 65536

    assert service("POST", "/webhooks/label-studio", content=endless(), headers=TOKEN).status_code == 413
    assert sum(sent) <= MAX_BYTES + 2 * 65536


@pytest.mark.parametrize("told", ["0", "99999999999999999999999999", "-1", "\u0661"])
def test_any_content_length_is_answered(service, told):
    headers = [("X-Alloop-Token", SECRET), ("Content-Length", told.encode())]
    assert service("POST", "/webhooks/label-studio", content=b"{}", headers=headers).status_code in (413, 422)


@pytest.mark.parametrize("raw", [b"", b"no json", b"[1]", b'{"action": 7}', b'{"action": "A", "x": NaN}', b"\xff"])
def test_a_malformed_one_is_refused(service, ws, raw):
    answer = service.post("/webhooks/label-studio", raw, headers=TOKEN)
    assert (answer.status_code, stored(ws)) == (422, [])
    assert list(answer.json()) == ["detail"]


def test_a_project_in_the_body_that_is_not_here_is_unknown(service, ws):
    raw = b'{"event": "done", "project": "bees"}'
    assert service.post("/webhooks/generic", raw, headers=generic(raw)).status_code == 404
    assert stored(ws) == []


def test_a_project_in_the_address_that_is_not_here_is_unknown(service):
    assert service.post("/webhooks/label-studio?project=bees", created(), headers=TOKEN).status_code == 404


def test_the_project_in_the_address_may_be_ours(service):
    assert service.post("/webhooks/label-studio?project=birds", created(), headers=TOKEN).status_code == 200


def test_who_has_no_secret_does_not_learn_which_projects_there_are(service):
    assert service.post("/webhooks/label-studio?project=bees", created()).status_code == 401


def test_the_news_of_a_large_import_is_taken_in(service, ws):
    tasks = [{"id": number, "data": {"image": "x" * 400}} for number in range(2000)]
    body = {"action": "TASKS_CREATED", "tasks": tasks, "project": {"id": 11}}
    assert service.post("/webhooks/label-studio", body, headers=TOKEN).status_code == 200
    assert [len(row.body) for row in stored(ws)] == [KEPT]


def test_a_tool_that_nobody_reads_is_unknown(service):
    answer = service.post("/webhooks/other", created(), headers=TOKEN)
    assert answer.status_code == 404
    assert "label-studio" in answer.json()["detail"]


def test_a_duplicate_is_one_row_and_does_not_wake_again(service, ws, woken):
    for status in ("stored", "duplicate", "duplicate"):
        answer = service.post("/webhooks/label-studio", created(), headers=TOKEN)
        assert (answer.status_code, answer.json()) == (200, {"status": status})
    assert (len(stored(ws)), len(woken)) == (1, 1)


def test_duplicates_at_the_same_moment_are_one_row(service, ws):
    raw = json.dumps(created()).encode()
    answers = service.together([("POST", "/webhooks/label-studio", {"content": raw, "headers": TOKEN})] * 20)
    assert sorted(answer.json()["status"] for answer in answers) == ["duplicate"] * 19 + ["stored"]
    assert len(stored(ws)) == 1


def test_out_of_order_both_are_kept(service, ws):
    for minute in (2, 1):
        body = created(updated=f"2026-11-23T16:0{minute}:00Z")
        assert service.post("/webhooks/label-studio", body, headers=TOKEN).status_code == 200
    assert len(stored(ws)) == 2


def test_a_replay_after_five_minutes_is_refused(service, ws):
    raw, old = b'{"event": "done"}', str(int(STAMP) - 301)
    assert service.post("/webhooks/generic", raw, headers=generic(raw, stamp=old)).status_code == 401
    assert stored(ws) == []


def test_a_replay_within_them_changes_nothing(service, ws, woken):
    raw = b'{"event": "done"}'
    assert [service.post("/webhooks/generic", raw, headers=generic(raw)).status_code for _ in "ab"] == [200, 200]
    assert (len(stored(ws)), len(woken)) == (1, 1)


def test_nothing_secret_is_stored(service, ws):
    service.post("/webhooks/label-studio", created(), headers=TOKEN)
    (row,) = stored(ws)
    assert "0f9c1d" not in row.body
    assert SECRET not in row.body


def test_without_a_secret_webhooks_say_what_to_set(tmp_path):
    with birds(tmp_path, more="") as ws:
        answer = Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers={"X-Alloop-Token": ""})
    assert answer.status_code == 503
    assert "ALLOOP_SERVICE__WEBHOOK_SECRET" in answer.json()["detail"]


def test_an_empty_secret_is_none(tmp_path):
    with birds(tmp_path, more='[service]\nwebhook_secret = ""\n') as ws:
        answer = Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers={"X-Alloop-Token": ""})
    assert answer.status_code == 503


def test_a_short_secret_is_refused_and_not_shown(tmp_path):
    with birds(tmp_path, more='[service]\nwebhook_secret = "geheim"\n') as ws:
        with pytest.raises(ConfigError, match="6 characters") as error:
            create_app(ws)
        assert "geheim" not in str(error.value)
        assert "geheim" not in repr(ws.config)


def test_the_secret_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOOP_SERVICE__WEBHOOK_SECRET", SECRET)
    with birds(tmp_path, more="") as ws:
        answer = Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers=TOKEN)
        assert answer.status_code == 200
        assert SECRET not in repr(ws.config) + str(ws.config)


def test_a_secret_of_digits_alone_is_no_error_that_would_show_it(tmp_path):
    with birds(tmp_path, more="[service]\nwebhook_secret = 12345678901234567\n") as ws:
        headers = {"X-Alloop-Token": "12345678901234567"}
        assert Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers=headers).status_code == 200


def test_two_projects_in_one_ledger_have_their_own_hints(tmp_path, ws, service):
    service.post("/webhooks/label-studio", created(), headers=TOKEN)
    (tmp_path / "other.toml").write_text(PROJECT.replace("birds", "bees"))
    with open_workspace(tmp_path / "other.toml") as bees:
        assert not bees.ledger.hints.waiting()


def test_the_log_names_the_request_and_no_secret(service, caplog):
    caplog.set_level(logging.INFO)
    service.post("/webhooks/label-studio?project=birds&token=geheim", created(), headers=TOKEN)
    service.get("/a%0Ab?signature=geheim")
    lines = [record.getMessage() for record in caplog.records if record.name == "alloop.service"]
    assert lines[0].startswith("POST /webhooks/label-studio 200 ")
    assert lines[1].startswith("GET /a%0Ab 404 ")
    assert "geheim" not in "".join(lines)
    assert SECRET not in "".join(lines)


def test_a_webhook_is_posted(service):
    assert service.get("/webhooks/label-studio").status_code == 405


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/redoc"])
def test_there_are_no_pages(service, path):
    assert service.get(path).status_code == 404
