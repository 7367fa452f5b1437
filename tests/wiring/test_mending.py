"""Runs that nobody will wake are ended, and sla-watch mends what the relay would: on a real Prefect server, with no relay."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.flow_engine import run_flow

import alloop.cycle as loop
from alloop.hands_on import cancel_cycle, pause_cycle
from alloop.nouns import STEPS
from alloop.workspace import Workspace, open_workspace
from flows.sla_watch import sla_watch
from tasks.mending import look
from tasks.remedies import Remedy
from tests.wiring.deployed import Deployed, deployed, is_asleep
from tests.wiring.test_relay import asleep, die_in, newest_run, project

__all__ = ["project"]  # a fixture that every test here uses

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]


@pytest.fixture
def here(make_project: Callable[..., Path], digit_files: Path, project: str) -> Iterator[Deployed]:
    """A cycle for whose labels somebody has to be waited for."""
    with deployed(make_project(tool="folder", manifest=without_labels(digit_files))) as here:
        yield here


@pytest.fixture
def ws(here: Deployed) -> Iterator[Workspace]:
    with open_workspace(here.config) as ws:
        yield ws


def without_labels(manifest: Path) -> Path:
    rows = [line.split(",") for line in manifest.read_text().split()[1:]]
    bare = manifest.with_name("nobody-answered.csv")
    lines = [f"{uri},{label if split == 'holdout' else ''},{split}" for uri, label, _, split in rows]
    bare.write_text("\n".join(["uri,label,split", *lines]))
    return bare


def state(here: Deployed, run: str) -> State:
    found = here.client.read_flow_run(UUID(run)).state
    assert found is not None
    return found


# Runs that sleep for nothing


def test_the_run_of_a_cancelled_cycle_is_ended_and_says_why(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    decision = cancel_cycle(ws)
    assert is_asleep(state(here, run))
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    ended = state(here, run)
    assert ended.type is StateType.CANCELLED
    assert ended.message == f"cycle 0 {decision.reason}"
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    assert state(here, run).id == ended.id


def test_a_run_that_is_awake_when_its_cycle_is_cancelled_ends_as_cancelled(
    ws: Workspace, here: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = loop.diversity_select

    def select_then_cancel(work: Workspace, cycle: int) -> int:
        select(work, cycle)
        cancel_cycle(ws)
        return cycle

    monkeypatch.setattr(loop, "diversity_select", select_then_cancel)
    ended = here.walk(here.start())
    assert ended.type is StateType.CANCELLED
    assert "cycle 0 was cancelled" in str(ended.message)


def test_the_next_cycle_has_a_run_of_its_own_then(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    cancel_cycle(ws)
    other = asleep(here)
    look(ws, here.runs, watch_s=1)
    assert state(here, run).type is StateType.CANCELLED
    assert is_asleep(state(here, other))


def test_killed_amid_cancelling_the_run_sleeps_on_until_that_is_finished(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    ws.ledger.interventions.cancel(0)
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    assert is_asleep(state(here, run))
    cancel_cycle(ws)
    look(ws, here.runs, watch_s=1)
    assert state(here, run).type is StateType.CANCELLED


def test_the_run_of_a_paused_cycle_sleeps_on(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    pause_cycle(ws)
    look(ws, here.runs, watch_s=1)
    assert is_asleep(state(here, run))


def test_a_run_whose_cycle_another_one_took_over_is_ended(ws: Workspace, here: Deployed) -> None:
    run, other = asleep(here), asleep(here)
    look(ws, here.runs, watch_s=1)
    assert state(here, run).message == "attempt 2 of cycle 0 goes on in its place"
    assert is_asleep(state(here, other))


# sla-watch without a relay


def watched(here: Deployed) -> FlowRun:
    """A run of the deployment sla-watch/PROJECT, walked to its end."""
    flow = here.client.create_flow(sla_watch)
    deployment = here.client.create_deployment(flow, here.runs.project, entrypoint="flows.sla_watch.sla_watch")
    run = here.client.create_flow_run_from_deployment(deployment, parameters={"config": str(here.config)})
    assert run_flow(sla_watch, flow_run=run, parameters=run.parameters, return_type="state").is_completed()
    return here.client.read_flow_run(run.id)


def test_a_run_that_was_killed_is_followed_by_another(ws: Workspace, here: Deployed, prefect_api: str) -> None:
    run = str(here.start().id)
    die_in("push_to_annotation", run, prefect_api)
    watched(here)
    assert state(here, run).is_crashed()
    assert newest_run(ws) != run
    assert is_asleep(here.walk(newest_run(ws)))
    assert [stage.step for stage in ws.ledger.steps.of(0) if stage.finished_at] == list(STEPS[:3])


def test_relay_and_watch_start_one_run(ws: Workspace, here: Deployed) -> None:
    here.client.delete_flow_run(UUID(asleep(here)))
    assert look(ws, here.runs, watch_s=1) is Remedy.REVIVE
    second = newest_run(ws)
    watched(here)
    assert newest_run(ws) == second
    assert is_asleep(here.walk(second))


def test_it_tells_what_it_did(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    here.client.delete_flow_run(UUID(run))
    assert sla_watch(str(here.config)) == ["the run was dead, and is followed by another"]
    assert sla_watch(str(here.config)) == []


def test_the_last_answer_wakes_the_run_also_without_a_relay(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    folder = ws.config.root / "annotation" / "batch-0000"
    asked = [item.sample.id for item in ws.ledger.batches.get(0).items]
    (folder / "labels.jsonl").write_text("".join(f'{{"sample": "{key}", "label": "0"}}\n' for key in asked))
    assert sla_watch(str(here.config)) == ["the run was woken, since nobody is waited for any more"]
    assert here.walk(run).is_completed()
    assert len(ws.ledger.decisions.all()) == 1


def test_a_project_that_was_never_deployed_is_left_alone(make_project: Callable[..., Path], tmp_path: Path) -> None:
    config = make_project()
    with open_workspace(config) as ws:
        cycle = loop.open_cycle(ws)
    assert sla_watch(str(config)) == []
    with open_workspace(config) as ws:
        assert ws.ledger.attempts.newest(cycle) is None
