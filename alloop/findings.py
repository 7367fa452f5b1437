"""What a backtest found about each strategy, and the one sentence it comes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alloop.arms import Arm, Point
from alloop.backtest import BASELINES, Backtest
from alloop.savings import (
    SHARES,
    Band,
    Curve,
    Estimate,
    Saving,
    estimate,
    height_difference,
    mean_curve,
    saving,
    verdict,
)

__all__ = ["Finding", "bands", "conclude", "find"]

Quality = Callable[[Point], float]
Savings = Mapping[str, Saving]
"""By share of the budget in per cent: "50", "75", "100"."""


@dataclass(frozen=True)
class Finding:
    """One strategy in numbers.

    Attributes:
        runs: its walks, in order of run and seed.
        over_random, over_dedup: what it saved against the baselines, by accuracy.
        recall_over_random: the same against random, by macro recall.
        height, recall_height: points that its mean curve lies above random's.
        select_s: seconds that choosing a batch took, in the mean.
        unclear: for each cycle the share of the batch that was called unclear, in the mean.
    """

    strategy: str
    runs: tuple[tuple[Arm, tuple[Point, ...]], ...]
    over_random: Savings
    over_dedup: Savings
    recall_over_random: Savings
    height: Estimate
    recall_height: Estimate
    select_s: float
    unclear: tuple[float, ...]


def find(backtest: Backtest) -> tuple[Finding, ...]:
    """A finding for every strategy, the baselines first."""
    random, dedup = (_reference(backtest, name, _accuracy) for name in BASELINES)
    recall = _reference(backtest, "random", _recall)
    return tuple(_find(backtest, name, random, dedup, recall) for name in backtest.plan.names)


def _accuracy(point: Point) -> float:
    return point.accuracy


def _recall(point: Point) -> float:
    return point.macro_recall


def _curve(points: Sequence[Point], quality: Quality) -> Curve:
    return Curve(tuple(point.n for point in points), tuple(quality(point) for point in points))


def _reference(backtest: Backtest, name: str, quality: Quality) -> dict[int, Curve]:
    """{seed: the mean of the baseline's runs from that seed's start}."""
    runs = {
        seed: [
            _curve(points, quality)
            for arm, points in backtest.points.items()
            if (arm.strategy, arm.seed) == (name, seed)
        ]
        for seed in range(backtest.plan.seeds)
    }
    return {seed: mean_curve(curves) for seed, curves in runs.items()}


def _find(
    backtest: Backtest, name: str, random: Mapping[int, Curve], dedup: Mapping[int, Curve], recall: Mapping[int, Curve]
) -> Finding:
    runs = tuple((arm, points) for arm, points in backtest.points.items() if arm.strategy == name)
    first = [(arm, points) for arm, points in runs if arm.run == 0]
    accuracy = {arm.seed: _curve(points, _accuracy) for arm, points in first}
    recalls = {arm.seed: _curve(points, _recall) for arm, points in first}
    later = [point for _, points in runs for point in points[1:]]
    return Finding(
        strategy=name,
        runs=runs,
        over_random=_savings(accuracy, random),
        over_dedup=_savings(accuracy, dedup),
        recall_over_random=_savings(recalls, recall),
        height=height_difference(accuracy, random),
        recall_height=height_difference(recalls, recall),
        select_s=float(np.mean([point.select_s for point in later])),
        unclear=tuple(np.mean([[point.unclear_share for point in points] for _, points in runs], axis=0).tolist()),
    )


def _savings(curves: Mapping[int, Curve], reference: Mapping[int, Curve]) -> Savings:
    return {f"{100 * share:.0f}": saving(curves, reference, share=share) for share in SHARES}


def conclude(backtest: Backtest, findings: Sequence[Finding]) -> str:
    """What a backtest comes to, in one sentence."""
    others = [finding for finding in findings if finding.strategy not in BASELINES]
    return verdict(
        {finding.strategy: finding.over_random["100"] for finding in others},
        {finding.strategy: finding.over_dedup["100"] for finding in others},
        {finding.strategy: finding.height for finding in others},
        dataset=backtest.dataset,
    )


def bands(findings: Sequence[Finding]) -> tuple[Band, ...]:
    """The accuracy of every strategy over answers, for a figure."""
    return tuple(_band(finding) for finding in findings)


def _band(finding: Finding) -> Band:
    runs = [points for arm, points in finding.runs if arm.run == 0]
    middle = [estimate([100 * points[place].accuracy for points in runs]) for place in range(len(runs[0]))]
    return Band(
        finding.strategy,
        n=tuple(point.n for point in runs[0]),
        mean=tuple(found.mean for found in middle),
        low=tuple(found.interval[0] if found.interval else found.mean for found in middle),
        high=tuple(found.interval[1] if found.interval else found.mean for found in middle),
    )
