"""After the champion changed, open tasks show what the new one would answer."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from alloop.annotation.form import Form
from alloop.annotation.label_studio import LabelStudioTool
from alloop.annotation.label_studio_client import Server
from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    strategy_switch,
    wait_for_labels,
)
from alloop.errors import LabelsPending
from alloop.ledger.tables import PromotionRow
from alloop.publishing import publish_champion
from tests.annotation.fake_label_studio import EMAIL, TOKEN, FakeLabelStudio
from tests.annotation.label_studio_person import Person
from tests.loop_project import answer, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import LABELS

UP_TO_PUSH = (score_pool, diversity_select, push_to_annotation)
AFTER_PUSH = (wait_for_labels, retrain, holdout_eval, strategy_switch)


@contextmanager
def labelled_twice(folder):
    """A project on the folder tool with two models, v0 and v1, and nothing open."""
    rows = write_digits(folder / "images")
    with project(folder / "p", [*without_labels(rows[:60]), *for_holdout(rows[60:])], tool="folder") as ws:
        for number in range(2):
            assert open_cycle(ws) == number
            for step in UP_TO_PUSH:
                step(ws, number)
            answer(ws, number, truly(rows))
            for step in AFTER_PUSH:
                step(ws, number)
        yield ws


@pytest.fixture
def ws(tmp_path):
    """Cycle 2 is pushed with the pre-labels of v1."""
    with labelled_twice(tmp_path) as ws:
        make_champion(ws, "v1")
        cycle = open_cycle(ws)
        for step in UP_TO_PUSH:
            step(ws, cycle)
        yield ws


def make_champion(ws, name):
    with ws.ledger.database.write() as session:
        number = session.scalar(select(func.max(PromotionRow.number))) + 1
        at = ws.clock.now()
        session.add(PromotionRow(project=ws.config.project.name, number=number, name=name, reason="a test", at=at))


def tasks(ws):
    file = ws.config.root / "annotation" / "batch-0002" / "tasks.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def versions(ws):
    return {task["sample"]: task["prelabel"] and task["prelabel"]["model_version"] for task in tasks(ws)}


def test_open_tasks_show_what_the_new_champion_would_answer(ws):
    before = versions(ws)
    shown = {key for key, version in before.items() if version is not None}
    assert {before[key] for key in shown} == {"v1"}
    make_champion(ws, "v0")
    assert publish_champion(ws) == len(shown) > 0
    assert versions(ws) == {key: "v0" if key in shown else None for key in before}


def test_the_answers_shown_are_those_of_that_model(ws):
    make_champion(ws, "v0")
    publish_champion(ws)
    shown = {task["sample"]: task["prelabel"]["label"] for task in tasks(ws) if task["prelabel"]}
    samples = [item.sample for item in ws.ledger.batches.get(2).items if item.sample.id in shown]
    sees = ws.model(ws.ledger.models.get("v0")).predict(samples).probabilities.argmax(axis=1)
    assert shown == {sample.id: LABELS[place] for sample, place in zip(samples, sees, strict=True)}


def test_what_is_answered_is_left_alone(ws):
    done = next(item.sample.id for item in ws.ledger.batches.get(2).items if item.shown is not None)
    answer(ws, 2, lambda sample: {"label": "0"} if sample.id == done else None)
    with pytest.raises(LabelsPending):
        wait_for_labels(ws, 2)
    before = versions(ws)
    make_champion(ws, "v0")
    assert publish_champion(ws) == sum(version is not None for version in before.values()) - 1
    assert versions(ws)[done] == "v1"


def test_twice_is_once(ws):
    make_champion(ws, "v0")
    publish_champion(ws)
    first = tasks(ws)
    publish_champion(ws)
    assert tasks(ws) == first


def test_there_and_back_again_shows_what_was_shown_first(ws):
    first = tasks(ws)
    make_champion(ws, "v0")
    publish_champion(ws)
    make_champion(ws, "v1")
    publish_champion(ws)
    assert [(task["prelabel"] or {}).get("label") for task in tasks(ws)] == [
        (task["prelabel"] or {}).get("label") for task in first
    ]


class Deaf:
    """A tool that must not be asked."""

    name = "folder"


def test_nobody_is_asked_while_nothing_is_open(tmp_path):
    with labelled_twice(tmp_path) as ws:
        assert publish_champion(replace(ws, tool=Deaf())) == 0


def test_nobody_is_asked_before_the_batch_is_pushed(tmp_path):
    with labelled_twice(tmp_path) as ws:
        cycle = open_cycle(ws)
        for step in UP_TO_PUSH[:2]:
            step(ws, cycle)
        assert publish_champion(replace(ws, tool=Deaf())) == 0


def test_nobody_is_asked_once_the_batch_is_closed(ws):
    answer(ws, 2, lambda _: {"label": "0"})
    wait_for_labels(ws, 2)
    assert publish_champion(replace(ws, tool=Deaf())) == 0


def test_without_a_champion_there_is_nothing_to_publish(tmp_path):
    rows = write_digits(tmp_path / "images")
    with project(tmp_path / "p", [*without_labels(rows[:60]), *for_holdout(rows[60:])], tool="folder") as ws:
        cycle = open_cycle(ws)
        for step in UP_TO_PUSH:
            step(ws, cycle)
        assert publish_champion(replace(ws, tool=Deaf())) == 0


def test_label_studio_serves_the_new_predictions_in_the_same_order(ws):
    fake, batch = FakeLabelStudio(), ws.ledger.batches.get(2)
    tool = LabelStudioTool(
        Server("http://fake", SecretStr(TOKEN), transport=fake),
        "Digits",
        form=Form(ws.config.project.task, LABELS),
        image_url=lambda sample: f"https://images.example/{sample.id}",
        size_of=ws.ledger.samples.sizes,
    )
    tool.push(batch)
    make_champion(ws, "v0")
    assert publish_champion(replace(ws, tool=tool)) == sum(item.shown is not None for item in batch.items)
    with fake.client() as client:
        served = Person(client, "Digits", EMAIL).work(len(batch.items), "0")
    assert [task["data"]["item_id"] for task in served] == [item.sample.id for item in batch.items]
    assert {row["model_version"] for task in served for row in task["predictions"]} == {"v0/b2"}
    told = [bool(row["result"]) for task in served for row in task["predictions"]]
    assert told == [item.shown is not None for item in batch.items]
