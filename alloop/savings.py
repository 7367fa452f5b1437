"""How many labels a strategy saves: pure statistics over learning curves, from repeated runs to one sentence.

The protocol: each seed gives every strategy the same start; the reference of a seed is the mean of its baseline runs;
curves are made monotone (isotonic regression), so that one lucky model decides nothing; the targets are the accuracies
the reference has at fixed shares of the budget. A saving is 1 - labels / labels of the reference at such a target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEWEST_SEEDS",
    "SHARES",
    "Band",
    "Curve",
    "Estimate",
    "Saving",
    "estimate",
    "height_difference",
    "mean_curve",
    "saving",
    "verdict",
]

SHARES = (0.5, 0.75, 1.0)
"""Shares of the budget at which the reference's accuracy is a target, named before any run."""
LEVEL = 0.95
FEWEST_SEEDS = 5
"""With fewer there is no interval: t with one to three degrees of freedom says 37 % [-59, 133], which tells nobody anything."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A quality between 0 and 1 after n answers that people gave; n rises strictly."""

    n: tuple[int, ...]
    quality: tuple[float, ...]

    @property
    def smooth(self) -> Doubles:
        """The quality made monotone, (N,) float64: the nearest curve that never falls."""
        from sklearn.isotonic import isotonic_regression  # half a second

        return np.asarray(isotonic_regression(self.quality), dtype=np.float64)

    @property
    def height(self) -> float:
        """The mean quality between the first and the last n, with straight lines between the points."""
        if len(self.n) == 1:
            return self.quality[0]
        return float(np.trapezoid(self.quality, self.n) / (self.n[-1] - self.n[0]))

    def at(self, n: float) -> float:
        """The smoothed quality after `n` answers; beyond its ends a curve keeps its last value."""
        return float(np.interp(n, self.n, self.smooth))

    def reach(self, target: float) -> float | None:
        """The fewest answers after which the smoothed quality is `target`; None when that never happens."""
        smooth = self.smooth
        place = int(np.searchsorted(smooth, target - 1e-9))
        if place == len(smooth):
            return None
        if place == 0:
            return float(self.n[0])
        share = min(1.0, (target - smooth[place - 1]) / (smooth[place] - smooth[place - 1]))
        return float(self.n[place - 1] + share * (self.n[place] - self.n[place - 1]))


@dataclass(frozen=True)
class Band:
    """A mean curve over seeds with its 95 % interval, all in points."""

    name: str
    n: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % t interval; no interval from fewer seeds than `FEWEST_SEEDS`."""

    mean: float
    interval: tuple[float, float] | None

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.interval is not None and self.interval[0] > 0

    @property
    def is_below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval is not None and self.interval[1] < 0


@dataclass(frozen=True)
class Saving:
    """What a strategy saved against a reference at one target, a fraction of the reference's labels, seed by seed.

    `reached` says of each seed whether the strategy got to the target; one that did not is censored and counts with the
    whole budget, which is less than it would have needed.
    """

    values: tuple[float, ...]
    reached: tuple[bool, ...]

    @property
    def mean(self) -> Estimate:
        """The mean saving over the seeds."""
        return _at_most_all(estimate(self.values))

    @property
    def worst(self) -> float:
        """The saving of the worst seed."""
        return min(self.values)


def mean_curve(runs: Sequence[Curve]) -> Curve:
    """The mean of runs with the same n."""
    if len({run.n for run in runs}) != 1:
        raise ValueError(f"{len(runs)} curves with different n have no mean; run them with one protocol")
    return Curve(runs[0].n, tuple(np.mean([run.quality for run in runs], axis=0).tolist()))


def estimate(values: Sequence[float], *, level: float = LEVEL) -> Estimate:
    """The mean of one value per seed, with Student's t interval where there are seeds enough for one."""
    from scipy.stats import t

    mean = float(np.mean(values))
    if len(values) < FEWEST_SEEDS:
        return Estimate(mean, None)
    doubt = float(t.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(mean, (mean - doubt, mean + doubt))


def _at_most_all(found: Estimate) -> Estimate:
    """A saving's estimate: nobody saves more than all labels, which Student's t does not know."""
    if found.interval is None:
        return found
    return Estimate(found.mean, (found.interval[0], min(1.0, found.interval[1])))


def saving(curves: Mapping[int, Curve], reference: Mapping[int, Curve], *, share: float) -> Saving:
    """What the curves {seed: curve} saved against the reference of the same seed, at its quality after that share."""
    values, reached = [], []
    for seed, curve in sorted(curves.items()):
        base = reference[seed]
        target = base.at(share * base.n[-1])
        needed, needed_by_base = curve.reach(target), base.reach(target)
        assert needed_by_base is not None, "a curve reaches its own quality"
        values.append(1 - (curve.n[-1] if needed is None else needed) / needed_by_base)
        reached.append(needed is not None)
    return Saving(tuple(values), tuple(reached))


def height_difference(curves: Mapping[int, Curve], reference: Mapping[int, Curve]) -> Estimate:
    """How many points the mean of the whole curve lies above the reference of the same seed."""
    return estimate([100 * (curve.height - reference[seed].height) for seed, curve in sorted(curves.items())])


def verdict(
    savings: Mapping[str, Saving], over_dedup: Mapping[str, Saving], heights: Mapping[str, Estimate], *, dataset: str
) -> str:
    """What the savings {strategy: at the whole budget} come to, in one sentence that claims no more than they show.

    The best of many is best partly by luck, so its interval is widened for the number compared (Bonferroni).
    """
    if not savings:
        return f"Nothing was compared with random on {dataset}."
    best = max(savings, key=lambda name: savings[name].mean.mean)
    found, seeds = savings[best], len(savings[best].values)
    if seeds == 1:
        return f"One seed shows nothing reliable on {dataset}: '{best}' saved {_percent(found.mean)} there; run more."
    if seeds < FEWEST_SEEDS:
        return (
            f"{seeds} seeds are too few for an interval on {dataset}: '{best}' saved {_percent(found.mean)} in the mean "
            f"and {found.worst:.0%} in the worst; run {FEWEST_SEEDS} or more, ten are better."
        )
    sure = estimate(found.values, level=1 - (1 - LEVEL) / len(savings))
    if not sure.is_above_zero:
        among = f"the best of {len(savings)} strategies, '{best}'," if len(savings) > 1 else f"'{best}'"
        text = f"No reliable saving on {dataset}: {among} needed {_percent(found.mean)} fewer labels than random"
    else:
        text = f"On {dataset} '{best}' saved {_percent(found.mean)} of random's labels"
    text += f" (worst seed {found.worst:.0%}; {sum(found.reached)} of {seeds} seeds reached random's final accuracy)"
    return f"{text}{_against_dedup(over_dedup.get(best))}{_under_random(heights[best])}."


def _against_dedup(found: Saving | None) -> str:
    if found is None:
        return ""
    if not found.mean.is_above_zero:
        return f", and nothing reliable against de-duplicated random ({_percent(found.mean)})"
    return f", and {_percent(found.mean)} of those of de-duplicated random"


def _under_random(height: Estimate) -> str:
    if not height.is_below_zero:
        return ""
    return f", while its curve as a whole lies {-height.mean:.1f} points under random's"


def _percent(found: Estimate) -> str:
    if found.interval is None:
        return f"{found.mean:.0%}"
    return f"{found.mean:.0%} [{found.interval[0]:.0%}, {found.interval[1]:.0%}]"
