"""The fifth step: a challenger from all labels so far."""

import alloop.cycle as loop
from tasks.step import do, step

__all__ = ["retrain"]


@step(name="retrain", timeout_seconds=48 * 3600)
def retrain(config: str, cycle: str) -> str:
    """Train on exactly the labels that had joined when the batch closed."""
    return do(config, cycle, "retrain", loop.retrain)
