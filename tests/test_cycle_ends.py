"""How cycles and loops end: promotion, hold, budgets, and the promise of 48 hours."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alloop.cycle import open_cycle
from alloop.errors import CycleClosed, LoopError
from alloop.nouns import Action
from alloop.report import write_report
from alloop.summary import summarise
from alloop.workspace import Workspace
from tests.loop_project import Row, answer, batch_of, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import STEPS, run_cycles, run_until_pushed


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    digits = write_digits(tmp_path_factory.mktemp("digits") / "images")
    return for_holdout(digits[:30]) + digits[30:]


# Promotion


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Iterator[Workspace]:
    """A model that is much worse from its second training on."""
    folder = tmp_path_factory.mktemp("forgetful") / "p"
    with project(folder, rows, model="tests.loop_project:forgetful") as ws:
        run_cycles(ws, 2)
        yield ws


def test_a_challenger_that_is_worse_is_kept_and_not_promoted(forgetful: Workspace) -> None:
    champion, challenger = forgetful.ledger.models.champion(), forgetful.ledger.models.of(1)[0]
    assert champion is not None
    assert (champion.name, challenger.name) == ("v0", "v1")
    assert forgetful.registry.path(challenger.sha256).is_file()
    first, second = (forgetful.ledger.models.evaluation(name) for name in ("v0", "v1"))
    assert first is not None
    assert second is not None
    assert second.points < first.points - 50
    row = summarise(forgetful).cycles[1]
    assert (row.promoted, summarise(forgetful).cycles[0].promoted) == (False, True)


def test_the_reason_for_it_stands_in_the_ledger(forgetful: Workspace) -> None:
    facts = forgetful.ledger.steps.facts(1, "holdout_eval")
    assert facts["promoted"] is None
    assert facts["reason"].startswith("v1 with ")
    assert "points against v0 with " in facts["reason"]


def test_the_next_batch_is_scored_and_prelabelled_by_the_champion(forgetful: Workspace) -> None:
    items = batch_of(forgetful, run_until_pushed(forgetful)).items
    assert {item.prelabel.model_version for item in items if item.prelabel} == {"v0"}


def test_lift_is_from_challenger_to_challenger(forgetful: Workspace) -> None:
    decision = forgetful.ledger.decisions.all()[1]
    first, second = (forgetful.ledger.models.evaluation(name) for name in ("v0", "v1"))
    assert decision.lift is not None
    assert first is not None
    assert second is not None
    assert decision.lift.points == pytest.approx(second.points - first.points, abs=1e-3)
    assert decision.firm


# Hold and continue


@pytest.fixture
def holding(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """A project for which no lift is ever enough, and which is on hold after three cycles."""
    env = {"SWITCHING__RULE": "strict", "SWITCHING__THRESHOLD_POINTS": "1000", "SWITCHING__ON_EXHAUSTED": "hold"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (env | {"LOOP__BATCH": "8"}).items():
            patch.setenv(f"ALLOOP_{name}", value)
        with project(tmp_path / "p", rows) as ws:
            run_cycles(ws, 3)
            yield ws


def test_when_every_strategy_has_failed_in_a_row_the_loop_holds(holding: Workspace) -> None:
    decisions = holding.ledger.decisions.all()
    assert [decision.action for decision in decisions] == [Action.START, Action.SWITCH, Action.HOLD]
    assert "returns are diminishing" in decisions[-1].reason


def test_on_hold_no_cycle_opens_until_somebody_says_so(holding: Workspace) -> None:
    with pytest.raises(CycleClosed, match=r"the loop is on hold: .* go on with 'alloop run --continue'"):
        open_cycle(holding)
    assert len(holding.ledger.cycles.all()) == 3
    assert holding.ledger.cycles.go_on()
    assert open_cycle(holding) == 3


def test_who_goes_on_goes_on_once(holding: Workspace) -> None:
    holding.ledger.cycles.go_on()
    run_cycles(holding, 1)
    assert holding.ledger.decisions.all()[3].action is Action.SWITCH
    run_cycles(holding, 1)
    with pytest.raises(CycleClosed, match="on hold"):
        open_cycle(holding)


def test_status_says_that_it_holds(holding: Workspace) -> None:
    assert summarise(holding).standing == "the loop is on hold"


# Budgets


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("labels = 20", "the label budget is spent: 20 of 20 labels"),
        ("annotator_hours = 0.2", "the budget of annotator hours is spent: "),
    ],
)
def test_a_spent_budget_ends_the_loop(tmp_path: Path, rows: list[Row], budget: str, told: str) -> None:
    more = f"[annotation.simulated]\nerror_rate = 0\n[budget]\n{budget}"
    with project(tmp_path / "p", rows, more=more) as ws:
        run_cycles(ws, 2)
        decision = ws.ledger.decisions.all()[-1]
        assert decision.action is Action.STOP
        assert told in decision.reason
        with pytest.raises(CycleClosed, match=r"the loop has ended: .* raise the budget"):
            open_cycle(ws)
        assert summarise(ws).standing == "the loop has ended"


def test_a_loop_that_has_ended_can_go_on_too(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows, more="[budget]\nlabels = 8") as ws:
        run_cycles(ws, 1)
        ws.ledger.cycles.go_on()
        assert open_cycle(ws) == 1


# The promise


@pytest.mark.parametrize(("late_s", "hours"), [(0, []), (1, [48.0])])
def test_a_cycle_over_48_hours_is_flagged_wherever_one_looks(
    tmp_path: Path, rows: list[Row], late_s: int, hours: list[float]
) -> None:
    with project(tmp_path / "p", rows) as ws:
        cycle = run_until_pushed(ws)
        ws.clock.sleep(48 * 3600 + late_s)  # the virtual clock moves only here
        for step in STEPS[3:]:
            step(ws, cycle)
        assert [round(flag.hours, 2) for flag in ws.ledger.decisions.flags()] == hours
        status = json.loads(json.dumps(summarise(ws).to_json()))
        assert [(flag["cycle"], flag["stage"]) for flag in status["flags"]] == [(0, "cycle")] * len(hours)
        assert status["cycles"][0]["overdue"] is bool(hours)
        page = write_report(ws, tmp_path / "report.html").read_text()
        assert ("breached" in page) is ("overdue" in page) is bool(hours)


def test_a_stage_has_a_promise_of_its_own(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows, more="[sla]\nstage_hours = { wait_for_labels = 1.5 }") as ws:
        run_cycles(ws, 1)
        assert [flag.stage for flag in ws.ledger.decisions.flags()] == ["wait_for_labels"]


def test_a_flag_is_raised_once_however_often_the_step_is_done(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows, more="[sla]\ncycle_hours = 0.5") as ws:
        run_cycles(ws, 1)
        STEPS[-1](ws, 0)
        assert len(ws.ledger.decisions.flags()) == 1


# What cannot go on


def test_when_nobody_can_tell_anything_there_is_nothing_to_train_on(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows[:30] + without_labels(rows[30:]), tool="folder") as ws:
        cycle = run_until_pushed(ws)
        answer(ws, cycle, lambda _: {"outcome": "unclear"})
        STEPS[3](ws, cycle)
        with pytest.raises(LoopError, match="cycle 0 has no usable label to train on"):
            STEPS[4](ws, cycle)


def test_results_that_were_changed_are_never_compared(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        run_cycles(ws, 1)
        evaluation = ws.ledger.models.evaluation("v0")
        assert evaluation is not None
        (ws.config.state / evaluation.results_path).write_bytes(b"better")
        with pytest.raises(LoopError, match="are missing or were changed; restore them"):
            run_cycles(ws, 1)


def test_the_truth_of_the_folder_counts_not_that_of_the_prelabel(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows[:30] + without_labels(rows[30:]), tool="folder") as ws:
        cycle = run_until_pushed(ws)
        answer(ws, cycle, truly(rows))
        STEPS[3](ws, cycle)
        known = {row[0]: row[1] for row in rows}
        trained = ws.ledger.labels.training_set(cycle).labels
        assert all(label.content.class_name == known[label.sample.uri] for label in trained)
