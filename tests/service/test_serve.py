"""`alloop serve` and `alloop assist` as people start them: a process, a port, and the ledger between it and the loop."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from alloop.commands.serve import assist, serve
from alloop.errors import ConfigError
from alloop.signing import Signer
from alloop.workspace import open_workspace
from tests.compose_file import example, read
from tests.service.conftest import KEY, PROJECT, SECRET, SECRETS

PASSWORD = "annotators-only-17"
START = "import sys, typer; from alloop.commands import serve; typer.run(getattr(serve, sys.argv.pop(1)))"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def port(tmp_path):
    """Of a project whose service and assistant are told to listen there."""
    found = free_port()
    more = f'port = {found}\nassist_port = {found}\nassist_password = "{PASSWORD}"\n'
    (tmp_path / "alloop.toml").write_text(PROJECT + SECRETS + more)
    return found


@contextmanager
def running(command, folder, port):
    """A client for the process."""
    with process_of(command, folder, port) as (_, client):
        yield client


@contextmanager
def process_of(command, folder, port):
    """The process, and a client for it; it is stopped as Ctrl-C does."""
    arguments = [sys.executable, "-c", START, command, "--config", str(folder)]
    with told(folder).open("w") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_for(port, process, folder)
            yield process, client
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        finally:
            process.kill()


def told(folder):
    """The file with what it printed."""
    return folder / "told.txt"


def wait_for(port, process, folder):
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        assert process.poll() is None, told(folder).read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(port)


def test_a_hint_over_the_network_reaches_a_loop_in_another_process(tmp_path, port):
    with open_workspace(tmp_path) as loop:
        with running("serve", tmp_path, port) as client:
            body = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "updated_at": "now"}}
            answer = client.post("/webhooks/label-studio", json=body, headers={"X-Alloop-Token": SECRET})
            assert answer.json() == {"status": "stored"}
            assert loop.ledger.hints.waiting()
        assert loop.ledger.hints.newest() == 1
    assert "serving project 'birds'" in told(tmp_path).read_text()


def test_deliveries_that_wait_when_it_is_stopped_are_stored_and_answered(tmp_path, port):
    def deliver(number):
        body = {"action": "ANNOTATION_CREATED", "annotation": {"id": number + 1, "updated_at": "now"}}
        return client.post("/webhooks/label-studio", json=body, headers={"X-Alloop-Token": SECRET})

    with process_of("serve", tmp_path, port) as (process, client), ThreadPoolExecutor(5) as senders:
        with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = [senders.submit(deliver, number) for number in range(5)]
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert not any(answer.done() for answer in answers)
        assert [answer.result().json() for answer in answers] == [{"status": "stored"}] * 5
    with open_workspace(tmp_path) as ws:
        assert ws.ledger.hints.newest() == 5


def test_its_output_holds_no_secret_and_no_signature(tmp_path, port):
    signed = Signer("birds", KEY.encode()).path("0" * 64, expires=datetime.now(UTC) + timedelta(hours=1))
    with running("serve", tmp_path, port) as client:
        assert client.get(signed).status_code == 404
        client.post("/webhooks/label-studio", json={"action": "A"}, headers={"X-Alloop-Token": SECRET})
        client.post("/webhooks/label-studio?token=" + SECRET, json={"action": "A"})
        server = client.get("/healthz").headers.get("Server")
    printed = told(tmp_path).read_text()
    assert f"GET /images/{'0' * 64} 404 " in printed
    assert "POST /webhooks/label-studio 401 " in printed
    for secret in (SECRET, KEY, signed.partition("signature=")[2]):
        assert secret not in printed
    assert server is None


def test_the_assistant_is_a_process_of_its_own(tmp_path, port):
    with running("assist", tmp_path, port) as client:
        assert client.get("/health", auth=("alloop", PASSWORD)).json()["status"] == "UP"
        assert client.get("/health", auth=("alloop", "wrong")).status_code == 401
        assert client.post("/webhooks/label-studio", json={}).status_code == 404


@pytest.mark.parametrize(("password", "healthy"), [(PASSWORD, True), ("another-password", False)])
def test_the_health_check_of_its_container_signs_in(tmp_path, port, password, healthy):
    _, python, *check = read(dict.fromkeys(example(), password))["services"]["assist"]["healthcheck"]["test"]
    assert python == "python"
    signed = {"ALLOOP_SERVICE__ASSIST_USER": "alloop", "ALLOOP_SERVICE__ASSIST_PASSWORD": password}
    command = [sys.executable, *(word.replace("8091", str(port)) for word in check)]
    with running("assist", tmp_path, port):
        done = subprocess.run(command, env=os.environ | signed, capture_output=True, timeout=60)
    assert (done.returncode == 0) == healthy


@pytest.mark.parametrize(("command", "key"), [(serve, "port"), (assist, "assist_port")])
def test_a_port_that_is_taken_is_told_in_one_sentence_and_nothing_before(tmp_path, port, capsys, command, key):
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError) as error:
        command(tmp_path)
    assert str(error.value) == (
        f"nothing can listen at 127.0.0.1:{port} (Address already in use); choose another [service] {key}"
    )
    assert capsys.readouterr() == ("", "")


def test_secrets_that_are_missing_are_told_at_the_start(tmp_path, port, capsys):
    text = (tmp_path / "alloop.toml").read_text().replace(SECRET, "").replace(KEY, "")
    (tmp_path / "alloop.toml").write_text(text)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError):
        serve(tmp_path)
    warned = capsys.readouterr().err
    assert "ALLOOP_SERVICE__WEBHOOK_SECRET is not set" in warned
    assert "ALLOOP_SERVICE__SIGNING_KEY is not set" in warned
