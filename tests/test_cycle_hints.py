"""A hint makes a waiting loop look soon, although its timer is set to an hour."""

import threading
import time

import pytest

from alloop.cycle import (
    diversity_select,
    open_cycle,
    push_to_annotation,
    score_pool,
    wait_for_labels,
    wait_until_labelled,
)
from alloop.errors import LabelsPending
from alloop.ledger.hints import Delivery
from tests.loop_project import answer, for_holdout, project, truly, without_labels, write_digits


@pytest.fixture
def rows(tmp_path):
    rows = write_digits(tmp_path / "images")
    return [*without_labels(rows[:60]), *for_holdout(rows[60:])], truly(rows)


@pytest.fixture
def ws(tmp_path, rows):
    """A loop that people have been asked for labels, and have not answered."""
    with project(tmp_path / "p", rows[0], tool="folder") as ws:
        cycle = open_cycle(ws)
        for step in (score_pool, diversity_select, push_to_annotation):
            step(ws, cycle)
        yield ws


def hint(ws, name="a"):
    ws.ledger.hints.receive([Delivery("label-studio", "ANNOTATION_CREATED", name * 64, "{}")])


def test_a_hint_ends_the_wait(ws, rows):
    def people():
        time.sleep(0.5)
        answer(ws, 0, rows[1])
        hint(ws)

    began, working = time.monotonic(), threading.Thread(target=people)
    working.start()
    wait_until_labelled(ws, 0)
    working.join()
    assert time.monotonic() - began < 60


def test_a_hint_is_handled_once_the_tool_was_read(ws):
    hint(ws)
    with pytest.raises(LabelsPending):
        wait_for_labels(ws, 0)
    assert not ws.ledger.hints.waiting()
