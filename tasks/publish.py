"""What the Prefect UI shows of a cycle: a page with the curve and the decision."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from alloop.report import cycle_markdown
from alloop.workspace import open_workspace
from tasks.step import cycle_number, step

__all__ = ["publish"]


@step(name="publish", timeout_seconds=600)
def publish(config: str, cycle: str) -> str:
    """Put the cycle's page up; the newest one of a project stands under one key."""
    with open_workspace(Path(config)) as ws:
        page, project = cycle_markdown(ws, cycle_number(cycle)), ws.config.project.name
    create_markdown_artifact(page, key=f"alloop-{project.replace('_', '-')}", description=f"Cycle {cycle}")
    return cycle
