"""How good a model is on the holdout, and how sure one can be of it.

Per-sample results are kept as a file, so that any later comparison needs no model. Intervals come from a bootstrap
that resamples groups: the frames of one clip are one piece of evidence, not many (Field & Welsh 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alloop.errors import BadLabel
from alloop.nouns import Floats, Integers, Lift, Predictions, TrainingLabel

__all__ = [
    "Results",
    "accuracy",
    "lift",
    "macro_recall",
    "read_results",
    "results",
    "should_promote",
    "write_results",
]

RESAMPLES = 2000
BLOCK = 200
"""Resamples drawn at once: 200 x 10,000 groups are 16 MB."""


@dataclass(frozen=True, eq=False)
class Results:
    """A model's answers on N holdout samples: ids, groups (N,) int64, truth and predicted class (N,) int64."""

    ids: tuple[str, ...]
    groups: Integers
    truth: Integers
    predicted: Integers

    @property
    def correct(self) -> Floats:
        """(N,) float32: 1 where the model is right."""
        return np.asarray(self.truth == self.predicted, dtype=np.float32)


def results(holdout: Sequence[TrainingLabel], predictions: Predictions, labels: Sequence[str]) -> Results:
    """The per-sample results of a classifier; BadLabel when the holdout has a class outside the label set."""
    column = {name: index for index, name in enumerate(labels)}
    for item in holdout:
        if item.content.class_name not in column:
            raise BadLabel(
                f"holdout sample {item.sample.uri} is labelled '{item.content.class_name}', which is not in the label "
                f"set {', '.join(labels)}; mend the manifest"
            )
    return Results(
        ids=tuple(item.sample.id for item in holdout),
        groups=_group_numbers(holdout),
        truth=np.array([column[str(item.content.class_name)] for item in holdout], dtype=np.int64),
        predicted=predictions.probabilities.argmax(axis=1).astype(np.int64),
    )


def _group_numbers(holdout: Sequence[TrainingLabel]) -> Integers:
    names = [f"group {item.sample.group}" if item.sample.group else f"sample {item.sample.id}" for item in holdout]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def accuracy(of: Results, rng: np.random.Generator) -> tuple[float, float, float]:
    """(points, low, high): accuracy in points with its 95 % bootstrap interval."""
    means = _resampled_means(of.correct, of.groups, rng)
    low, high = (float(edge) for edge in np.percentile(means, [2.5, 97.5]))
    mean, groups = float(of.correct.mean(dtype=np.float64)), int(of.groups.max()) + 1
    if mean in (0.0, 1.0):  # resampling sees no doubt then; the rule of three does (Hanley & Lippman-Hand 1983)
        doubt = min(1.0, 3 / groups)
        low, high = min(low, 1 - doubt) if mean else 0.0, 1.0 if mean else doubt
    return 100 * mean, 100 * low, 100 * high


def macro_recall(of: Results) -> float:
    """The mean over the classes of the holdout of the share of each that the model is right on."""
    sizes = np.bincount(of.truth)
    right = np.bincount(of.truth, weights=of.correct)
    return float((right[sizes > 0] / sizes[sizes > 0]).mean())


def lift(now: Results, before: Results, rng: np.random.Generator, *, seed_sd_points: float) -> Lift:
    """Points from `before` to `now` on the same samples, with a 95 % interval.

    The interval is a paired bootstrap over groups, widened by the noise of training: each of the two models is
    one draw of a training seed, whose standard deviation is `seed_sd_points`.
    """
    if now.ids != before.ids:
        raise ValueError("the two results are of different holdouts; a frozen holdout never changes")
    gain = now.correct - before.correct
    means = 100 * _resampled_means(gain, now.groups, rng)
    means += rng.normal(0.0, np.sqrt(2.0) * seed_sd_points, size=RESAMPLES)
    low, high = np.percentile(means, [2.5, 97.5])
    return Lift(100 * float(gain.mean(dtype=np.float64)), float(low), float(high))


def _resampled_means(values: Floats, groups: Integers, rng: np.random.Generator) -> Floats:
    """(RESAMPLES,) means of `values` (N,) when whole groups (N,) are drawn with replacement."""
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.bincount(groups, weights=values)
    blocks = [rng.integers(len(sizes), size=(BLOCK, len(sizes))) for _ in range(RESAMPLES // BLOCK)]
    means = np.concatenate([sums[draws].sum(axis=1) / sizes[draws].sum(axis=1) for draws in blocks])
    return means.astype(np.float32)


def should_promote(challenger_points: float, champion_points: float | None, *, tolerance_points: float) -> bool:
    """Whether the challenger becomes champion: unless it is worse by more than the tolerance."""
    return champion_points is None or challenger_points >= champion_points - tolerance_points


def write_results(of: Results, path: Path) -> None:
    """Keep per-sample results as Parquet; the file is there whole or not at all."""
    table = pa.table({"id": of.ids, "group": of.groups, "truth": of.truth, "predicted": of.predicted})
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    pq.write_table(table, fresh)
    fresh.replace(path)


def read_results(path: Path) -> Results:
    """The per-sample results in `path`."""
    table = pq.read_table(path)
    return Results(
        ids=tuple(table["id"].to_pylist()),
        groups=table["group"].to_numpy(),
        truth=table["truth"].to_numpy(),
        predicted=table["predicted"].to_numpy(),
    )
