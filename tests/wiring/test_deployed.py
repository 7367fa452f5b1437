"""The deployed cycle: asleep while people label, one run at a time, and never a model from half a batch."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from threading import Thread
from uuid import uuid4

import pytest
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import FlowRun
from prefect.concurrency.sync import concurrency

import alloop.cycle as loop
from alloop.nouns import STEPS
from alloop.workspace import open_workspace
from tests.wiring.conftest import CHECKOUT, TOML
from tests.wiring.deployed import Deployed, deployed, is_asleep

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]

LONG_S = 48 * 3600


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name of the test's own: on one Prefect server the name of a project, its cycle and its attempt name a run."""
    name = f"digits-{uuid4().hex[:8]}"
    monkeypatch.setenv("ALLOOP_PROJECT__NAME", name)
    return name


@pytest.fixture
def here(make_project: Callable[..., Path], project: str) -> Iterator[Deployed]:
    with deployed(make_project()) as here:
        yield here


def answer_all(config: Path) -> None:
    """Let the simulated people finish."""
    with open_workspace(config) as ws:
        ws.clock.sleep(LONG_S)


def finished(config: Path) -> list[str]:
    with open_workspace(config) as ws:
        return [stage.step for stage in ws.ledger.steps.of(0) if stage.finished_at is not None]


def asleep(here: Deployed) -> FlowRun:
    """A run that waits for labels."""
    run = here.start()
    assert is_asleep(here.walk(run))
    return run


def test_while_people_label_no_process_lives_in_the_run(here: Deployed) -> None:
    asleep(here)
    assert finished(here.config) == list(STEPS[:3])
    with open_workspace(here.config) as ws:
        attempt = ws.ledger.attempts.newest(0)
    assert attempt is not None
    assert not attempt.claimed


def test_resumed_when_all_have_answered_it_walks_to_the_end(here: Deployed) -> None:
    run = asleep(here)
    answer_all(here.config)
    here.runs.resume(str(run.id))
    assert here.walk(run).is_completed()
    assert finished(here.config) == list(STEPS)


def test_resumed_too_early_it_trains_on_nothing_and_sleeps_again_and_again(here: Deployed) -> None:
    run = asleep(here)
    for _ in range(2):
        here.runs.resume(str(run.id))
        assert is_asleep(here.walk(run))
    assert finished(here.config) == list(STEPS[:3])
    with open_workspace(here.config) as ws:
        assert ws.ledger.models.of(0) == ()


def test_resumed_when_half_have_answered_it_trains_on_nothing(here: Deployed) -> None:
    run = asleep(here)
    with open_workspace(here.config) as ws:
        while ws.ledger.labels.pending(0)[0] == 0:
            ws.clock.sleep(60)
            ws.ledger.labels.record(ws.tool.name, ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name)))
        answered, asked = ws.ledger.labels.pending(0)
    assert 0 < answered < asked
    here.runs.resume(str(run.id))
    assert is_asleep(here.walk(run))
    assert "retrain" not in finished(here.config)


def test_to_resume_a_finished_run_does_nothing(here: Deployed) -> None:
    run = asleep(here)
    answer_all(here.config)
    here.runs.resume(str(run.id))
    here.walk(run)
    here.runs.resume(str(run.id))
    assert here.state(run).is_completed()


def test_a_run_sleeps_far_longer_than_prefect_lets_it_by_default(here: Deployed) -> None:
    state = here.state(asleep(here))
    assert (state.state_details.pause_timeout - state.timestamp).days >= 364


def test_a_scheduled_run_leaves_a_cycle_that_another_has_in_hand(here: Deployed) -> None:
    first = asleep(here)
    state = here.walk(here.schedule())
    assert state.is_completed()
    assert state.message == f"cycle 0 is in the hands of run {first.id}"
    assert is_asleep(here.state(first))


def test_a_scheduled_run_opens_the_next_cycle_once_the_last_has_ended(here: Deployed) -> None:
    run = asleep(here)
    answer_all(here.config)
    here.runs.resume(str(run.id))
    here.walk(run)
    assert is_asleep(here.walk(here.schedule()))
    with open_workspace(here.config) as ws:
        assert [cycle.number for cycle in ws.ledger.cycles.all()] == [0, 1]


def test_an_empty_pool_is_nothing_to_do_and_no_failure(tmp_path: Path) -> None:
    config = tmp_path / "alloop.toml"
    config.write_text(TOML.format(tool="simulated", loop=""))
    with deployed(config) as here:
        state = here.walk(here.schedule())
    assert state.is_completed()
    assert "has no samples" in str(state.message)


def test_what_a_person_starts_takes_over_and_the_one_that_slept_does_nothing_more(here: Deployed) -> None:
    old = asleep(here)
    asleep(here)
    here.runs.resume(str(old.id))
    state = here.walk(old)
    assert state.is_completed()
    assert state.message == "attempt 1 of cycle 0 was taken over by attempt 2"


def test_resumed_after_somebody_ended_its_cycle_by_hand_it_opens_no_other(here: Deployed) -> None:
    run = asleep(here)
    with open_workspace(here.config) as ws:
        loop.walk(ws, 0, wait=True)
    here.runs.resume(str(run.id))
    assert here.walk(run).is_completed()
    with open_workspace(here.config) as ws:
        assert len(ws.ledger.cycles.all()) == 1


def test_an_attempt_that_the_relay_asked_for_walks_its_cycle(here: Deployed) -> None:
    with open_workspace(here.config) as ws:
        ws.ledger.attempts.begin(loop.open_cycle(ws), 1)
    run = here.runs.start(0, 1)
    assert here.runs.start(0, 1) == run
    assert is_asleep(here.walk(run))
    with open_workspace(here.config) as ws:
        attempt = ws.ledger.attempts.newest(0)
    assert attempt is not None
    assert (attempt.number, attempt.run) == (1, run)


def test_code_that_changed_during_the_wait_does_nothing_twice(here: Deployed, tmp_path: Path, prefect_api: str) -> None:
    run = asleep(here)
    with open_workspace(here.config) as ws:
        before, refs = ws.ledger.steps.of(0)[:3], ws.ledger.batches.refs(0)
    checkout = tmp_path / "checkout"
    for room in ("flows", "tasks"):
        shutil.copytree(CHECKOUT / room, checkout / room)
    for step in ("score_pool", "push_to_annotation"):
        source = checkout / "tasks" / f"{step}.py"
        source.write_text(source.read_text().replace("return do(", "config = str(config)\n    return do("))
    answer_all(here.config)
    here.runs.resume(str(run.id))
    env = os.environ | {"PREFECT_API_URL": prefect_api, "PYTHONPATH": f"{checkout}:{CHECKOUT}"}
    subprocess.run(
        [sys.executable, "-m", "prefect.engine", str(run.id)], cwd=checkout, env=env, timeout=120, check=True
    )
    assert here.state(run).is_completed()
    with open_workspace(here.config) as ws:
        assert (ws.ledger.steps.of(0)[:3], ws.ledger.batches.refs(0)) == (before, refs)


def test_two_runs_on_one_card_wait_for_each_other(here: Deployed) -> None:
    card = f"card-{uuid4().hex[:8]}"
    here.client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=card, limit=1))
    with concurrency(card, occupy=1, strict=True):
        other = Thread(target=copy_context().run, args=(here.walk, here.start(card=card)))
        other.start()
        time.sleep(3)
        begun = finished(here.config)
    other.join(timeout=60)
    assert (begun, finished(here.config)) == ([], list(STEPS[:3]))


def test_a_card_that_nobody_made_is_an_error(here: Deployed) -> None:
    state = here.walk(here.start(card="no-such-card"))
    assert state.is_failed()
    assert finished(here.config) == []
