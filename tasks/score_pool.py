"""The first step: scores for the whole pool."""

import alloop.cycle as loop
from tasks.step import do, step

__all__ = ["score_pool"]


@step(name="score-pool", timeout_seconds=12 * 3600)
def score_pool(config: str, cycle: str) -> str:
    """Score every unlabelled sample with the champion."""
    return do(config, cycle, "score_pool", loop.score_pool)
