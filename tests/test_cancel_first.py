"""The first cycle given up: the holdout stays drawn, its answers are kept, and the next cycle asks for the rest and freezes it."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

import pytest

from alloop.choosing import replay_batch
from alloop.cycle import diversity_select, open_cycle, score_pool, wait_for_labels
from alloop.hands_on import cancel_cycle
from alloop.nouns import Action, Lane, Outcome, Split
from alloop.summary import summarise
from alloop.workspace import Workspace
from tests.loop_project import Row, answer, project, truly, without_labels, write_digits
from tests.test_hands_on import AFTER_PUSH, CHECKOUT, DYING, MOMENTS, UP_TO_PUSH, do, open_tasks, trained, unlabelled

HOLDOUT, FIRST = 20, 8


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return write_digits(tmp_path / "images", 100)


@contextmanager
def opened(folder: Path, rows: Sequence[Row]) -> Iterator[Workspace]:
    """A team's first project: nothing is labelled, and the holdout has to be drawn and asked for."""
    with project(folder, without_labels(rows), tool="folder", name="first") as ws:
        yield ws


@pytest.fixture
def ws(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """Cycle 0 is pushed."""
    with opened(tmp_path / "p", rows) as ws:
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        yield ws


def asked(ws: Workspace, cycle: int, *lanes: Lane) -> list[str]:
    """The samples of a batch in these lanes, in order of id."""
    return sorted(item.sample.id for item in ws.ledger.batches.get(cycle).items if item.lane in (lanes or Lane))


def answer_some(ws: Workspace, cycle: int, rows: Sequence[Row], some: Set[str]) -> None:
    answer(ws, cycle, lambda sample: truly(rows)(sample) if sample.id in some else None)


def answer_part(ws: Workspace, rows: Sequence[Row]) -> tuple[set[str], set[str]]:
    """Three of the batch and seven of the holdout."""
    pool, measuring = set(asked(ws, 0, Lane.ACTIVE)[:3]), set(asked(ws, 0, Lane.HOLDOUT)[:7])
    answer_some(ws, 0, rows, pool | measuring)
    return pool, measuring


def walk(ws: Workspace, rows: Sequence[Row]) -> int:
    """A whole cycle, answered by people who know every digit."""
    cycle = open_cycle(ws)
    do(ws, cycle, *UP_TO_PUSH)
    answer(ws, cycle, truly(rows))
    do(ws, cycle, *AFTER_PUSH)
    return cycle


def drawn(ws: Workspace) -> set[str]:
    return {sample.id for sample in ws.ledger.holdout.all()}


def frozen(ws: Workspace) -> set[str]:
    found = ws.ledger.holdout.frozen()
    assert found is not None
    return {label.sample.id for label in found[1]}


# What is kept


def test_answers_are_kept_and_the_rest_leaves_the_queue(ws: Workspace, rows: list[Row]) -> None:
    pool, measuring = answer_part(ws, rows)
    decision = cancel_cycle(ws)
    assert (decision.action, decision.judged) == (Action.CANCEL, "clustered-start")
    assert decision.reason == (
        "cancelled by a person at wait_for_labels: 10 of 28 samples had answers, which are kept; the others are in the "
        "pool again, or asked for again where they belong to the holdout"
    )
    outcomes = ws.ledger.batches.outcomes(0)
    assert {key for key, outcome in outcomes.items() if outcome is Outcome.LABELLED} == pool | measuring
    assert set(outcomes.values()) == {Outcome.LABELLED, Outcome.EXPIRED}
    assert {task["sample"] for task in open_tasks(ws, 0)} == pool | measuring


def test_the_holdout_stays_drawn_and_is_not_frozen(ws: Workspace, rows: list[Row]) -> None:
    before = drawn(ws)
    answer_part(ws, rows)
    cancel_cycle(ws)
    assert drawn(ws) == before
    assert len(before) == HOLDOUT
    assert ws.ledger.holdout.frozen() is None
    assert not unlabelled(ws) & before


def test_the_next_cycle_asks_only_for_what_has_no_answer(ws: Workspace, rows: list[Row]) -> None:
    pool, measuring = answer_part(ws, rows)
    cancel_cycle(ws)
    cycle = open_cycle(ws)
    do(ws, cycle, *UP_TO_PUSH)
    assert cycle == 1
    assert set(asked(ws, 1, Lane.HOLDOUT)) == drawn(ws) - measuring
    assert len(asked(ws, 1, Lane.ACTIVE)) == FIRST
    assert not set(asked(ws, 1)) & (pool | measuring)


def test_then_the_holdout_is_frozen_with_the_answers_of_both(ws: Workspace, rows: list[Row]) -> None:
    pool, _ = answer_part(ws, rows)
    cancel_cycle(ws)
    walk(ws, rows)
    assert frozen(ws) == drawn(ws)
    assert trained(ws, 1) == pool | set(asked(ws, 1, Lane.ACTIVE))
    decision = ws.ledger.decisions.all()[-1]
    assert (decision.cycle, decision.action, decision.lift) == (1, Action.START, None)
    assert walk(ws, rows) == 2
    assert ws.ledger.decisions.all()[-1].lift is not None


@pytest.mark.parametrize("count", [0, 1, HOLDOUT])
def test_it_is_the_holdout_that_an_undisturbed_loop_freezes(tmp_path: Path, rows: list[Row], count: int) -> None:
    with opened(tmp_path / "undisturbed", rows) as calm:
        walk(calm, rows)
        expected = calm.ledger.holdout.frozen()
    with opened(tmp_path / "cancelled", rows) as ws:
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        answer_some(ws, 0, rows, set(asked(ws, 0, Lane.HOLDOUT)[:count]))
        cancel_cycle(ws)
        walk(ws, rows)
        assert len(asked(ws, 1, Lane.HOLDOUT)) == HOLDOUT - count
        assert ws.ledger.holdout.frozen() == expected


def test_what_was_unclear_is_not_asked_again_and_measures_nothing(ws: Workspace, rows: list[Row]) -> None:
    blurred = asked(ws, 0, Lane.HOLDOUT)[0]
    answer(ws, 0, lambda sample: {"outcome": "unclear"} if sample.id == blurred else None)
    cancel_cycle(ws)
    walk(ws, rows)
    assert blurred not in asked(ws, 1)
    assert frozen(ws) == drawn(ws) - {blurred}


def test_an_answer_after_the_end_counts_once(ws: Workspace, rows: list[Row]) -> None:
    cancel_cycle(ws)
    late = asked(ws, 0, Lane.HOLDOUT)[0]
    answer_some(ws, 0, rows, {late})
    do(ws, open_cycle(ws), *UP_TO_PUSH)
    answer_some(ws, 1, rows, set(asked(ws, 1)) - {late})
    do(ws, 1, wait_for_labels)
    assert frozen(ws) == drawn(ws)


def test_cancelled_again_it_goes_on_from_there(ws: Workspace, rows: list[Row]) -> None:
    _, measuring = answer_part(ws, rows)
    cancel_cycle(ws)
    do(ws, open_cycle(ws), *UP_TO_PUSH)
    more = set(asked(ws, 1, Lane.HOLDOUT)[:5])
    answer_some(ws, 1, rows, more)
    cancel_cycle(ws)
    assert walk(ws, rows) == 2
    assert set(asked(ws, 2, Lane.HOLDOUT)) == drawn(ws) - measuring - more
    assert frozen(ws) == drawn(ws)


def test_nobody_is_counted_twice(ws: Workspace, rows: list[Row]) -> None:
    answer_part(ws, rows)
    cancel_cycle(ws)
    walk(ws, rows)
    given = [label.sample_id for label, _ in ws.ledger.labels.given()]
    assert len(given) == len(set(given)) == HOLDOUT + FIRST + 3
    assert summarise(ws).cycles[0].tally == {Outcome.LABELLED: 3, Outcome.EXPIRED: FIRST - 3}


# Where it stood


def test_before_anything_was_drawn_the_next_cycle_draws_the_holdout(tmp_path: Path, rows: list[Row]) -> None:
    with opened(tmp_path / "p", rows) as ws:
        open_cycle(ws)
        assert cancel_cycle(ws).reason == "cancelled by a person at score_pool, before a batch was chosen"
        assert walk(ws, rows) == 1
        assert len(frozen(ws)) == HOLDOUT


@pytest.mark.parametrize("steps", [(score_pool,), (score_pool, diversity_select)])
def test_before_the_push_nothing_is_lost(tmp_path: Path, rows: list[Row], steps: tuple) -> None:
    with opened(tmp_path / "p", rows) as ws:
        do(ws, open_cycle(ws), *steps)
        cancel_cycle(ws)
        assert walk(ws, rows) == 1
        assert set(asked(ws, 1, Lane.HOLDOUT)) == frozen(ws) == drawn(ws)


def test_both_batches_can_be_chosen_again(ws: Workspace, rows: list[Row]) -> None:
    answer_part(ws, rows)
    cancel_cycle(ws)
    walk(ws, rows)
    assert replay_batch(ws, 0) == replay_batch(ws, 1) == ()


# Killed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    folder = tmp_path_factory.mktemp("undisturbed")
    rows = write_digits(folder / "images", 100)
    with opened(folder / "p", rows) as ws:
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        answer_part(ws, rows)
        cancel_cycle(ws)
        walk(ws, rows)
        return ended(ws)


def ended(ws: Workspace) -> tuple:
    """Everything of both cycles, but for times."""
    given = sorted((label.sample_id, label.outcome, joined) for label, joined in ws.ledger.labels.given())
    outcomes = [ws.ledger.batches.outcomes(cycle) for cycle in (0, 1)]
    splits = {sample.id: Split.HOLDOUT for sample in ws.ledger.holdout.all()}
    kept = ws.ledger.holdout.frozen()
    assert kept is not None
    return ws.ledger.decisions.all(), outcomes, given, splits, kept[0], trained(ws, 1), unlabelled(ws)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_and_done_again_it_ends_the_same(
    ws: Workspace, rows: list[Row], undisturbed: tuple, moment: str
) -> None:
    answer_part(ws, rows)
    command = [sys.executable, "-c", DYING, moment, str(ws.config.file)]
    assert subprocess.run(command, check=False, cwd=CHECKOUT).returncode == -signal.SIGKILL
    cancel_cycle(ws)
    walk(ws, rows)
    assert ended(ws) == undisturbed
