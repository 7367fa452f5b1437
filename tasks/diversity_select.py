"""The second step: from thousands of scores to one batch."""

import alloop.cycle as loop
from tasks.step import do, step

__all__ = ["diversity_select"]


@step(name="diversity-select", timeout_seconds=2 * 3600)
def diversity_select(config: str, cycle: str) -> str:
    """Choose the batch that people will label."""
    return do(config, cycle, "diversity_select", loop.diversity_select)
