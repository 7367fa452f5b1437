"""How sure one can be of a number from the holdout: intervals by a bootstrap over groups, whatever the task.

The frames of one clip are one piece of evidence, not many, so whole groups are drawn (Field & Welsh 2007).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from alloop.nouns import Floats, Integers, Lift, Task, TrainingLabel

__all__ = ["METRIC_NAMES", "Measure", "Results", "group_numbers", "interval", "lift"]

METRIC_NAMES = {Task.CLASSIFY: "accuracy", Task.DETECT: "mAP50", Task.SEGMENT: "mask mAP50"}
"""What a model is judged by on the holdout."""
BLOCK = 200
"""Resamples drawn at once: 200 x 10,000 groups are 16 MB."""


class Measure(Protocol):
    """A share, 0 to 1 (a gain: -1 to 1), that can be taken again from other draws of the same groups."""

    @property
    def share(self) -> float:
        """On every sample once."""

    def resampled(self, draws: Integers) -> Floats:
        """(R,) float32, one for each row of the drawn group numbers (R, G); NaN where there is nothing to measure."""


class Results(Protocol):
    """A model's answers on N holdout samples: ids, and groups (N,) int64 numbered from 0.

    `metric` names what `measure` takes, and `resamples` says how many draws its interval needs.
    """

    @property
    def metric(self) -> str:
        """One of METRIC_NAMES."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The samples, N of them."""

    @property
    def groups(self) -> Integers:
        """(N,) int64: samples of one clip have one number."""

    @property
    def resamples(self) -> int:
        """How often the holdout is drawn again."""

    @property
    def measure(self) -> Measure:
        """How good the model is."""

    def gain_on(self, before: Self) -> Measure:
        """By how much it is better than another model on the same samples."""

    def doubted(self, low: float, high: float) -> tuple[float, float]:
        """The edges of an interval with the doubt that no resampling shows: the rule of three."""

    def tally(self) -> tuple[Integers, Integers]:
        """For each class, how many of its samples or objects were found, and how many there are: (C,) and (C,)."""

    def table(self) -> Any:
        """The same as a pyarrow Table, one row per sample."""


Same = TypeVar("Same", bound=Results)


def group_numbers(holdout: Sequence[TrainingLabel]) -> Integers:
    """(N,) int64: the samples of one group have one number, and one without a group is its own."""
    names = [f"group {item.sample.group}" if item.sample.group else f"sample {item.sample.id}" for item in holdout]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def interval(of: Results, rng: np.random.Generator) -> tuple[float, float, float]:
    """(points, low, high): how good a model is, with its 95 % bootstrap interval."""
    measure = of.measure
    shares = _resampled(measure, of, rng)
    shares = shares[~np.isnan(shares)]
    low, high = (float(edge) for edge in np.percentile(shares, [2.5, 97.5])) if len(shares) else (0.0, 1.0)
    low, high = of.doubted(low, high)
    return 100 * measure.share, 100 * low, 100 * high


def lift(now: Same, before: Same, rng: np.random.Generator, *, seed_sd_points: float) -> Lift:
    """Points from `before` to `now` on the same samples, with a 95 % interval.

    The interval is a paired bootstrap over groups, widened by the noise of training: each of the two models is
    one draw of a training seed, whose standard deviation is `seed_sd_points`. Nothing to measure: 0, from -100 to 100.
    """
    if now.ids != before.ids:
        raise ValueError("the two results are of different holdouts; a frozen holdout never changes")
    gain = now.gain_on(before)
    points = 100 * _resampled(gain, now, rng)
    points += rng.normal(0.0, np.sqrt(2.0) * seed_sd_points, size=len(points))
    points = points[~np.isnan(points)]
    low, high = np.percentile(points, [2.5, 97.5]) if len(points) else (-100.0, 100.0)
    return Lift(100 * gain.share, float(low), float(high))


def _resampled(measure: Measure, of: Results, rng: np.random.Generator) -> Floats:
    """The measure when whole groups are drawn with replacement, (resamples,) float32."""
    return np.concatenate([measure.resampled(draws) for draws in _draws(int(of.groups.max()) + 1, of.resamples, rng)])


def _draws(groups: int, resamples: int, rng: np.random.Generator) -> Iterator[Integers]:
    for start in range(0, resamples, BLOCK):
        yield rng.integers(groups, size=(min(BLOCK, resamples - start), groups))
