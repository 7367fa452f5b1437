"""What an operator sees of a flow run in Prefect: name, tags, log lines, what it waits for, and how far work is."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

import tasks.progress
from alloop.cycle import open_cycle
from alloop.workspace import open_workspace
from flows.cycle import run_cycle, run_deployed_cycle
from flows.sla_watch import sla_watch
from tasks.progress import task_progress
from tests.wiring.deployed import Deployed, deployed, is_asleep
from tests.wiring.test_flow import TASKS

pytestmark = [pytest.mark.xdist_group("prefect"), pytest.mark.usefixtures("prefect_api")]


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name of the test's own: there is one Prefect server for all of them."""
    name = f"digits-{uuid4().hex[:8]}"
    monkeypatch.setenv("ALLOOP_PROJECT__NAME", name)
    return name


@pytest.fixture
def config(make_project: Callable[..., Path], project: str) -> Path:
    return make_project()


@pytest.fixture
def here(config: Path) -> Iterator[Deployed]:
    with deployed(config) as here:
        yield here


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def runs_of(client: SyncPrefectClient, project: str) -> list[FlowRun]:
    """What somebody finds who filters by the project's tag."""
    tags = FlowRunFilterTags.model_validate({"all_": [f"project:{project}"]})
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))


def walk(config: Path, project: str) -> None:
    with open_workspace(config) as ws:
        cycle = open_cycle(ws)
    assert run_cycle(str(config), project, cycle) == f"{project}/{cycle}"


def lines_of(client: SyncPrefectClient, run: FlowRun) -> list[str]:
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    return [log.message for log in client.read_logs(wanted, limit=200)]


def pages_of(client: SyncPrefectClient, project: str) -> list[Artifact]:
    return client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[f"alloop-{project}"])))


def test_a_direct_run_has_the_tags_of_its_project_and_cycle(
    config: Path, project: str, client: SyncPrefectClient
) -> None:
    walk(config, project)
    (run,) = runs_of(client, project)
    assert run.name == "cycle-0"
    assert {"alloop", f"project:{project}", "cycle:0"} <= set(run.tags)
    tasks = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.id]}}))
    assert [task.tags for task in tasks] == [[]] * 8  # each tag of a task costs a request before it starts


def test_a_deployed_run_gets_name_and_tags_beside_those_it_had(here: Deployed, project: str) -> None:
    run = here.schedule()
    assert is_asleep(here.walk(run))
    seen = here.client.read_flow_run(run.id)
    assert seen.name == "cycle-0"
    assert set(seen.tags) == {"auto-scheduled", "alloop", f"project:{project}", "cycle:0"}


def test_a_run_that_finds_nothing_to_do_says_so_in_its_name(here: Deployed, project: str) -> None:
    here.walk(here.start())
    idle = here.schedule()
    here.walk(idle)
    seen = here.client.read_flow_run(idle.id)
    assert seen.name == "nothing-to-do"
    assert {"alloop", f"project:{project}"} <= set(seen.tags)


def test_a_run_that_sleeps_says_what_it_waits_for(here: Deployed) -> None:
    told = str(here.walk(here.start()).message)
    assert told.startswith("waits for labels: 0 of 20 answered on ")
    assert told.endswith("it is woken by itself when the batch is complete")


def test_a_run_that_sleeps_has_put_the_batch_up(here: Deployed, project: str) -> None:
    here.walk(here.start())
    (page,) = pages_of(here.client, project)
    assert "cycle 0: waiting for labels" in str(page.data)
    assert "data:image/jpeg;base64," in str(page.data)


def test_log_lines_of_steps_are_on_the_page_of_the_run(config: Path, project: str, client: SyncPrefectClient) -> None:
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        walk(config, project)
        APILogWorker.drain_all(timeout=30)
    (run,) = runs_of(client, project)
    lines = lines_of(client, run)
    for stage in TASKS:
        (done,) = [line for line in lines if line.startswith(f"[{project}/0 {stage}] done in ")]
        assert done.partition(" s")[0][-1].isdigit()
    assert any(line.endswith(": samples 20") for line in lines)


def test_a_step_that_was_done_before_says_so(config: Path, project: str, client: SyncPrefectClient) -> None:
    with open_workspace(config) as ws:
        cycle = open_cycle(ws)
    assert run_cycle(str(config), project, cycle, wait=False) is None
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: True}):
        assert run_cycle(str(config), project, cycle, wait=False) is None
        APILogWorker.drain_all(timeout=30)
    lines = [line for run in runs_of(client, project) for line in lines_of(client, run)]
    assert f"[{project}/0 score_pool] was done before, nothing is done again" in lines
    assert f"[{project}/0 wait_for_labels] 0 of 20 samples of cycle 0 are answered; label the rest" in lines


def test_every_task_and_flow_says_what_it_is(client: SyncPrefectClient) -> None:
    told = [one.description for one in (*TASKS.values(), run_cycle, run_deployed_cycle, sla_watch)]
    assert all(told)


@task
def work(steps: int) -> None:
    """Something that takes long enough to be shown."""
    with task_progress() as progress:
        for done in range(1, steps + 1):
            progress("train", done, steps)


@flow
def at_work(steps: int) -> None:
    work(steps)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.progress, "SHOW_AFTER_S", 0.0)


def bars(client: SyncPrefectClient) -> list[Artifact]:
    wanted = ArtifactFilter.model_validate({"type": {"any_": ["progress"]}})
    return client.read_artifacts(artifact_filter=wanted, limit=200)


@pytest.mark.usefixtures("impatient")
def test_work_that_has_ended_stands_at_a_hundred_percent(client: SyncPrefectClient) -> None:
    before = {bar.id for bar in bars(client)}
    at_work(500)
    (bar,) = [bar for bar in bars(client) if bar.id not in before]
    assert (bar.description, bar.data) == ("train", 100)


@flow
def cut_off(steps: int) -> int:
    """Work during which nothing listens where the server was; how many steps were done."""
    done = 0
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), task_progress() as progress:
        for done in range(1, steps + 1):
            progress("train", done, steps)
    return done


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_away_ends_no_work_and_is_not_asked_at_every_step() -> None:
    began = time.monotonic()
    assert cut_off(10_000) == 10_000
    assert time.monotonic() - began < 30
