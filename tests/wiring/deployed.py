"""A project's cycle as a deployment, whose runs a test walks one after another in its own process."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort, Pause
from prefect.flow_engine import run_flow

from alloop.workspace import open_workspace
from flows.cycle import run_deployed_cycle
from tasks.runs import Runs


@dataclass(frozen=True)
class Deployed:
    """The deployment cycle/PROJECT of an alloop.toml, without a schedule."""

    config: Path
    client: SyncPrefectClient
    deployment: UUID
    runs: Runs

    def start(self, **parameters: Any) -> FlowRun:
        """What pressing "Run" in Prefect does."""
        return self.client.create_flow_run_from_deployment(
            self.deployment, parameters={"config": str(self.config), **parameters}
        )

    def schedule(self) -> FlowRun:
        """What the scheduler does."""
        return self.client.create_flow_run_from_deployment(
            self.deployment, parameters={"config": str(self.config)}, tags=["auto-scheduled"]
        )

    def walk(self, run: FlowRun | str) -> State[Any]:
        """Walk a run that was started or resumed until it ends or sleeps; the state that Prefect has it in then."""
        if isinstance(run, str):
            run = self.client.read_flow_run(UUID(run))
        with suppress(Pause, Abort):
            run_flow(run_deployed_cycle, flow_run=run, parameters=run.parameters, return_type="state")
        return self.state(run)

    def state(self, run: FlowRun | str) -> State[Any]:
        found = self.client.read_flow_run(UUID(run) if isinstance(run, str) else run.id).state
        assert found is not None
        return found


@contextmanager
def deployed(config: Path) -> Iterator[Deployed]:
    with open_workspace(config) as ws, get_client(sync_client=True) as client:
        flow = client.create_flow(run_deployed_cycle)
        deployment = client.create_deployment(flow, ws.config.project.name, entrypoint="flows.cycle.run_deployed_cycle")
        yield Deployed(config, client, deployment, Runs(client, config=config, project=ws.config.project.name))


def is_asleep(state: State[Any]) -> bool:
    return state.type is StateType.PAUSED and state.name == "Suspended"
