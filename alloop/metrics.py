"""How good a model is on the holdout: one face for classes, boxes and masks.

Per-sample results are kept as a file, so that any later comparison needs no model. `interval` and `lift` treat the
results of every task alike; they are those of `alloop.resampling`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alloop import average_precision
from alloop.average_precision import DetectionResults
from alloop.errors import BadLabel
from alloop.matching import Matching, match
from alloop.nouns import Floats, Integers, Predictions, Task, TrainingLabel
from alloop.resampling import METRIC_NAMES, Measure, Results, group_numbers, interval, lift
from alloop.whole_files import appearing

__all__ = [
    "METRIC_NAMES",
    "ClassResults",
    "DetectionResults",
    "Results",
    "interval",
    "judge",
    "lift",
    "macro_recall",
    "only",
    "read_results",
    "results",
    "should_promote",
    "write_results",
]


@dataclass(frozen=True, eq=False)
class GroupMean:
    """The mean of values (N,), which are drawn again by their groups (N,)."""

    values: Floats
    groups: Integers

    @property
    def share(self) -> float:
        """The mean of all."""
        return float(self.values.mean(dtype=np.float64))

    def resampled(self, draws: Integers) -> Floats:
        """The means in each draw."""
        sizes = np.bincount(self.groups).astype(np.float64)
        sums = np.bincount(self.groups, weights=self.values)
        return np.asarray(sums[draws].sum(axis=1) / sizes[draws].sum(axis=1), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ClassResults:
    """A classifier's answers on N holdout samples: ids, groups (N,) int64, truth and predicted class (N,) int64."""

    ids: tuple[str, ...]
    groups: Integers
    truth: Integers
    predicted: Integers

    metric = METRIC_NAMES[Task.CLASSIFY]
    resamples = 2000

    @property
    def correct(self) -> Floats:
        """(N,) float32: 1 where the model is right."""
        return np.asarray(self.truth == self.predicted, dtype=np.float32)

    @property
    def measure(self) -> Measure:
        """The share of right answers."""
        return GroupMean(self.correct, self.groups)

    def gain_on(self, before: "ClassResults") -> Measure:
        """By how much that share is greater than another model's."""
        return GroupMean(self.correct - before.correct, self.groups)

    def doubted(self, low: float, high: float) -> tuple[float, float]:
        """Without a single exception among the groups the rule of three gives the doubt (Hanley & Lippman-Hand 1983)."""
        mean, groups = self.measure.share, int(self.groups.max()) + 1
        if mean in (0.0, 1.0):
            doubt = min(1.0, 3 / groups)
            return min(low, 1 - doubt) if mean else 0.0, 1.0 if mean else doubt
        return low, high

    def tally(self) -> tuple[Integers, Integers]:
        """For each class, on how many of its samples the model is right, and how many there are."""
        sizes = np.bincount(self.truth)
        return np.bincount(self.truth[self.truth == self.predicted], minlength=len(sizes)), sizes

    def table(self) -> Any:
        """One row per sample."""
        return pa.table({"id": self.ids, "group": self.groups, "truth": self.truth, "predicted": self.predicted})


def judge(
    holdout: Sequence[TrainingLabel], predictions: Predictions, labels: Sequence[str], *, task: Task
) -> ClassResults | DetectionResults:
    """The per-sample results of a model of any task; BadLabel when the holdout has a class outside the label set."""
    if task is Task.CLASSIFY:
        return results(holdout, predictions, labels)
    return match(holdout, predictions.detections, Matching(tuple(labels), task))


def results(holdout: Sequence[TrainingLabel], predictions: Predictions, labels: Sequence[str]) -> ClassResults:
    """The per-sample results of a classifier; BadLabel when the holdout has a class outside the label set."""
    column = {name: index for index, name in enumerate(labels)}
    for item in holdout:
        if item.content.class_name not in column:
            raise BadLabel(
                f"holdout sample {item.sample.uri} is labelled '{item.content.class_name}', which is not in the label "
                f"set {', '.join(labels)}; mend the manifest"
            )
    return ClassResults(
        ids=tuple(item.sample.id for item in holdout),
        groups=group_numbers(holdout),
        truth=np.array([column[str(item.content.class_name)] for item in holdout], dtype=np.int64),
        predicted=predictions.probabilities.argmax(axis=1).astype(np.int64),
    )


def macro_recall(of: Results) -> float:
    """The mean over the classes of the holdout of the share of each that the model is right on, or finds; 0 of none."""
    right, sizes = of.tally()
    seen = sizes > 0
    return float((right[seen] / sizes[seen]).mean()) if seen.any() else 0.0


def should_promote(challenger_points: float, champion_points: float | None, *, tolerance_points: float) -> bool:
    """Whether the challenger becomes champion: unless it is worse by more than the tolerance."""
    return champion_points is None or challenger_points >= champion_points - tolerance_points


def only(of: Results, ids: Collection[str]) -> Results:
    """What a model answered on these samples alone; the very same results where that is all of them."""
    wanted = frozenset(ids)
    kept = np.array([key in wanted for key in of.ids], dtype=bool)
    if kept.all():
        return of
    names = tuple(key for key in of.ids if key in wanted)
    groups = np.unique(of.groups[kept], return_inverse=True)[1].astype(np.int64)
    if isinstance(of, ClassResults):
        return replace(of, ids=names, groups=groups, truth=of.truth[kept], predicted=of.predicted[kept])
    if not isinstance(of, DetectionResults):
        raise TypeError(f"results of {type(of).__name__} cannot be told apart by sample; use those of this module")
    seen, place = kept[of.image], np.cumsum(kept) - 1
    return replace(
        of,
        ids=names,
        groups=groups,
        targets=of.targets[kept],
        image=place[of.image[seen]],
        class_index=of.class_index[seen],
        confidence=of.confidence[seen],
        hits=of.hits[seen],
    )


def write_results(of: Results, path: Path) -> None:
    """Keep per-sample results as Parquet; the file is there whole or not at all."""
    with appearing(path) as fresh:
        pq.write_table(of.table(), fresh)


def read_results(path: Path) -> ClassResults | DetectionResults:
    """The per-sample results in `path`, of the task that they were written for."""
    table = pq.read_table(path)
    if average_precision.is_of_detections(table):
        return average_precision.from_table(table)
    return ClassResults(
        ids=tuple(table["id"].to_pylist()),
        groups=table["group"].to_numpy(),
        truth=table["truth"].to_numpy(),
        predicted=table["predicted"].to_numpy(),
    )
