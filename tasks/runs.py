"""The flow runs of a project's cycles, as Prefect's API tells of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Crashed

from alloop.errors import ToolUnavailable

__all__ = ["Runs", "Seen", "open_runs"]


@dataclass(frozen=True)
class Seen:
    """A run's state, and for how many seconds it has been in it."""

    state: StateType
    for_s: float


class Runs:
    """The runs of the deployment `cycle/PROJECT`. ToolUnavailable when Prefect does not answer, or has no such deployment."""

    def __init__(self, client: SyncPrefectClient, *, config: Path, project: str) -> None:
        self._client, self._config, self.project = client, config, project

    def are_deployed(self) -> bool:
        """Whether Prefect has the deployment."""
        with _unavailable_is_told():
            return self._find() is not None

    def look(self, run: str) -> Seen | None:
        """Its state; None when Prefect does not know it."""
        with _unavailable_is_told():
            try:
                state = self._client.read_flow_run(UUID(run)).state
            except ObjectNotFound:
                return None
        if state is None:
            return None
        return Seen(state.type, (datetime.now(UTC) - state.timestamp).total_seconds())

    def start(self, cycle: int, attempt: int) -> str:
        """A run for this attempt at the cycle: the same one, however often this is asked."""
        with _unavailable_is_told():
            run = self._client.create_flow_run_from_deployment(
                self._deployment(),
                parameters={"config": str(self._config), "cycle": cycle, "attempt": attempt},
                idempotency_key=f"{self.project}:{cycle}:{attempt}",
                name=f"cycle-{cycle}-attempt-{attempt}",
                tags=[f"project:{self.project}", f"cycle:{cycle}"],
            )
        return str(run.id)

    def crashed_last(self) -> str | None:
        """The newest run that was due, if it has crashed."""
        with _unavailable_is_told():
            due = FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC)})
            newest = self._client.read_flow_runs(
                flow_run_filter=FlowRunFilter(expected_start_time=due),
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[self._deployment()])),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=1,
            )
        return str(newest[0].id) if newest and newest[0].state_type is StateType.CRASHED else None

    def repeat(self, run: str) -> None:
        """A run in the place of one that a schedule had started: one only, however often this is asked."""
        with _unavailable_is_told():
            self._client.create_flow_run_from_deployment(
                self._deployment(),
                parameters={"config": str(self._config)},
                idempotency_key=f"{self.project}:instead:{run}",
                tags=["auto-scheduled"],
            )

    def resume(self, run: str) -> None:
        """Wake a run that sleeps; nothing happens to another."""
        with _unavailable_is_told():
            self._client.resume_flow_run(UUID(run))

    def bury(self, run: str, why: str) -> None:
        """Mark a run as crashed that cannot say so itself any more."""
        with _unavailable_is_told():
            self._client.set_flow_run_state(UUID(run), Crashed(message=why), force=True)

    def asleep(self) -> list[str]:
        """The runs that are suspended."""
        with _unavailable_is_told():
            paused = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
            found = self._client.read_flow_runs(
                flow_run_filter=FlowRunFilter(state=paused),
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[self._deployment()])),
            )
        return [str(run.id) for run in found]

    def end(self, run: str, why: str) -> None:
        """Mark a run that nobody needs any more as cancelled, with a sentence for people."""
        with _unavailable_is_told():
            self._client.set_flow_run_state(UUID(run), Cancelled(message=why))

    def _deployment(self) -> UUID:
        found = self._find()
        if found is None:
            raise ToolUnavailable(f"Prefect has no deployment cycle/{self.project}; make it with 'alloop deploy'")
        return found

    def _find(self) -> UUID | None:
        try:
            return self._client.read_deployment_by_name(f"cycle/{self.project}").id
        except ObjectNotFound:
            return None


@contextmanager
def open_runs(*, config: Path, project: str) -> Iterator[Runs]:
    """The runs of a project at the server that PREFECT_API_URL names."""
    with get_client(sync_client=True) as client:
        yield Runs(client, config=config, project=project)


@contextmanager
def _unavailable_is_told() -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise ToolUnavailable(f"Prefect does not answer ({told}); is its server running?") from error
