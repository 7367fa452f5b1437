"""The automation that marks runs as crashed whose heartbeat stopped; the relay revives them with or without it."""

from datetime import timedelta

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.events import ResourceSpecification

__all__ = ["DEAD_RUNS", "make_automations"]

DEAD_RUNS = "alloop: runs without a heartbeat have crashed"
SILENT_S = 90
"""Three heartbeats of 30 s, which PREFECT_FLOWS_HEARTBEAT_FREQUENCY asks for."""
HEARTBEAT = "prefect.flow-run.heartbeat"
SIGNS = (HEARTBEAT, *(f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Crashed", "Cancelled")))
ASLEEP = ("prefect.flow-run.Suspended", "prefect.flow-run.Paused")
"""Without them a run that sleeps would be taken for dead."""


def make_automations(client: SyncPrefectClient) -> None:
    """What is not there yet; one that is there stays as it is, since any edit drops the windows that it has open."""
    if client.read_automations_by_name(DEAD_RUNS):
        return
    client.create_automation(
        AutomationCore(
            name=DEAD_RUNS,
            description="Made by alloop; change it here as you like, it is never made or changed again.",
            trigger=EventTrigger(
                after={HEARTBEAT},
                expect={*SIGNS, *ASLEEP},
                match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=SILENT_S),
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED, name="Crashed", message="its heartbeat stopped", force=False
                ),
            ],
        )
    )
