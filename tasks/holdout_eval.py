"""The sixth step: the challenger on the frozen holdout."""

import alloop.cycle as loop
from tasks.step import do, step

__all__ = ["holdout_eval"]


@step(name="holdout-eval", timeout_seconds=6 * 3600)
def holdout_eval(config: str, cycle: str) -> str:
    """Measure the challenger, and promote it unless it is worse."""
    return do(config, cycle, "holdout_eval", loop.holdout_eval)
