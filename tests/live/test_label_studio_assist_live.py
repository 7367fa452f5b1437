"""`alloop assist` behind a real Label Studio: its answers are what people find chosen in the editor."""

import socket
import threading

import pytest
import uvicorn

from alloop.service.assist import create_assist
from tests.annotation.label_studio_person import Person
from tests.live.browser import Browser
from tests.live.label_studio_server import EMAIL, TOKEN, start_copy
from tests.live.test_label_studio_browser import sign_in
from tests.loop_project import batch_of, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import STEPS, run_until_pushed

ALLOWED = {"LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false", "LABEL_STUDIO_ML_BLOCK_LOCAL_IP": "false"}
"""Label Studio asks no ML backend on its own machine otherwise."""
PASSWORD = "a-password-for-tests"
MORE = f"""
[annotation.label_studio]
url = "{{url}}"
token = "{TOKEN}"
project = "assisted"
[service]
signing_key = "a-signing-key-of-32-characters-x"
assist_password = "{PASSWORD}"
"""
CHOSEN = "Htx.annotationStore.selected.names.get('label').selectedValues()"


@pytest.fixture
def server(venv, tmp_path):
    server = start_copy(venv, tmp_path / "data", ALLOWED)
    yield server
    server.stop()


@pytest.fixture
def person(server):
    with server.client() as client:
        yield Person(client, "assisted", EMAIL)


@pytest.fixture
def ws(server, person, tmp_path):
    """A project of digits whose second batch, which has pre-labels, is with the annotators."""
    rows = write_digits(tmp_path / "images", 70)
    pool, says = for_holdout(rows[:20]) + without_labels(rows[20:]), truly(rows)
    more = MORE.format(url=server.url)
    with project(tmp_path / "loop", pool, tool="label-studio", more=more) as ws:
        cycle = run_until_pushed(ws)
        while (task := person.next()) is not None:
            sample = task["data"]["item_id"]
            person.choose(task["id"], says(ws.ledger.samples.get([sample])[sample])["label"])
        for step in STEPS[3:]:
            step(ws, cycle)
        run_until_pushed(ws)
        yield ws


@pytest.fixture
def assist(ws):
    """The address of `alloop assist`."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        service = uvicorn.Server(uvicorn.Config(create_assist(ws), log_level="warning"))
        thread = threading.Thread(target=service.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        service.should_exit = True
        thread.join()


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "browser")
    yield browser
    browser.close()


def test_somebody_who_opens_a_task_without_a_prediction_finds_the_champions_choice(server, person, ws, assist, browser):
    signed = {"auth_method": "BASIC_AUTH", "basic_auth_user": "alloop", "basic_auth_pass": PASSWORD}
    backend = {"url": assist, "project": person.number, "title": "alloop champion", "is_interactive": True, **signed}
    assert person.ask("POST", "/api/ml/", json=backend)["state"] == "CO"
    item = next(item for item in batch_of(ws, 1).items if item.shown)
    task = int(ws.ledger.batches.refs(1)[item.sample.id])
    version = person.project["model_version"]
    person.act("delete_tasks_predictions", [task])
    sign_in(browser, server)
    browser.open(f"{server.url}/projects/{person.number}/data?task={task}")
    assert browser.until(f"Htx.task?.id == {task} && {CHOSEN}.length && {CHOSEN}") == [item.shown.content.class_name]
    (found,) = person.tasks()[item.sample.id]["predictions"]
    assert found["model_version"] == version
