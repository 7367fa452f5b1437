"""Expected gradient lengths of a shortlist: measured on a few samples before they are paid for on all."""

import time
from collections.abc import Sequence

import numpy as np

from alloop.errors import ConfigError
from alloop.models.base import GradientModel, Model
from alloop.nouns import Floats, Progress, Sample

__all__ = ["gradients_within", "require_gradients"]

PROBED = 16
"""Samples that the cost is measured on, after one that pays for what is done once."""
CHUNK = 256
"""Samples between two words of progress."""


def require_gradients(model: Model) -> GradientModel:
    """The model as one that gives gradients; ConfigError when it cannot."""
    if isinstance(model, GradientModel):
        return model
    raise ConfigError(
        f"a {type(model).__name__} gives no gradients, which a strategy of the ladder needs; take that strategy out of "
        "loop.ladder, or set [model] kind to classifier or frozen"
    )


def gradients_within(
    model: GradientModel, samples: Sequence[Sample], *, budget_s: float, progress: Progress
) -> tuple[Floats, float]:
    """Expected gradient lengths (N,) float32 of the samples, and the seconds that they took, the measuring included.

    ConfigError when a few samples show that all would take more than `budget_s` seconds.
    """
    start = time.perf_counter()
    expected_s = _seconds_each(model, samples[:PROBED]) * len(samples)
    if expected_s > budget_s:
        raise ConfigError(
            f"the gradients of {len(samples)} samples would take about {expected_s:.0f} s, more than the "
            f"{budget_s:g} s of acquisition.gradient_budget_s; raise that, or lower acquisition.shortlist_ratio"
        )
    lengths = np.empty(len(samples), dtype=np.float32)
    for first in range(0, len(samples), CHUNK):
        some = samples[first : first + CHUNK]
        lengths[first : first + len(some)] = model.gradients(some)
        progress(f"taking gradients, about {expected_s:.0f} s in all", first + len(some), len(samples))
    return lengths, time.perf_counter() - start


def _seconds_each(model: GradientModel, samples: Sequence[Sample]) -> float:
    if not samples:
        return 0.0
    model.gradients(samples[:1])
    start = time.perf_counter()
    model.gradients(samples)
    return (time.perf_counter() - start) / len(samples)
