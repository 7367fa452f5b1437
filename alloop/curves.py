"""Learning curves of one run each, and how many labels one saves against another."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alloop.summary import Summary

__all__ = ["Curve", "Mark", "Saving", "curve_of", "saving"]


@dataclass(frozen=True)
class Mark:
    """From `n` labels on, batches are chosen by `strategy`."""

    n: int
    strategy: str


@dataclass(frozen=True)
class Curve:
    """Accuracy in points with its 95% interval after `n` labels, in rising order of n; marks where strategies change.

    `answers` counts the unclear answers too, which cost people as much as labels.
    """

    name: str
    n: tuple[int, ...]
    points: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    answers: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()

    def in_answers(self) -> "Curve":
        """The same curve over answers."""
        return replace(self, n=self.answers)


@dataclass(frozen=True)
class Saving:
    """What the loop needed, and what random did, to be equally good.

    Attributes:
        target_points: the highest accuracy that both reached.
        labels: labels the loop needed for it.
        random_labels: labels random needed for it.
        is_within_noise: whether the intervals of the two overlap at the smaller of these numbers of labels.
    """

    target_points: float
    labels: float
    random_labels: float
    is_within_noise: bool

    @property
    def saved(self) -> float:
        """Labels saved; negative when random needed fewer."""
        return self.random_labels - self.labels

    @property
    def share(self) -> float:
        """1 - labels / random_labels."""
        return 1 - self.labels / self.random_labels


def curve_of(summary: Summary, *, name: str) -> Curve:
    """The learning curve of a project's challengers, with a mark where a batch was first chosen by another strategy."""
    rows = [row for row in summary.cycles if row.evaluation is not None and row.labels is not None]
    found = [row.evaluation for row in rows if row.evaluation is not None]
    n = tuple(row.labels or 0 for row in rows)
    changes = [
        Mark(n[place], after.cycle.strategy)
        for place, (before, after) in enumerate(pairwise(rows))
        if before.cycle.strategy != after.cycle.strategy
    ]
    return Curve(
        name,
        n,
        points=tuple(evaluation.points for evaluation in found),
        low=tuple(evaluation.low for evaluation in found),
        high=tuple(evaluation.high for evaluation in found),
        answers=tuple(np.add(n, np.cumsum([row.unclear for row in rows])).tolist()),
        marks=tuple(changes),
    )


def saving(loop: Curve, random: Curve) -> Saving | None:
    """Labels that the loop needed against random for equal accuracy; None when either was never measured.

    Both curves are made monotone (isotonic regression, so that one lucky model decides nothing) and read with straight
    lines between cycles. One run of each is one draw: whether the difference is noise is part of the answer.
    """
    if not loop.n or not random.n:
        return None
    ours, theirs = _monotone(loop), _monotone(random)
    target = min(ours[-1], theirs[-1])
    labels, random_labels = _labels_for(target, loop, ours), _labels_for(target, random, theirs)
    return Saving(
        target_points=float(target),
        labels=labels,
        random_labels=random_labels,
        is_within_noise=_overlap(loop, random, at=min(labels, random_labels)),
    )


def _monotone(curve: Curve) -> NDArray[np.float64]:
    from sklearn.isotonic import isotonic_regression  # half a second

    return np.asarray(isotonic_regression(curve.points), dtype=np.float64)


def _labels_for(target: float, curve: Curve, points: NDArray[np.float64]) -> float:
    """The smallest number of labels at which the monotone points (N,) reach the target, which they do."""
    place = int(np.searchsorted(points, target - 1e-9))
    if place == 0:
        return float(curve.n[0])
    share = (target - points[place - 1]) / (points[place] - points[place - 1])
    return float(curve.n[place - 1] + share * (curve.n[place] - curve.n[place - 1]))


def _overlap(loop: Curve, random: Curve, *, at: float) -> bool:
    """Whether the two intervals overlap at that number of labels; beyond its ends a curve keeps its last interval."""
    loop_low, loop_high = (np.interp(at, loop.n, edge) for edge in (loop.low, loop.high))
    random_low, random_high = (np.interp(at, random.n, edge) for edge in (random.low, random.high))
    return bool(loop_low <= random_high and random_low <= loop_high)
