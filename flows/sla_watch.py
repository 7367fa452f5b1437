"""The deadline's watch, as a flow that a schedule starts every few minutes."""

from prefect import flow

from tasks.sla_watch import look_at_clocks

__all__ = ["sla_watch"]


@flow(name="sla-watch", persist_result=False)
def sla_watch(config: str) -> list[str]:
    """Look at the clocks of a project once.

    Args:
        config: path of the project's alloop.toml.

    Returns:
        What was raised this time, a sentence each.
    """
    return look_at_clocks(config)
