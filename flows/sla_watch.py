"""The deadline's watch, as a flow that a schedule starts every few minutes."""

from prefect import flow

from tasks.mend_runs import mend_runs
from tasks.sla_watch import look_at_clocks

__all__ = ["sla_watch"]


@flow(name="sla-watch", persist_result=False)
def sla_watch(config: str) -> list[str]:
    """Look at the clocks of a project once, and give its open cycle the run that it needs.

    Args:
        config: path of the project's alloop.toml.

    Returns:
        What was raised and what was mended this time, a sentence each.
    """
    raised = look_at_clocks(config)
    return raised + mend_runs(config)
