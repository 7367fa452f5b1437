"""The last step: what chooses the next batch."""

import alloop.cycle as loop
from tasks.step import do, step

__all__ = ["strategy_switch"]


@step(name="strategy-switch", timeout_seconds=1800)
def strategy_switch(config: str, cycle: str) -> str:
    """Decide, and close the cycle."""
    return do(config, cycle, "strategy_switch", loop.strategy_switch)
