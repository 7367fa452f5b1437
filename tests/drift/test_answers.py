"""Drift by waiting loses no answer, and the rest of the cycle goes on as if the batch had been smaller."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from alloop.choosing import replay_batch
from alloop.cycle import (
    diversity_select,
    open_cycle,
    score_pool,
    wait_for_labels,
)
from alloop.drift import reconsider
from alloop.errors import LabelsPending
from alloop.hands_on import cancel_cycle, roll_back
from alloop.ledger.drifts import Drift
from alloop.nouns import Action, Outcome
from alloop.outlook import look_ahead
from alloop.quorum import close_at_quorum
from alloop.workspace import Workspace
from tests.drift.conftest import (
    AFTER_PUSH,
    OPEN,
    UP_TO_PUSH,
    chosen,
    do,
    drift_of,
    fallen,
    only,
    queue,
)
from tests.drift_project import drift_project
from tests.loop_project import Row, answer, batch_of, truly, without_labels


def test_an_answer_that_was_read_before_is_not_withdrawn(ws: Workspace, rows: list[Row]) -> None:
    done, *others = sorted(fallen(ws))
    answer(ws, OPEN, only(rows, {done}))
    with pytest.raises(LabelsPending):
        wait_for_labels(ws, OPEN)
    drift = drift_of(ws)
    assert (set(drift.withdrawn), drift.rescored) == (set(others), 8)


def test_an_answer_of_this_moment_is_not_withdrawn(ws: Workspace, rows: list[Row]) -> None:
    done, *others = sorted(fallen(ws))
    answer(ws, OPEN, only(rows, {done}))
    assert set(drift_of(ws).withdrawn) == set(others)


def test_an_answer_that_comes_while_it_is_withdrawn_counts(ws: Workspace, rows: list[Row]) -> None:
    """It came after the first look at the tool, as of a person who had the task open."""
    done, *others = sorted(fallen(ws))
    noted = ws.ledger.drifts.note(Drift(OPEN, "v1", "v0", 9, 68, 0.5, (done, *others), ws.clock.now()))
    answer(ws, OPEN, only(rows, {done}))
    ws.ledger.interventions.roll_back("v0", reason="a test")
    drift = reconsider(ws, OPEN)
    assert drift is not None
    assert (drift.at, set(drift.withdrawn)) == (noted.at, set(others))
    assert ws.ledger.labels.pending(OPEN) == (1, 12 - len(others))


def test_an_answer_to_what_was_withdrawn_trains_all_the_same(ws: Workspace, rows: list[Row]) -> None:
    gone = drift_of(ws).withdrawn
    asked = {item.sample.id for item in batch_of(ws, OPEN).items}
    answer(ws, OPEN, only(rows, asked - set(gone[1:])))
    do(ws, OPEN, *AFTER_PUSH)
    trained = {label.sample.id for label in ws.ledger.labels.training_set(OPEN).labels}
    assert trained & asked == asked - set(gone[1:])


def test_what_one_of_two_people_answered_is_not_withdrawn(tmp_path: Path, rows: list[Row]) -> None:
    with shared_by_two(tmp_path / "p", rows) as ws:
        half, *others = sorted(fallen(ws))
        answer(ws, OPEN, lambda x: truly(rows)(x) | {"annotator": "kim"} if x.id == half else None)
        assert set(drift_of(ws).withdrawn) == set(others)
        by_two(ws, OPEN, rows)
        do(ws, OPEN, wait_for_labels)
        assert ws.ledger.batches.tally(OPEN)[Outcome.EXPIRED] == len(others)


@contextmanager
def shared_by_two(folder: Path, rows: Sequence[Row]) -> Iterator[Workspace]:
    """The same as `until_it_waits`, with everything asked of two people."""
    manifest = [row if row[3] == "holdout" else without_labels([row])[0] for row in rows]
    with drift_project(folder, manifest, more="overlap_share = 1.0") as ws:
        for number in range(OPEN):
            do(ws, open_cycle(ws), *UP_TO_PUSH)
            by_two(ws, number, rows)
            do(ws, number, *AFTER_PUSH)
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        yield ws


def by_two(ws: Workspace, cycle: int, rows: Sequence[Row]) -> None:
    """Kim and Lee answer what is in the queue."""
    folder = ws.config.root / "annotation" / f"batch-{cycle:04d}"
    asked = {json.loads(line)["sample"] for line in (folder / "tasks.jsonl").read_text().splitlines()}
    samples = [item.sample for item in batch_of(ws, cycle).items if item.sample.id in asked]
    lines = [{"sample": x.id, "annotator": name, **truly(rows)(x)} for x in samples for name in ("kim", "lee")]
    (folder / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


# The rest of the cycle


def test_the_batch_is_complete_without_them_and_they_are_in_the_pool_again(ws: Workspace, rows: list[Row]) -> None:
    gone, asked = set(drift_of(ws).withdrawn), {item.sample.id for item in batch_of(ws, OPEN).items}
    answer(ws, OPEN, only(rows, asked - gone))
    do(ws, OPEN, *AFTER_PUSH)
    outcomes = ws.ledger.batches.outcomes(OPEN)
    assert {key for key, outcome in outcomes.items() if outcome is Outcome.EXPIRED} == gone
    assert {key for key, outcome in outcomes.items() if outcome is Outcome.LABELLED} == asked - gone
    assert gone <= {sample.id for shard in ws.ledger.samples.unlabelled(shard=50) for sample in shard}
    assert ws.ledger.decisions.all()[-1].cycle == OPEN
    version = ws.ledger.models.of(OPEN)[0]
    assert version.labels == 8 + 12 + 12 - len(gone)


def test_a_later_cycle_may_ask_for_them_again(ws: Workspace, rows: list[Row]) -> None:
    gone = set(drift_of(ws).withdrawn)
    answer(ws, OPEN, lambda x: None if x.id in gone else truly(rows)(x))
    do(ws, OPEN, *AFTER_PUSH)
    assert ws.ledger.models.champion().name == "v2"  # which sees green again
    do(ws, open_cycle(ws), score_pool, diversity_select)
    assert gone & chosen(ws, OPEN + 1).keys()


def test_the_batch_is_chosen_again_as_it_was(ws: Workspace, rows: list[Row]) -> None:
    gone = drift_of(ws).withdrawn
    assert replay_batch(ws, OPEN) == ()
    answer(ws, OPEN, lambda x: None if x.id in gone else truly(rows)(x))
    do(ws, OPEN, *AFTER_PUSH)
    assert replay_batch(ws, OPEN) == ()


def test_the_forecast_waits_for_what_is_left(ws: Workspace) -> None:
    gone = drift_of(ws).withdrawn
    assert look_ahead(ws, OPEN, ws.clock.now()).asked == 12 - len(gone)


def test_a_quorum_is_one_of_what_is_left(ws: Workspace, rows: list[Row]) -> None:
    gone = drift_of(ws).withdrawn
    left = sorted(item.sample.id for item in batch_of(ws, OPEN).items if item.sample.id not in gone)
    answer(ws, OPEN, only(rows, set(left[:3])))
    assert close_at_quorum(ws, OPEN) == len(left) - 3
    do(ws, OPEN, wait_for_labels)
    assert ws.ledger.batches.tally(OPEN) == {Outcome.LABELLED: 3, Outcome.EXPIRED: 9}


def test_cancelled_after_it_nothing_is_left_in_the_queue(ws: Workspace) -> None:
    roll_back(ws, "v0")
    assert cancel_cycle(ws).action is Action.CANCEL
    assert queue(ws) == set()
    assert ws.ledger.batches.tally(OPEN) == {Outcome.EXPIRED: 12}


def test_noted_and_cancelled_before_it_was_done_nothing_is_left_either(ws: Workspace) -> None:
    ws.ledger.drifts.note(Drift(OPEN, "v1", "v0", 9, 68, 0.5, tuple(sorted(fallen(ws))), ws.clock.now()))
    cancel_cycle(ws)
    assert queue(ws) == set()


def test_once_the_batch_is_closed_nothing_drifts(ws: Workspace, rows: list[Row]) -> None:
    answer(ws, OPEN, truly(rows))
    do(ws, OPEN, wait_for_labels)
    assert roll_back(ws, "v0").drift is None
    assert ws.ledger.drifts.of(OPEN) == ()


def test_once_it_is_being_closed_early_nothing_drifts(ws: Workspace) -> None:
    close_at_quorum(ws, OPEN)
    assert roll_back(ws, "v0").drift is None


def test_all_answered_and_not_closed_yet_nothing_is_scored(ws: Workspace, rows: list[Row]) -> None:
    answer(ws, OPEN, truly(rows))
    assert drift_of(ws).rescored == 0
    do(ws, OPEN, wait_for_labels)
    assert ws.ledger.batches.tally(OPEN) == {Outcome.LABELLED: 12}
