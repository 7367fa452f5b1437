"""The relay at a real Prefect server: it resumes, revives and starts runs, once each, and needs no server to take in labels."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

import alloop.cycle as loop
from alloop.errors import BadLabel, ToolUnavailable
from alloop.ledger.hints import Delivery
from alloop.nouns import STEPS
from alloop.workspace import Workspace, open_workspace
from tasks.mending import look
from tasks.remedies import Remedy
from tasks.runs import Runs, open_runs
from tests.wiring.conftest import CHECKOUT
from tests.wiring.deployed import Deployed, deployed, is_asleep
from tests.wiring.test_kill import LAST_ACT

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]

LOOKS = 60
DYING_ENGINE = """
import importlib, os, runpy, signal, sys
module, verb, run = sys.argv[1:]
owner, name = verb.split(".")
owner = getattr(importlib.import_module(module), owner)
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, die)
sys.argv = ["prefect.engine", run]
runpy.run_module("prefect.engine", run_name="__main__")
"""


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


@pytest.fixture
def ws(here: Deployed) -> Iterator[Workspace]:
    with open_workspace(here.config) as ws:
        yield ws


def asleep(here: Deployed) -> str:
    run = here.start()
    assert is_asleep(here.walk(run))
    return str(run.id)


def until_it_does_something(ws: Workspace, here: Deployed) -> Remedy:
    for _ in range(LOOKS):
        if (done := look(ws, here.runs, watch_s=1)) is not Remedy.LEAVE:
            return done
    pytest.fail("nothing was done")


def newest_run(ws: Workspace) -> str:
    attempt = ws.ledger.attempts.newest(0)
    assert attempt is not None
    assert attempt.run is not None
    return attempt.run


def test_without_a_cycle_it_leaves_everything_alone(ws: Workspace, here: Deployed) -> None:
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE


def test_a_cycle_that_somebody_walks_by_hand_gets_no_run(ws: Workspace, here: Deployed) -> None:
    loop.open_cycle(ws)
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    assert ws.ledger.attempts.newest(0) is None


def test_a_run_that_crashed_before_it_opened_a_cycle_is_repeated_once(ws: Workspace, here: Deployed) -> None:
    lost = here.schedule()
    here.runs.bury(str(lost.id), "killed")
    assert look(ws, here.runs, watch_s=1) is Remedy.START
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    (due,) = here.client.get_scheduled_flow_runs_for_deployments([here.deployment])
    assert is_asleep(here.walk(due))


def test_when_all_have_answered_the_run_is_resumed_and_the_cycle_ends(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    assert until_it_does_something(ws, here) is Remedy.RESUME
    assert ws.ledger.labels.pending(0)[0] == ws.ledger.labels.pending(0)[1]
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    assert here.walk(run).is_completed()
    assert look(ws, here.runs, watch_s=1) is Remedy.LEAVE
    assert len(ws.ledger.decisions.all()) == 1


def test_a_run_that_failed_is_followed_by_another_attempt(
    ws: Workspace, here: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = here.start()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "push_to_annotation", lambda *_: (_ for _ in ()).throw(BadLabel("wrong; mend it")))
        assert here.walk(run).is_failed()
    assert look(ws, here.runs, watch_s=1) is Remedy.REVIVE
    assert newest_run(ws) != str(run.id)
    assert is_asleep(here.walk(newest_run(ws)))


def test_a_run_that_was_deleted_is_followed_by_another(ws: Workspace, here: Deployed) -> None:
    run = asleep(here)
    here.client.delete_flow_run(UUID(run))
    assert look(ws, here.runs, watch_s=1) is Remedy.REVIVE
    assert is_asleep(here.walk(newest_run(ws)))


def test_two_relays_at_once_start_one_run(ws: Workspace, here: Deployed, prefect_api: str) -> None:
    run = asleep(here)
    here.client.delete_flow_run(UUID(run))

    def one(_: int) -> Remedy:
        with (
            open_workspace(here.config) as mine,
            temporary_settings({PREFECT_API_URL: prefect_api}),  # they do not reach threads
            open_runs(config=here.config, project=here.runs.project) as runs,
        ):
            return look(mine, runs, watch_s=1)

    with ThreadPoolExecutor(4) as relays:
        done = list(relays.map(one, range(4)))
    assert done.count(Remedy.REVIVE) == 1
    attempt = ws.ledger.attempts.newest(0)
    assert attempt is not None
    assert attempt.number == 2


def test_killed_between_the_attempt_and_its_run_the_relay_goes_on_there(ws: Workspace, here: Deployed) -> None:
    ws.ledger.attempts.begin(loop.open_cycle(ws), 1)
    assert look(ws, here.runs, watch_s=1) is Remedy.START
    assert is_asleep(here.walk(newest_run(ws)))


@contextmanager
def no_prefect(here: Deployed) -> Iterator[Runs]:
    with SyncPrefectClient("http://127.0.0.1:9/api") as client:
        yield Runs(client, config=here.config, project=here.runs.project)


def test_without_prefect_labels_are_taken_in_all_the_same(
    ws: Workspace, here: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    asleep(here)
    ws.clock.sleep(48 * 3600)
    with no_prefect(here) as runs, pytest.raises(ToolUnavailable, match="Prefect does not answer"):
        look(ws, runs, watch_s=1)
    assert "wait_for_labels" in {stage.step for stage in ws.ledger.steps.of(0) if stage.finished_at}


@pytest.mark.parametrize("step", ["push_to_annotation", "retrain"])
def test_killed_in_a_step_the_cycle_is_revived_and_ends(
    ws: Workspace, here: Deployed, prefect_api: str, step: str
) -> None:
    run = str(here.start().id)
    if step == "retrain":
        assert is_asleep(here.walk(run))
        assert until_it_does_something(ws, here) is Remedy.RESUME
    die_in(step, run, prefect_api)
    assert here.state(run).is_running()
    assert look(ws, here.runs, watch_s=1) is Remedy.REVIVE
    assert here.state(run).is_crashed()
    walk_on(ws, here)
    assert {stage.step for stage in ws.ledger.steps.of(0) if stage.finished_at} == set(STEPS)
    assert len(ws.ledger.models.of(0)) == 1


def die_in(step: str, run: str, api: str) -> None:
    """Walk a run in a process of its own that is killed at the end of a step."""
    command = [sys.executable, "-c", DYING_ENGINE, *LAST_ACT[step], run]
    env = os.environ | {"PREFECT_API_URL": api, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run(command, env=env, timeout=120).returncode == -signal.SIGKILL


def walk_on(ws: Workspace, here: Deployed) -> None:
    """What runner and relay do together until the cycle is closed."""
    while ws.ledger.cycles.get(0).closed_at is None:
        if not is_asleep(here.state(newest_run(ws))):
            here.walk(newest_run(ws))
        look(ws, here.runs, watch_s=1)


def test_a_hint_wakes_it_at_once(make_project: Callable[..., Path], digit_files: Path, prefect_api: str) -> None:
    rows = [line.split(",") for line in digit_files.read_text().split()[1:]]
    manifest = digit_files.with_name("unlabelled.csv")
    lines = [f"{uri},{label if split == 'holdout' else ''},{split}" for uri, label, _, split in rows]
    manifest.write_text("\n".join(["uri,label,split", *lines]))
    with deployed(make_project(tool="folder", manifest=manifest)) as here, open_workspace(here.config) as ws:
        run = asleep(here)
        with relaying(here.config, prefect_api):
            answer(ws)
            ws.ledger.hints.receive([Delivery("folder", "answered", "0" * 64, "")])
            began = time.monotonic()
            while is_asleep(here.state(run)):
                assert time.monotonic() < began + 20
                time.sleep(0.1)
        assert not ws.ledger.hints.waiting()


def test_without_prefect_the_clocks_are_watched_all_the_same(here: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    asleep(here)
    monkeypatch.setenv("ALLOOP_SLA__CYCLE_HOURS", "0.1")
    with relaying(here.config, "http://127.0.0.1:9/api"), open_workspace(here.config) as ws:
        ws.clock.sleep(48 * 3600)
        ws.ledger.hints.receive([Delivery("folder", "answered", "0" * 64, "")])
        until = time.monotonic() + 60
        while not ws.ledger.decisions.flags():
            assert time.monotonic() < until
            time.sleep(0.2)


@contextmanager
def relaying(config: Path, api: str) -> Iterator[None]:
    """A relay that has looked once, and looks again in ten minutes."""
    ready = config.with_name("ready")
    command = [sys.executable, "-m", "deployments.relay", str(config), "--watch-s", "600", "--ready", str(ready)]
    env = os.environ | {"PREFECT_API_URL": api, "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, env=env) as child:
        try:
            while not ready.exists():
                assert child.poll() is None
                time.sleep(0.1)
            time.sleep(2)
            yield
        finally:
            child.terminate()


def answer(ws: Workspace) -> None:
    """A person answers every sample of the folder."""
    folder = ws.config.root / "annotation" / "batch-0000"
    asked = [item.sample.id for item in ws.ledger.batches.get(0).items]
    lines = [f'{{"sample": "{sample}", "label": "0", "annotator": "ann"}}' for sample in asked]
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
