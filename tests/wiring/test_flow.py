"""The loop as Prefect sees it: one flow run per cycle, seven tasks with arrows between them, retries where they help."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterName
from prefect.exceptions import PrefectException

import alloop.cycle as loop
from alloop.errors import AlloopError, BadLabel, LabelsPending, ToolUnavailable
from alloop.nouns import STEPS, Lane
from alloop.workspace import open_workspace
from flows.cycle import run_cycle
from tasks.diversity_select import diversity_select
from tasks.holdout_eval import holdout_eval
from tasks.push_to_annotation import push_to_annotation
from tasks.retrain import retrain
from tasks.score_pool import score_pool
from tasks.step import is_worth_retrying
from tasks.strategy_switch import strategy_switch
from tasks.wait_for_labels import look_for_labels, wait_for_labels

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]

TASKS = {
    "score_pool": score_pool,
    "diversity_select": diversity_select,
    "push_to_annotation": push_to_annotation,
    "wait_for_labels": wait_for_labels,
    "retrain": retrain,
    "holdout_eval": holdout_eval,
    "strategy_switch": strategy_switch,
}
LOOP_STEPS = {**{name: name for name in STEPS}, "wait_for_labels": "wait_until_labelled"}


def open_first(config: Path) -> int:
    with open_workspace(config) as ws:
        return loop.open_cycle(ws)


def walk_before(config: Path, name: str) -> int:
    """Do the steps before one of them, without Prefect."""
    cycle = open_first(config)
    with open_workspace(config) as ws:
        for step in STEPS[: STEPS.index(name)]:
            getattr(loop, LOOP_STEPS[step])(ws, cycle)
    return cycle


class Failing:
    """A step of the loop that fails before its work as often as it is told to."""

    def __init__(self, step: Callable[..., Any], error: AlloopError, *, times: int) -> None:
        self.step, self.error, self.times, self.calls = step, error, times, 0

    def __call__(self, ws: Any, cycle: int) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return int(self.step(ws, cycle))


def test_a_cycle_is_one_flow_run_of_seven_tasks_in_a_chain(make_project: Callable[..., Path]) -> None:
    config = make_project(loop="start = 21")
    assert run_cycle(str(config), "digits", open_first(config)) == "digits/0"
    with get_client(sync_client=True) as client:
        named = FlowRunFilter(name=FlowRunFilterName(any_=["cycle-0"]))
        runs = client.read_flow_runs(flow_run_filter=named, limit=50)
        newest = max(runs, key=lambda run: run.start_time)
        tasks = {run.name.rsplit("-", 1)[0]: run for run in client.read_task_runs(flow_run_filter=_only(newest))}
    chain = [name.replace("_", "-") for name in STEPS]
    assert set(tasks) == {*chain, "publish"}
    assert all(run.state.is_completed() for run in tasks.values())
    for before, after in zip(chain, [*chain[1:], "publish"], strict=True):
        inputs = [entry.id for entries in tasks[after].task_inputs.values() for entry in entries]
        assert tasks[before].id in inputs, f"no arrow from {before} to {after}"


def _only(run: Any) -> FlowRunFilter:
    return FlowRunFilter.model_validate({"id": {"any_": [run.id]}})


def test_a_cycle_leaves_a_page_with_the_curve_and_the_decision(make_project: Callable[..., Path]) -> None:
    config = make_project()
    run_cycle(str(config), "digits", open_first(config))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["alloop-digits"])))
    page = str(max(found, key=lambda one: one.created).data)
    assert "data:image/png;base64," in page
    assert "margin" in page


def test_without_waiting_the_flow_ends_early_and_goes_on_when_called_again(make_project: Callable[..., Path]) -> None:
    config = make_project()
    cycle = open_first(config)
    assert run_cycle(str(config), "digits", cycle, wait=False) is None
    with open_workspace(config) as ws:
        ws.clock.sleep(48 * 3600)
    assert run_cycle(str(config), "digits", cycle, wait=False) == "digits/0"


@pytest.mark.parametrize("name", STEPS)
def test_a_step_survives_two_transient_failures(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = make_project()
    cycle = walk_before(config, name)
    failing = Failing(getattr(loop, LOOP_STEPS[name]), ToolUnavailable("the tool is away; it is tried again"), times=2)
    monkeypatch.setattr(loop, LOOP_STEPS[name], failing)
    assert _quick(name)(str(config), f"digits/{cycle}") == f"digits/{cycle}"
    assert failing.calls == 3
    with open_workspace(config) as ws:
        assert {stage.step: stage.finished_at is not None for stage in ws.ledger.steps.of(cycle)}[name]


def _quick(name: str) -> Any:
    """The task of a step as a flow uses it, but without a pause before the next try."""
    return TASKS[name].with_options(retry_delay_seconds=0, retry_jitter_factor=None)


def test_rejected_input_is_tried_once(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_project()
    cycle = walk_before(config, "retrain")
    failing = Failing(loop.retrain, BadLabel("a label is wrong; mend it"), times=99)
    monkeypatch.setattr(loop, "retrain", failing)
    with pytest.raises(BadLabel):
        _quick("retrain")(str(config), f"digits/{cycle}")
    assert failing.calls == 1


@pytest.mark.parametrize(
    ("error", "worth_it"),
    [
        (ToolUnavailable("away"), True),
        (LabelsPending("wait"), False),
        (BadLabel("wrong"), False),
        (PrefectException("x"), False),
    ],
)
def test_only_transient_errors_are_retried(error: Exception, worth_it: bool) -> None:
    class Ended:
        def result(self, raise_on_failure: bool) -> Exception:
            assert not raise_on_failure
            return error

    assert is_worth_retrying(score_pool, None, Ended()) is worth_it  # type: ignore[arg-type]


def test_looking_once_says_nothing_while_answers_are_missing(make_project: Callable[..., Path]) -> None:
    config = make_project()
    cycle = walk_before(config, "wait_for_labels")
    assert look_for_labels(str(config), f"digits/{cycle}") is None


def test_five_thousand_shortlisted_samples_become_a_batch_of_five_hundred(
    make_project: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = write_noise(tmp_path / "noise", pool=5_300, labelled=60, holdout=40)
    config = make_project(tool="folder", loop="start = 20\ncontrol_share = 0.0", manifest=manifest)
    text = config.read_text().replace("batch = 20", "batch = 500").replace('"margin", "uncertainty', '"uncertainty')
    config.write_text(text)
    run_cycle(str(config), "digits", open_first(config))
    second = open_first(config)
    assert run_cycle(str(config), "digits", second, wait=False) is None
    with open_workspace(config) as ws:
        assert ws.ledger.cycles.get(second).strategy == "uncertainty-kmeans"
        items = ws.ledger.batches.get(second).items
        assert ws.ledger.steps.facts(second, "diversity_select")["shortlist"] == 5_000
    assert len({item.sample.id for item in items}) == 500
    assert {item.lane for item in items} == {Lane.ACTIVE}
    assert len({item.cluster for item in items}) == 500


def write_noise(folder: Path, *, pool: int, labelled: int, holdout: int) -> Path:
    """Small images of noise; the first of them with labels, some of those for the holdout."""
    folder.mkdir()
    dice = np.random.default_rng(0)
    rows = ["uri,label,split"]
    for number in range(pool + labelled + holdout):
        Image.fromarray(dice.integers(0, 255, (12, 12), dtype=np.uint8)).save(folder / f"{number}.png")
        label = number % 10 if number < labelled + holdout else ""
        rows.append(f"{number}.png,{label},{'holdout' if number < holdout else 'pool'}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"
