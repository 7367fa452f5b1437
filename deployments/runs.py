"""The flow runs of a project's cycles, as Prefect's API tells of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

from alloop.errors import ToolUnavailable

__all__ = ["PrefectRuns", "Runs", "Seen", "open_runs"]


@dataclass(frozen=True)
class Seen:
    """A run's state, and for how many seconds it has been in it."""

    state: StateType
    for_s: float


class Runs(Protocol):
    """Runs of one project's cycles. ToolUnavailable when Prefect does not answer."""

    def look(self, run: str) -> Seen | None:
        """Its state; None when Prefect does not know it."""

    def start(self, cycle: int, attempt: int) -> str:
        """A run for this attempt at the cycle: the same one, however often this is asked."""

    def resume(self, run: str) -> None:
        """Wake a run that sleeps; nothing happens to another."""

    def bury(self, run: str, why: str) -> None:
        """Mark a run as crashed that cannot say so itself any more."""


class PrefectRuns:
    """The real ones, of the deployment `cycle/PROJECT`."""

    def __init__(self, client: SyncPrefectClient, *, config: Path, project: str) -> None:
        self._client, self._config, self.project = client, config, project

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
            try:
                deployment = self._client.read_deployment_by_name(f"cycle/{self.project}")
            except ObjectNotFound:
                raise ToolUnavailable(
                    f"Prefect has no deployment cycle/{self.project}; make it with 'alloop deploy'"
                ) from None
            run = self._client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"config": str(self._config), "cycle": cycle, "attempt": attempt},
                idempotency_key=f"{self.project}:{cycle}:{attempt}",
                name=f"cycle-{cycle}-attempt-{attempt}",
                tags=[f"project:{self.project}", f"cycle:{cycle}"],
            )
        return str(run.id)

    def resume(self, run: str) -> None:
        """Wake a run that sleeps; nothing happens to another."""
        with _unavailable_is_told():
            self._client.resume_flow_run(UUID(run))

    def bury(self, run: str, why: str) -> None:
        """Mark a run as crashed that cannot say so itself any more."""
        with _unavailable_is_told():
            self._client.set_flow_run_state(UUID(run), Crashed(message=why), force=True)


@contextmanager
def open_runs(*, config: Path, project: str) -> Iterator[PrefectRuns]:
    """The runs of a project at the server that PREFECT_API_URL names."""
    with get_client(sync_client=True) as client:
        yield PrefectRuns(client, config=config, project=project)


@contextmanager
def _unavailable_is_told() -> Iterator[None]:
    try:
        yield
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise ToolUnavailable(f"Prefect does not answer ({told}); is its server running?") from error
