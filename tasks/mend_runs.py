"""What the relay does every few seconds, done once: sla-watch does it too, in case no relay lives."""

from pathlib import Path

from alloop.workspace import open_workspace
from tasks.mending import look
from tasks.remedies import Remedy
from tasks.runs import open_runs
from tasks.step import step

__all__ = ["mend_runs"]

WATCH_S = 600.0
"""How often sla-watch looks."""
TOLD = {
    Remedy.START: "a run was started that was missing",
    Remedy.RESUME: "the run was woken, since nobody is waited for any more",
    Remedy.REVIVE: "the run was dead, and is followed by another",
}


@step(name="mend-runs", timeout_seconds=900)
def mend_runs(config: str) -> list[str]:
    """Take in answers and give the open cycle the run that it needs, if it lives in Prefect; what was done, if anything."""
    with (
        open_workspace(Path(config)) as ws,
        open_runs(config=ws.config.file, project=ws.config.project.name) as runs,
    ):
        done = look(ws, runs, watch_s=WATCH_S) if runs.are_deployed() else Remedy.LEAVE
    return [TOLD[done]] if done in TOLD else []
