"""When a webhook is answered: once its row is there for good, whatever its sender, the ledger or the loop does meanwhile."""

import asyncio
import json
import sqlite3
import threading
from contextlib import closing

from alloop.ledger import database
from alloop.service.app import create_app
from alloop.workspace import open_workspace
from tests.service.conftest import SECRET, Caller, birds
from tests.service.test_webhooks import TOKEN, created, stored


async def asgi(app, raw, send, *, breaks_off=False):
    messages = [{"type": "http.request", "body": raw, "more_body": breaks_off}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/webhooks/label-studio",
        "raw_path": b"/webhooks/label-studio",
        "query_string": b"",
        "headers": [(b"x-alloop-token", SECRET.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    await app(scope, receive, send)


def test_a_wake_that_fails_loses_nothing(ws, caplog):
    def wake(project):
        raise RuntimeError("Prefect is down")

    answer = Caller(create_app(ws, wake=wake)).post("/webhooks/label-studio", created(), headers=TOKEN)
    assert (answer.status_code, len(stored(ws))) == (200, 1)
    assert "was not woken (RuntimeError)" in caplog.text


def test_the_answer_begins_when_any_other_process_can_see_the_row(ws, tmp_path):
    seen = []

    async def send(message):
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
            seen.append((message["type"], other.execute("SELECT count(*) FROM hint").fetchone()))

    asyncio.run(asgi(create_app(ws), json.dumps(created()).encode(), send))
    assert seen == [("http.response.start", (1,)), ("http.response.body", (1,))]


def test_where_nobody_is_to_be_woken_no_thread_is_taken_for_it(ws):
    """32 new threads at once kept the senders waiting for 50 ms."""

    async def send(message):
        pass

    async def new_threads(app):
        before = set(threading.enumerate())
        await asgi(app, json.dumps(created()).encode(), send)
        return {thread.name for thread in set(threading.enumerate()) - before}

    assert "AnyIO worker thread" not in asyncio.run(new_threads(create_app(ws)))


def test_the_answer_does_not_wait_for_the_wake(ws):
    """The sender's connection has its whole answer while the wake is still at it."""
    go_on, sent = threading.Event(), []
    app = create_app(ws, wake=lambda project: go_on.wait(20))

    async def send(message):
        sent.append(message["type"] + str(message.get("status", "")))
        if message["type"] == "http.response.body":
            go_on.set()

    asyncio.run(asgi(app, json.dumps(created()).encode(), send))
    assert sent == ["http.response.start200", "http.response.body"]


def test_a_sender_that_hangs_up_in_its_body_leaves_nothing(ws):
    async def send(message):
        pass

    asyncio.run(asgi(create_app(ws), json.dumps(created()).encode(), send, breaks_off=True))
    assert stored(ws) == []


def test_a_sender_that_never_ends_is_cut_off(ws, monkeypatch):
    monkeypatch.setattr("alloop.service.answers.BODY_S", 0.05)

    async def slow():
        yield b"{"
        await asyncio.sleep(20)

    answer = Caller(create_app(ws))("POST", "/webhooks/label-studio", content=slow(), headers=TOKEN)
    assert answer.status_code == 408


def test_a_busy_ledger_asks_to_send_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with birds(tmp_path) as ws:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers=TOKEN)
        other.close()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers=TOKEN).status_code == 200


def test_hints_survive_the_service(tmp_path, ws):
    Caller(create_app(ws)).post("/webhooks/label-studio", created(), headers=TOKEN)
    with open_workspace(tmp_path) as again:
        assert again.ledger.hints.waiting()
