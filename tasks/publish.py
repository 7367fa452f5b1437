"""What the Prefect UI shows of a cycle: a page with the decision, the figures, the batch and the clocks."""

from pathlib import Path

from alloop.workspace import open_workspace
from tasks.run_page import put_up_cycle
from tasks.step import cycle_number, step

__all__ = ["publish"]


@step(name="publish", timeout_seconds=600)
def publish(config: str, cycle: str) -> str:
    """Put the cycle's page up; the newest one of a project stands under one key."""
    with open_workspace(Path(config)) as ws:
        put_up_cycle(ws, cycle_number(cycle))
    return cycle
