"""Hands on the loop: a pause holds it still, a cancelled cycle loses no label, an older model takes over again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from alloop.commands.cycle import cycle_cancel, cycle_pause, cycle_replay, cycle_resume
from alloop.commands.model import model_rollback
from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    strategy_switch,
    wait_for_labels,
    wait_until_labelled,
)
from alloop.errors import ConfigError, CycleClosed, LabelsPending, LeaseHeld, LoopError, ModelCorrupt
from alloop.hands_on import cancel_cycle, pause_cycle, resume_cycle, roll_back
from alloop.nouns import Action, Decision, Lift, Outcome, Sample
from alloop.report import write_report
from alloop.report_cycle import cycle_markdown
from alloop.summary import summarise
from alloop.switching import Evidence, Rules, decide
from alloop.tables import stage_lines
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, answer, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import NearestCentroid

CHECKOUT = Path(__file__).parents[1]
UP_TO_PUSH = (score_pool, diversity_select, push_to_annotation)
AFTER_PUSH = (wait_for_labels, retrain, holdout_eval, strategy_switch)


def do(ws: Workspace, cycle: int, *steps) -> None:
    for step in steps:
        step(ws, cycle)


def turn(ws: Workspace, rows: Sequence[Row]) -> int:
    """A whole cycle, answered by people who know every digit."""
    cycle = open_cycle(ws)
    do(ws, cycle, *UP_TO_PUSH)
    answer(ws, cycle, truly(rows))
    do(ws, cycle, *AFTER_PUSH)
    return cycle


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return write_digits(tmp_path / "images", 100)


@contextmanager
def opened(folder: Path, rows: Sequence[Row]) -> Iterator[Workspace]:
    manifest = [*without_labels(rows[:80]), *for_holdout(rows[80:])]
    with project(folder, manifest, tool="folder") as ws:
        yield ws


@pytest.fixture
def ws(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """Cycle 0 is over, and cycle 1 is pushed."""
    with opened(tmp_path / "p", rows) as ws:
        turn(ws, rows)
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        yield ws


def first_two(ws: Workspace) -> set[str]:
    return {item.sample.id for item in ws.ledger.batches.get(1).items[:2]}


def answer_two(ws: Workspace, rows: Sequence[Row]) -> set[str]:
    two = first_two(ws)
    answer(ws, 1, lambda sample: truly(rows)(sample) if sample.id in two else None)
    return two


def open_tasks(ws: Workspace, cycle: int = 1) -> list[dict]:
    file = ws.config.root / "annotation" / f"batch-{cycle:04d}" / "tasks.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def trained(ws: Workspace, cycle: int) -> set[str]:
    return {label.sample.id for label in ws.ledger.labels.training_set(cycle).labels}


def unlabelled(ws: Workspace) -> set[str]:
    return {sample.id for shard in ws.ledger.samples.unlabelled(shard=50) for sample in shard}


# Pausing


def test_while_paused_the_loop_says_so_and_does_nothing(ws: Workspace) -> None:
    told = pause_cycle(ws)
    assert told.startswith("cycle 1 is paused since ")
    assert told.endswith("its clock of 48 h runs on; go on with 'alloop cycle resume'")
    with pytest.raises(CycleClosed, match=r"cycle 1 is paused since .*; go on with 'alloop cycle resume'"):
        open_cycle(ws)


def test_who_waits_for_labels_stops_waiting_when_paused(ws: Workspace) -> None:
    pause_cycle(ws)
    with pytest.raises(CycleClosed, match="paused"):
        wait_until_labelled(ws, 1)


def test_resumed_it_goes_on_where_it_was(ws: Workspace, rows: list[Row]) -> None:
    pause_cycle(ws)
    assert resume_cycle(ws) == "cycle 1 is paused no longer; go on with 'alloop run'"
    answer(ws, 1, truly(rows))
    assert open_cycle(ws) == 1
    do(ws, 1, *AFTER_PUSH)
    assert ws.ledger.decisions.all()[-1].cycle == 1


def test_what_is_not_paused_is_not_resumed(ws: Workspace) -> None:
    assert resume_cycle(ws) == "cycle 1 is not paused"


def test_without_an_open_cycle_there_is_nothing_to_pause(tmp_path: Path, rows: list[Row]) -> None:
    with opened(tmp_path / "p", rows) as ws:
        with pytest.raises(CycleClosed, match="no cycle has been opened yet"):
            pause_cycle(ws)
        turn(ws, rows)
        with pytest.raises(CycleClosed, match="no cycle is open, cycle 0 has ended"):
            pause_cycle(ws)


def test_status_says_that_it_is_paused(ws: Workspace) -> None:
    pause_cycle(ws)
    summary = summarise(ws)
    assert summary.standing.startswith("cycle 1 is paused since")
    assert json.loads(json.dumps(summary.to_json()))["open_cycle"]["held"] == summary.standing


# Giving up


def test_unanswered_tasks_leave_the_queue_and_return_to_the_pool(ws: Workspace, rows: list[Row]) -> None:
    two, asked = answer_two(ws, rows), {item.sample.id for item in ws.ledger.batches.get(1).items}
    with pytest.raises(LabelsPending):
        wait_for_labels(ws, 1)
    decision = cancel_cycle(ws)
    assert {task["sample"] for task in open_tasks(ws)} == two
    assert asked & unlabelled(ws) == asked - two
    assert decision == ws.ledger.decisions.all()[-1]
    assert (decision.action, decision.judged, decision.strategy) == (Action.CANCEL, "margin", "margin")
    assert decision.reason == (
        "cancelled by a person at wait_for_labels: 2 of 12 samples had answers, which are kept; the others are in the "
        "pool again"
    )


def test_an_answer_that_nobody_had_read_yet_is_kept(ws: Workspace, rows: list[Row]) -> None:
    two = answer_two(ws, rows)
    cancel_cycle(ws)
    outcomes = ws.ledger.batches.outcomes(1)
    assert {key for key, outcome in outcomes.items() if outcome is Outcome.LABELLED} == two


def test_the_next_cycle_trains_on_every_answer(ws: Workspace, rows: list[Row]) -> None:
    two, before = answer_two(ws, rows), trained(ws, 0)
    cancel_cycle(ws)
    assert turn(ws, rows) == 2
    batch = {item.sample.id for item in ws.ledger.batches.get(2).items}
    assert trained(ws, 2) == before | two | batch
    assert not batch & two


def test_an_answer_after_the_end_trains_too(ws: Workspace, rows: list[Row]) -> None:
    cancel_cycle(ws)
    two = answer_two(ws, rows)
    turn(ws, rows)
    assert two <= trained(ws, 2)


def test_a_paused_cycle_is_cancelled_and_the_next_one_is_not_paused(ws: Workspace, rows: list[Row]) -> None:
    pause_cycle(ws)
    cancel_cycle(ws)
    assert turn(ws, rows) == 2


def test_done_again_it_gives_the_same(ws: Workspace) -> None:
    assert cancel_cycle(ws) == cancel_cycle(ws)
    assert ws.ledger.cycles.all()[-1].number == 1


def test_what_ended_by_itself_is_not_cancelled(tmp_path: Path, rows: list[Row]) -> None:
    with opened(tmp_path / "p", rows) as ws:
        turn(ws, rows)
        with pytest.raises(CycleClosed, match="ended with 'start'; there is nothing to cancel"):
            cancel_cycle(ws)


def test_chosen_and_not_pushed_everything_is_in_the_pool_again(tmp_path: Path, rows: list[Row]) -> None:
    with opened(tmp_path / "p", rows) as ws:
        turn(ws, rows)
        before = unlabelled(ws)
        do(ws, open_cycle(ws), score_pool, diversity_select)
        cancel_cycle(ws)
        assert unlabelled(ws) == before
        assert not (ws.config.root / "annotation" / "batch-0001").exists()


def test_tasks_of_a_push_that_was_killed_are_withdrawn(tmp_path: Path, rows: list[Row]) -> None:
    with opened(tmp_path / "p", rows) as ws:
        turn(ws, rows)
        do(ws, open_cycle(ws), score_pool, diversity_select)
        lease = ws.ledger.steps.begin(1, "push_to_annotation", lease_s=60)
        assert lease is not None
        ws.tool.push(ws.ledger.batches.get(1))
        ws.ledger.steps.release(lease)
        cancel_cycle(ws)
        assert open_tasks(ws) == []


def test_while_somebody_works_on_a_step_it_is_refused(ws: Workspace) -> None:
    lease = ws.ledger.steps.begin(1, "wait_for_labels", lease_s=60)
    assert lease is not None
    with pytest.raises(LeaseHeld, match=f"wait_for_labels of cycle 1 is being done by process {os.getpid()} on "):
        cancel_cycle(ws)
    ws.ledger.steps.release(lease)
    assert cancel_cycle(ws).action is Action.CANCEL


def test_a_cycle_that_was_late_is_flagged_also_when_cancelled(tmp_path: Path, rows: list[Row]) -> None:
    manifest = [*rows[:80], *for_holdout(rows[80:])]
    with project(tmp_path / "p", manifest) as ws:
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        ws.clock.sleep(49 * 3600)
        cancel_cycle(ws)
        assert [(flag.cycle, flag.stage, flag.kind) for flag in ws.ledger.decisions.flags()] == [
            (0, "cycle", "breached")
        ]


# What comes after a cycle that was cancelled


def test_the_lift_is_measured_from_the_last_challenger_that_was_evaluated(ws: Workspace, rows: list[Row]) -> None:
    cancel_cycle(ws)
    turn(ws, rows)
    points = [ws.ledger.models.evaluation(name).points for name in ("v0", "v2")]
    lift = ws.ledger.decisions.all()[-1].lift
    assert lift.points == pytest.approx(points[1] - points[0])


def test_a_model_that_was_never_evaluated_is_passed_over(ws: Workspace, rows: list[Row]) -> None:
    answer(ws, 1, truly(rows))
    do(ws, 1, wait_for_labels, retrain)
    assert cancel_cycle(ws).reason.startswith(
        "cancelled by a person at holdout_eval: all 12 samples had answers, which are kept"
    )
    assert ws.ledger.models.champion().name == "v0"
    turn(ws, rows)
    assert ws.ledger.decisions.all()[-1].lift is not None


def test_the_noise_of_training_is_measured_in_the_next_cycle(ws: Workspace, rows: list[Row]) -> None:
    cancel_cycle(ws)
    turn(ws, rows)
    assert [version.name for version in ws.ledger.models.of(2)] == ["v2", "v2.r1"]
    assert turn(ws, rows) == 3
    assert [version.name for version in ws.ledger.models.of(3)] == ["v3"]


def test_a_cancelled_cycle_is_no_miss_and_breaks_no_row_of_misses() -> None:
    def soft_miss(cycle: int, *past: Decision) -> Decision:
        evidence = Evidence(cycle, "margin", Lift(0.5, -1.0, 2.0), 10, 10, 0.0, 100, 1.0)
        return decide(evidence, past, Rules(("margin", "random")))

    first = soft_miss(1)
    cancelled = Decision(2, Action.CANCEL, "margin", "margin", "cancelled by a person", 1.0)
    assert soft_miss(3, first, cancelled).action is Action.SWITCH
    assert soft_miss(3, cancelled).action is Action.KEEP


class Dear(NearestCentroid):
    """Gives gradients, and takes a hundredth of a second for each."""

    def gradients(self, samples: Sequence[Sample]) -> np.ndarray:
        time.sleep(0.01 * len(samples))
        return np.zeros(len(samples), dtype=np.float32)


def dear(project, section) -> Dear:
    return Dear(project.labels)


def test_stuck_with_a_strategy_that_costs_too_much_one_cancels_and_names_another(
    tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOOP_LOOP__LADDER", '["expected-gradient"]')
    monkeypatch.setenv("ALLOOP_ACQUISITION__GRADIENT_BUDGET_S", "0.1")
    manifest = [*without_labels(rows[:80]), *for_holdout(rows[80:])]
    with project(tmp_path / "p", manifest, tool="folder", model="tests.test_hands_on:dear") as ws:
        turn(ws, rows)
        score_pool(ws, open_cycle(ws))
        with pytest.raises(ConfigError, match="gradients of"):
            diversity_select(ws, 1)
        assert cancel_cycle(ws).reason == "cancelled by a person at diversity_select, before a batch was chosen"
    monkeypatch.setenv("ALLOOP_LOOP__LADDER", '["entropy"]')
    with open_workspace(tmp_path / "p") as ws:
        assert turn(ws, rows) == 2
        assert ws.ledger.cycles.get(2).strategy == "entropy"


def test_table_status_and_report_show_a_cancelled_cycle(ws: Workspace, rows: list[Row], tmp_path: Path) -> None:
    answer_two(ws, rows)
    cancel_cycle(ws)
    summary = summarise(ws)
    assert summary.standing == "no cycle is open; the next one uses 'margin'"
    assert summary.cycles[1].tally == {Outcome.LABELLED: 2, Outcome.EXPIRED: 10}
    assert json.loads(json.dumps(summary.to_json()))["cycles"][1]["action"] == "cancel"
    assert stage_lines(summary)
    assert "Cancelled by a person" in cycle_markdown(ws, 1)
    assert "cancelled by a person" in write_report(ws, tmp_path / "report.html").read_text().lower()
    turn(ws, rows)
    assert [row.decision.action.value for row in summarise(ws).cycles][:2] == ["start", "cancel"]
    write_report(ws, tmp_path / "report.html")


# The first cycle


def unclear(_: Sample) -> dict[str, str]:
    return {"outcome": "unclear"}


def test_a_first_cycle_in_which_everything_was_unclear_is_begun_anew(tmp_path: Path, rows: list[Row]) -> None:
    with opened(tmp_path / "p", rows) as ws:
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        answer(ws, 0, unclear)
        wait_for_labels(ws, 0)
        with pytest.raises(LoopError, match="no usable label"):
            retrain(ws, 0)
        cancel_cycle(ws)
        assert turn(ws, rows) == 1
        assert [ws.ledger.cycles.get(number).strategy for number in (0, 1)] == ["clustered-start", "clustered-start"]
        assert ws.ledger.cycles.get(1).nominal == 8
        decision = ws.ledger.decisions.all()[-1]
        assert (decision.action, decision.strategy, decision.lift) == (Action.START, "margin", None)
        assert turn(ws, rows) == 2
        assert ws.ledger.decisions.all()[-1].lift is not None


# Killed

DYING = """
import importlib, os, signal, sys
from pathlib import Path
module, owner, verb, when = sys.argv[1].split(":")
owner = getattr(importlib.import_module(module), owner)
keep = getattr(owner, verb)
def die(*args, **kwargs):
    if when == "after":
        keep(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, verb, die)
from alloop.commands.cycle import cycle_cancel
cycle_cancel(Path(sys.argv[2]))
"""
MOMENTS = [
    "alloop.ledger.interventions:Interventions:cancel:after",
    "alloop.annotation.folder:FolderTool:withdraw:before",
    "alloop.annotation.folder:FolderTool:withdraw:after",
    "alloop.ledger.labels:Labels:record:after",
    "alloop.ledger.interventions:Interventions:close:before",
    "alloop.ledger.interventions:Interventions:close:after",
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """How it ends when nobody is killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    rows = write_digits(folder / "images", 100)
    with opened(folder / "p", rows) as ws:
        turn(ws, rows)
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        answer_two(ws, rows)
        cancel_cycle(ws)
        return ended(ws)


def ended(ws: Workspace) -> tuple:
    """Everything of the cycle, but for times and the folder that images lie in."""
    queue = {task["sample"] for task in open_tasks(ws)}
    return ws.ledger.decisions.all(), ws.ledger.batches.outcomes(1), unlabelled(ws), queue, trained(ws, 0)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_and_done_again_it_ends_the_same(
    ws: Workspace, rows: list[Row], undisturbed: tuple, moment: str
) -> None:
    answer_two(ws, rows)
    command = [sys.executable, "-c", DYING, moment, str(ws.config.file)]
    assert subprocess.run(command, check=False, cwd=CHECKOUT).returncode == -signal.SIGKILL
    cancel_cycle(ws)
    assert ended(ws) == undisturbed


# Rolling back


@pytest.fixture
def two_models(ws: Workspace, rows: list[Row]) -> Workspace:
    """v0 and v1 are there, v1 is champion, and cycle 2 is pushed with its pre-labels."""
    answer(ws, 1, truly(rows))
    do(ws, 1, *AFTER_PUSH)
    ws.ledger.interventions.roll_back("v1", reason="made champion for the test")
    do(ws, open_cycle(ws), *UP_TO_PUSH)
    return ws


def shown(ws: Workspace) -> set[str]:
    return {task["prelabel"]["model_version"] for task in open_tasks(ws, 2) if task["prelabel"]}


def test_the_older_model_is_champion_and_its_answers_are_shown(two_models: Workspace) -> None:
    assert shown(two_models) == {"v1"}
    pushed = [item for item in two_models.ledger.batches.get(2).items if item.shown]
    assert roll_back(two_models, "v0").renewed == len(pushed)
    assert two_models.ledger.models.champion().name == "v0"
    assert shown(two_models) == {"v0"}


def test_what_tasks_show_is_noted_also_when_all_are_answered(two_models: Workspace, rows: list[Row]) -> None:
    answer(two_models, 2, truly(rows))
    two_models.ledger.labels.record("folder", two_models.tool.changed_since(""))
    assert roll_back(two_models, "v0").renewed == 0
    assert two_models.ledger.interventions.shown(2) == "v0"


def test_rolled_back_twice_is_once(two_models: Workspace) -> None:
    first = roll_back(two_models, "v0")
    tasks = open_tasks(two_models, 2)
    assert roll_back(two_models, "v0") == first
    assert open_tasks(two_models, 2) == tasks


def test_the_next_challenger_is_compared_with_it(two_models: Workspace, rows: list[Row]) -> None:
    roll_back(two_models, "v0")
    answer(two_models, 2, truly(rows))
    do(two_models, 2, *AFTER_PUSH)
    assert " points against v0 with " in two_models.ledger.steps.facts(2, "holdout_eval")["reason"]


def test_warm_training_starts_from_it(two_models: Workspace, rows: list[Row]) -> None:
    object.__setattr__(two_models.config, "model", two_models.config.model.model_copy(update={"mode": "warm"}))
    roll_back(two_models, "v0")
    answer(two_models, 2, truly(rows))
    do(two_models, 2, *AFTER_PUSH)
    assert two_models.ledger.models.get("v2").parent == "v0"


def test_an_unknown_model_is_told_with_those_that_are_known(two_models: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"there is no model 'v9'; known are v0, v1, v1\.r1"):
        roll_back(two_models, "v9")


def test_a_model_that_was_never_evaluated_cannot_be_champion(two_models: Workspace, rows: list[Row]) -> None:
    answer(two_models, 2, truly(rows))
    do(two_models, 2, wait_for_labels, retrain)
    with pytest.raises(LoopError, match="model v2 was never evaluated"):
        roll_back(two_models, "v2")


def test_a_file_that_was_changed_does_not_become_champion(two_models: Workspace) -> None:
    version = two_models.ledger.models.get("v0")
    two_models.registry.path(version.sha256).write_bytes(b"another model")
    with pytest.raises(ModelCorrupt):
        roll_back(two_models, "v0")
    assert two_models.ledger.models.champion().name == "v1"


# The command line


def test_the_commands_say_what_they_did(ws: Workspace, rows: list[Row], capsys: pytest.CaptureFixture[str]) -> None:
    cycle_pause(ws.config.file)
    cycle_resume(ws.config.file)
    answer_two(ws, rows)
    cycle_cancel(ws.config.file)
    model_rollback("v0", ws.config.file)
    cycle_replay(0, ws.config.file)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cycle 1 is paused since")
    assert lines[1] == "cycle 1 is paused no longer; go on with 'alloop run'"
    assert lines[2].startswith("cycle 1 is cancelled by a person at wait_for_labels: 2 of 12")
    assert lines[3:] == [
        "open the next one with 'alloop run'",
        "v0 is the champion; 0 open tasks show its pre-labels",
        "identical: 8 samples",
    ]
