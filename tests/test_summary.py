import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from alloop.nouns import STEPS, Action, Outcome
from alloop.summary import Summary, summarise
from alloop.tables import cycle_table
from alloop.workspace import Workspace
from tests.small_project import run_cycles, run_until_pushed, small_project, write_images


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("summary")
    with small_project(root / "loop", write_images(root / "data"), more="[sla]\ncycle_hours = 2.5") as ws:
        run_cycles(ws, 3)
        run_until_pushed(ws)
        yield ws


@pytest.fixture(scope="module")
def summary(ws: Workspace) -> Summary:
    return summarise(ws)


def test_counts_the_pool_the_holdout_and_what_was_set_aside(summary: Summary) -> None:
    asked = 8 + 3 * 12
    assert (summary.counts.samples, summary.counts.pool, summary.counts.holdout) == (124, 84, 40)
    assert summary.counts.unlabelled == 84 - asked
    assert summary.counts.holdout_is_frozen
    assert summary.set_aside_by_cause == {"bad image": 1, "duplicate": 1}


def test_a_closed_cycle_has_everything(summary: Summary) -> None:
    row = summary.cycles[1]
    assert row.batch == 12
    assert sum(row.tally.values()) == 12
    assert row.labels == sum(row.tally[Outcome.LABELLED] for row in summary.cycles[:2])
    assert row.evaluation is not None
    assert row.evaluation.low <= row.evaluation.points <= row.evaluation.high
    assert row.lift is not None
    assert [stage.step for stage in row.stages] == list(STEPS)
    assert all(stage.is_finished and stage.work_s is not None for stage in row.stages)


def test_the_first_cycle_has_no_lift(summary: Summary) -> None:
    assert summary.cycles[0].lift is None


def test_every_answer_is_a_label_or_unclear(summary: Summary) -> None:
    assert summary.labels + summary.unclear == 8 + 2 * 12


def test_the_champion_was_promoted_in_its_cycle(summary: Summary) -> None:
    assert summary.champion is not None
    assert summary.cycles[summary.champion.cycle].promoted


def test_the_open_cycle_says_where_it_is(summary: Summary) -> None:
    at = summary.open_cycle
    assert at is not None
    assert (at.number, at.step, at.answered, at.asked) == (3, "wait_for_labels", 0, 12)
    assert summary.standing.endswith("is at wait_for_labels, 0 of 12 samples are answered")
    assert summary.cycles[3].decision is None
    assert summary.cycles[3].unclear_rate is None


def test_a_cycle_over_its_hours_is_overdue_and_flagged(summary: Summary) -> None:
    overdue = [row.number for row in summary.cycles if row.is_overdue]
    assert overdue == [flag.cycle for flag in summary.flags] == [0, 1, 2]


def test_exactly_the_promised_hours_are_kept(summary: Summary) -> None:
    row = summary.cycles[0]
    assert not replace(row, hours=row.limit_hours).is_overdue


@pytest.mark.parametrize(
    ("action", "says"), [(Action.HOLD, "the loop is on hold"), (Action.STOP, "the loop has ended")]
)
def test_a_loop_that_does_not_go_on_says_so(summary: Summary, action: Action, says: str) -> None:
    last = summary.cycles[2]
    assert last.decision is not None
    ended = replace(last, decision=replace(last.decision, action=action))
    assert replace(summary, open_cycle=None, cycles=(*summary.cycles[:2], ended)).standing == says


def test_a_new_project_has_no_cycle_yet(tmp_path: Path) -> None:
    with small_project(tmp_path / "new", write_images(tmp_path / "data")) as ws:
        summary = summarise(ws)
    assert summary.cycles == ()
    assert summary.champion is None
    assert summary.standing == "no cycle has been opened yet"
    assert summary.to_json()["champion"] is None


def test_json_is_plain_and_complete(summary: Summary) -> None:
    told = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert told == summary.to_json()
    assert told["now"].endswith("+00:00")
    assert told["labels"] == summary.labels
    assert told["open_cycle"] == {
        "number": 3,
        "strategy": summary.cycles[3].cycle.strategy,
        "step": "wait_for_labels",
        "answered": 0,
        "asked": 12,
        "held": None,
    }
    assert [row["number"] for row in told["cycles"]] == [0, 1, 2, 3]
    assert told["cycles"][1]["outcomes"]["expired"] == 0
    assert told["cycles"][3]["closed_at"] is None
    assert told["flags"][0]["kind"] == "breached"


def test_json_keys_stand_in_the_docstring(summary: Summary) -> None:
    told = summary.to_json()
    documented = str(Summary.to_json.__doc__)
    keys = {*told, *told["counts"], *told["champion"], *told["open_cycle"], *told["cycles"][0], *told["flags"][0]}
    assert [key for key in keys if key not in documented] == []


def _printed(summary: Summary, *, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(cycle_table(summary))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_table_fits_a_hundred_columns_with_the_widest_numbers(summary: Summary) -> None:
    row = summary.cycles[1]
    assert row.evaluation is not None
    assert row.decision is not None
    assert row.lift is not None
    wide = replace(
        row,
        cycle=replace(row.cycle, strategy="uncertainty-kmeans", number=10),
        evaluation=replace(row.evaluation, points=100.0, low=100.0, high=100.0),
        decision=replace(row.decision, lift=replace(row.lift, points=-12.5, low=-22.5, high=10.25)),
        hours=123.4,
    )
    lines = _printed(replace(summary, cycles=(wide,)), width=100)
    assert "100.0 [100.0, 100.0] -12.5 [-22.5, +10.2] uncertainty-kmeans" in lines[2]


def test_the_table_marks_a_cycle_that_is_overdue(summary: Summary) -> None:
    assert _printed(summary, width=100)[2].rstrip().endswith("3.0!")
