"""`alloop deploy` on a Prefect server that is there: done twice it changes nothing, and a worker can run what it made."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

from alloop.config import Config, load_config
from alloop.errors import ConfigError
from alloop.nouns import STEPS
from alloop.workspace import open_workspace
from deployments.automations import DEAD_RUNS
from deployments.deploy import POOL, QUEUES, deploy_project
from deployments.served import CARD
from tests.wiring.conftest import CHECKOUT

pytestmark = [pytest.mark.xdist_group("prefect")]

CRON = "0 6 * * *"


@pytest.fixture(scope="module")
def config(
    build_project: Callable[..., Path], prefect_api: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Config]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLOOP_PROJECT__NAME", f"deployed-{uuid4().hex[:8]}")
        patch.setenv("PREFECT_API_URL", prefect_api)
        config = load_config(build_project(tmp_path_factory.mktemp("deploy") / "project"))
        deploy_project(config, cron=CRON)
        yield config


@pytest.fixture
def client(config: Config) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def deployments(client: SyncPrefectClient, config: Config) -> dict[str, Any]:
    flows = ("cycle", "sla-watch", "backtest")
    return {flow: client.read_deployment_by_name(f"{flow}/{config.project.name}") for flow in flows}


def test_each_deployment_has_its_queue_and_its_schedule(client: SyncPrefectClient, config: Config) -> None:
    made = deployments(client, config)
    assert {flow: one.work_queue_name for flow, one in made.items()} == {
        "cycle": "training",
        "sla-watch": "watch",
        "backtest": "scoring",
    }
    crons = {flow: [schedule.schedule.cron for schedule in one.schedules] for flow, one in made.items()}
    assert crons == {"cycle": [CRON], "sla-watch": ["*/10 * * * *"], "backtest": []}
    assert made["cycle"].parameters["config"] == str(config.file)


def test_its_schedule_comes_to_runs(client: SyncPrefectClient, config: Config, prefect_api: str) -> None:
    """Prefect 3.8 does this every few seconds and logs where it cannot, as with SQLAlchemy 2.1: no cycle would ever open."""
    made = deployments(client, config)["cycle"]
    asked = httpx.post(f"{prefect_api}/deployments/{made.id}/schedule", json={}, timeout=30)
    assert asked.status_code == 200
    here = DeploymentFilter(id=DeploymentFilterId(any_=[made.id]))
    assert "auto-scheduled" in client.read_flow_runs(deployment_filter=here)[0].tags


def test_the_watch_goes_before_training_and_training_before_backtests(
    client: SyncPrefectClient, config: Config
) -> None:
    queues = {name: client.read_work_queue_by_name(name, work_pool_name=POOL).priority for name in QUEUES}
    assert queues["watch"] < queues["training"] < queues["scoring"]


def test_one_card_has_one_slot_and_somebodys_other_number_stays(client: SyncPrefectClient, config: Config) -> None:
    assert client.read_global_concurrency_limit_by_name(CARD).limit == 1
    client.upsert_global_concurrency_limit_by_name(CARD, 2)
    deploy_project(config, cron=CRON)
    assert client.read_global_concurrency_limit_by_name(CARD).limit == 2


def test_deployed_again_everything_is_as_it_was_an_edited_automation_too(
    client: SyncPrefectClient, config: Config
) -> None:
    (automation,) = client.read_automations_by_name(DEAD_RUNS)
    before = {flow: (one.id, one.parameters) for flow, one in deployments(client, config).items()}
    schedules = {flow: len(one.schedules) for flow, one in deployments(client, config).items()}
    deploy_project(config, cron=CRON)
    assert client.read_automations_by_name(DEAD_RUNS) == [automation]
    assert {flow: (one.id, one.parameters) for flow, one in deployments(client, config).items()} == before
    assert {flow: len(one.schedules) for flow, one in deployments(client, config).items()} == schedules


def test_a_worker_walks_the_cycle_until_people_have_to_answer(client: SyncPrefectClient, config: Config) -> None:
    run = client.create_flow_run_from_deployment(deployments(client, config)["cycle"].id)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--run-once"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    subprocess.run(command, env=env, check=True, timeout=120, capture_output=True)
    state = client.read_flow_run(run.id).state
    assert state is not None
    assert state.name == "Suspended"
    with open_workspace(config) as ws:
        assert [stage.step for stage in ws.ledger.steps.of(0) if stage.finished_at] == list(STEPS[:3])


def test_without_a_server_it_says_what_to_set(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ConfigError, match="set PREFECT_API_URL"),
    ):
        deploy_project(config, cron=CRON)


def test_a_schedule_that_somebody_paused_stays_paused(client: SyncPrefectClient, config: Config) -> None:
    made = deployments(client, config)["cycle"]
    client.update_deployment_schedule(made.id, made.schedules[0].id, active=False)
    deploy_project(config, cron=CRON)
    assert [schedule.active for schedule in deployments(client, config)["cycle"].schedules] == [False]
