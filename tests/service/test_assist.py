"""Pre-labels on demand: the champion's, for our own samples, behind a password."""

import base64
import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from alloop.annotation.label_studio_queue import named
from alloop.errors import ConfigError
from alloop.ledger.tables import BatchItemRow, PromotionRow
from alloop.service.assist import create_assist
from tests.service.conftest import Caller, birds
from tests.small_project import run_cycles, run_until_pushed, small_project, write_images

PASSWORD = "annotators-only-17"
SECTION = f'[service]\nassist_password = "{PASSWORD}"\n'
SETUP = {
    "project": "21.1795450233",
    "schema": "<View/>",
    "hostname": "http://localhost:18080",
    "access_token": "an-administrators-token",
    "extra_params": None,
}
"""What Label Studio 1.23.2 sends, with a token that was made up."""


def basic(user="alloop", password=PASSWORD):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def tasks(*ids):
    """A request for predictions as Label Studio 1.23.2 sends it, shortened."""
    return {
        "tasks": [
            {"id": n, "data": {"image": f"http://169.254.169.254/{n}.jpg", "item_id": key}, "annotations": []}
            for n, key in enumerate(ids)
        ],
        "project": "21.1795450233",
        "params": {"login": None, "password": None, "context": None},
    }


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    """A project with a champion, whose second batch is with the annotators."""
    folder = tmp_path_factory.mktemp("assist")
    with small_project(folder / "digits", write_images(folder / "images"), more=SECTION) as ws:
        run_cycles(ws, 1)
        run_until_pushed(ws)
        with ws.ledger.database.write() as session:
            last = select(BatchItemRow).filter_by(cycle=1).order_by(BatchItemRow.rank.desc()).limit(1)
            session.scalars(last).one().blind = True
        yield ws


@pytest.fixture(scope="module")
def batch(ws):
    return ws.ledger.batches.get(1).items


@pytest.fixture
def woken():
    return []


@pytest.fixture
def service(ws, woken):
    return Caller(create_assist(ws, wake=woken.append))


def predict(service, *ids):
    answer = service.post("/predict", tasks(*ids), headers=basic())
    assert answer.status_code == 200
    return answer.json()["results"]


def test_a_sample_gets_what_was_pushed_with_it(service, batch):
    item = next(item for item in batch if item.shown)
    (found,) = predict(service, item.sample.id)
    (region,) = found["result"]
    assert region["value"] == {"choices": [item.shown.content.class_name]}
    assert (region["from_name"], region["to_name"], region["type"]) == ("label", "image", "choices")


def test_the_version_is_the_champions_and_names_the_batch(service, batch, ws):
    champion = ws.ledger.models.champion().name
    assert {found["model_version"] for found in predict(service, *(x.sample.id for x in batch))} == {f"{champion}/b1"}
    assert named(champion, 1) == f"{champion}/b1"


def test_the_score_keeps_the_queue_in_order_of_rank(service, batch):
    found = predict(service, *(item.sample.id for item in batch))
    by_score = sorted(range(len(batch)), key=lambda place: found[place]["score"])
    assert [batch[place].rank for place in by_score] == list(range(len(batch)))


def test_there_is_one_answer_for_each_task_in_order(service, batch):
    first, second = batch[0].sample.id, batch[1].sample.id
    forth, back = predict(service, first, second), predict(service, second, first)
    assert forth == back[::-1]
    assert forth[0] != forth[1]


def test_who_is_none_of_ours_gets_nothing(service, batch):
    found = predict(service, "0" * 64, batch[0].sample.id, "/etc/passwd", "", None, 7, ["x"])
    assert [bool(one["result"]) for one in found] == [False, batch[0].shown is not None] + [False] * 5


def test_what_is_none_of_ours_stays_out_of_the_queue(service, batch):
    stranger, ours = predict(service, "0" * 64, batch[0].sample.id)
    assert stranger["model_version"] != ours["model_version"]


def test_the_holdout_is_answered_without_help(service, ws):
    assert not any(found["result"] for found in predict(service, *(x.id for x in ws.ledger.holdout.all())))


def test_a_sample_that_nobody_was_asked_about_gets_nothing(service, ws, batch):
    asked = {item.sample.id for item in batch}
    others = [s.id for shard in ws.ledger.samples.everything(shard=100) for s in shard if s.id not in asked]
    assert others
    assert not any(found["result"] for found in predict(service, *others))


def test_a_blind_sample_is_answered_without_help(service, batch):
    blind = [item.sample.id for item in batch if item.blind]
    assert blind
    assert not any(found["result"] for found in predict(service, *blind))


def test_after_another_promotion_the_new_champion_answers(tmp_path):
    """One pointer: what the batch was pushed with is not shown once another model is the champion."""
    with small_project(tmp_path / "p", write_images(tmp_path / "i"), more=SECTION) as ws:
        run_cycles(ws, 1)
        first = ws.ledger.models.champion()
        run_cycles(ws, 1)
        run_until_pushed(ws)
        assert ws.ledger.models.champion() != first
        promote(ws, first.name)
        item = next(item for item in ws.ledger.batches.get(2).items if item.shown)
        (found,) = predict(Caller(create_assist(ws)), item.sample.id)
        seen = ws.model(first).predict([item.sample]).probabilities[0]
    assert found["model_version"] == f"{first.name}/b2"
    assert found["result"][0]["value"] == {"choices": [str(seen.argmax())]}
    assert found["result"][0]["score"] == pytest.approx(float(seen.max()))


def test_an_image_that_is_gone_costs_the_others_nothing(tmp_path):
    with small_project(tmp_path / "p", write_images(tmp_path / "i"), more=SECTION) as ws:
        run_cycles(ws, 1)
        first = ws.ledger.models.champion()
        run_cycles(ws, 1)
        run_until_pushed(ws)
        promote(ws, first.name)
        lost, *others = [item.sample for item in ws.ledger.batches.get(2).items if item.shown]
        Path(lost.uri).unlink()
        found = predict(Caller(create_assist(ws)), lost.id, *[sample.id for sample in others])
    assert [bool(one["result"]) for one in found] == [False] + [True] * len(others)


def promote(ws, name):
    """What `alloop model rollback` will do."""
    row = {"project": ws.config.project.name, "number": 99, "name": name, "reason": "test", "at": ws.clock.now()}
    with ws.ledger.database.write() as session:
        ws.ledger.database.insert(session, PromotionRow, [row])


def test_before_the_first_champion_there_is_nothing_to_show(tmp_path):
    with birds(tmp_path, more=SECTION) as ws:
        service = Caller(create_assist(ws))
        assert service.post("/setup", SETUP, headers=basic()).json() == {"model_version": ""}
        assert service.get("/versions", headers=basic()).json() == {"versions": []}
        assert predict(service, "0" * 64) == [{"model_version": "", "score": 0.0, "result": []}]


def test_set_up_tells_the_version(service, ws):
    version = service.post("/setup", SETUP, headers=basic()).json()["model_version"]
    assert version == f"{ws.ledger.models.champion().name}/b1"
    assert service.get("/versions", headers=basic()).json() == {"versions": [version]}


def test_the_token_in_set_up_is_nowhere(service, ws, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    service.post("/setup", SETUP, headers=basic())
    assert "an-administrators-token" not in caplog.text
    assert "an-administrators-token" not in (ws.config.root / "ledger.db").read_bytes().decode("latin-1")


def test_it_lives(service):
    assert service.get("/health", headers=basic()).json()["status"] == "UP"


WRONG = [
    {},
    basic(password="wrong"),
    basic(user="root"),
    basic(password=""),
    {"Authorization": f"Bearer {PASSWORD}"},
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": b"Basic \xe9"},
    {"Authorization": basic()["Authorization"].replace("Basic", "Digest")},
]


@pytest.mark.parametrize("headers", WRONG, ids=str)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("GET", "/versions"), ("POST", "/setup"), ("POST", "/predict")]
)
def test_without_user_and_password_nothing_is_told(service, method, path, headers):
    answer = service(method, path, headers=headers, content=json.dumps(tasks("0" * 64)).encode())
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="alloop"'
    assert "model" not in answer.text


@pytest.mark.parametrize("headers", WRONG[:2], ids=str)
def test_a_webhook_without_the_password_does_nothing(service, woken, ws, headers):
    answer = service.post("/webhook", {"action": "START_TRAINING"}, headers=headers)
    assert (answer.status_code, woken) == (200, [])
    assert not ws.ledger.hints.waiting()


def test_a_webhook_with_the_password_only_wakes(service, woken, ws):
    service.post("/webhook", {"action": "START_TRAINING"}, headers=basic())
    assert woken == [ws.config.project.name]
    assert not ws.ledger.hints.waiting()


BROKEN = [b"", b"no json", b"[]", b"{}", b'{"tasks": 7}', b'{"tasks": null}', b"[" * 100_000]


@pytest.mark.parametrize("raw", BROKEN, ids=lambda raw: raw[:12].decode())
def test_a_request_that_cannot_be_read_is_refused(service, raw):
    assert service.post("/predict", raw, headers=basic()).status_code == 422


@pytest.mark.parametrize("task", [None, 7, "x", [], {}, {"data": None}, {"data": []}, {"data": {"item_id": {}}}])
def test_a_task_of_any_form_gets_an_answer(service, task):
    answer = service.post("/predict", {"tasks": [task]}, headers=basic())
    assert [one["result"] for one in answer.json()["results"]] == [[]]


def test_a_thousand_tasks_are_enough(service):
    assert service.post("/predict", tasks(*["x"] * 1001), headers=basic()).status_code == 422


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
def test_a_body_that_is_too_large_is_refused(service, path):
    assert service.post(path, b" " * (5 << 20), headers=basic()).status_code == 413


def test_without_a_password_it_does_not_start(tmp_path):
    with birds(tmp_path, more="") as ws, pytest.raises(ConfigError, match="ALLOOP_SERVICE__ASSIST_PASSWORD"):
        create_assist(ws)


def test_many_at_once_get_the_same(service, batch):
    raw = json.dumps(tasks(batch[0].sample.id)).encode()
    answers = service.together([("POST", "/predict", {"content": raw, "headers": basic()})] * 8)
    assert len(Counter(answer.text for answer in answers)) == 1
