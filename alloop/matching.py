"""Which detections found which objects: COCO's greedy matching, image by image and class by class.

The surest detection chooses first: the object of its class with which it overlaps most, of those that are still free and
overlap enough. At each of the ten overlaps the choice begins anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alloop.average_precision import IOUS, DetectionResults, ranked
from alloop.errors import BadLabel
from alloop.nouns import Box, Detections, Floats, Integers, Task, TrainingLabel
from alloop.overlaps import Shapes, overlaps_of, shapes_of
from alloop.resampling import group_numbers

__all__ = ["Matching", "match"]


@dataclass(frozen=True)
class Matching:
    """How detections are judged: by which label set, boxes or masks, and how many of one class in one image (COCO: 100)."""

    labels: tuple[str, ...]
    task: Task = Task.DETECT
    most: int = 100


@dataclass(frozen=True, eq=False)
class _Matched:
    """The detections of one image, the surest first, and the objects (C,) that there are."""

    class_index: Integers
    confidence: Floats
    hits: NDArray[np.bool_]
    targets: Integers


def match(holdout: Sequence[TrainingLabel], detections: Sequence[Detections], how: Matching) -> DetectionResults:
    """What became of the detections in each holdout sample; BadLabel for an object of a class outside the label set.

    A detection is of its best class. For the task segment two objects overlap as their outlines do; a box without an
    outline stands for itself. The order of samples, of boxes and of detections makes no difference.
    """
    if len(holdout) != len(detections):
        raise ValueError(f"{len(holdout)} holdout samples, but detections in {len(detections)}; predict every sample")
    _check_classes(holdout, how.labels)
    pairs = sorted(zip(holdout, detections, strict=True), key=lambda pair: pair[0].sample.id)
    images = [_match_image(label.content.boxes, found, how) for label, found in pairs]
    class_index = np.concatenate([one.class_index for one in images])
    confidence = np.concatenate([one.confidence for one in images])
    order = ranked(class_index, confidence)
    return DetectionResults(
        task=how.task,
        labels=how.labels,
        ids=tuple(label.sample.id for label, _ in pairs),
        groups=group_numbers([label for label, _ in pairs]),
        targets=np.stack([one.targets for one in images]),
        image=np.repeat(np.arange(len(images)), [len(one.class_index) for one in images])[order],
        class_index=class_index[order],
        confidence=confidence[order],
        hits=np.concatenate([one.hits for one in images])[order],
    )


def _check_classes(holdout: Sequence[TrainingLabel], labels: Sequence[str]) -> None:
    for item in holdout:
        for box in item.content.boxes:
            if box.class_name not in labels:
                raise BadLabel(
                    f"holdout sample {item.sample.uri} has a box labelled '{box.class_name}', which is not in the label "
                    f"set {', '.join(labels)}; mend the manifest"
                )


def _match_image(truth: Sequence[Box], found: Detections, how: Matching) -> _Matched:
    boxes = sorted(truth, key=lambda box: (box.class_name, box.x0, box.y0, box.x1, box.y1, box.polygon))
    of_boxes = np.array([how.labels.index(box.class_name) for box in boxes], dtype=np.int64)
    of_found = found.class_scores.argmax(axis=1) if len(found) else np.empty(0, np.int64)
    rows = _surest(found, of_found, how.most)
    overlaps = overlaps_of(_shapes(found, rows), shapes_of(boxes), task=how.task)
    overlaps[of_found[rows][:, None] != of_boxes] = 0
    return _Matched(
        class_index=of_found[rows],
        confidence=found.confidence[rows],
        hits=_greedy(overlaps),
        targets=np.bincount(of_boxes, minlength=len(how.labels)),
    )


def _surest(found: Detections, class_index: Integers, most: int) -> Integers:
    """Rows of the detections, the surest first (ties by place, so that their order is none), `most` of each class."""
    order = np.lexsort((*found.boxes.reshape(-1, 4).T, class_index, -found.confidence))
    kept = [order[class_index[order] == column][:most] for column in np.unique(class_index)]
    chosen = np.zeros(len(found), dtype=bool)
    chosen[np.concatenate(kept) if kept else []] = True
    return order[chosen[order]]


def _shapes(found: Detections, rows: Integers) -> Shapes:
    polygons = tuple(found.polygons[row] if found.polygons else () for row in rows)
    return Shapes(found.boxes[rows].astype(np.float64).reshape(-1, 4), polygons)


def _greedy(overlaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(B, 10): which of B detections, the surest first, find one of T objects at each of IOUS; overlaps (B, T)."""
    hits = np.zeros((len(overlaps), len(IOUS)), dtype=bool)
    free = np.ones((len(IOUS), overlaps.shape[1]), dtype=bool)
    levels = np.arange(len(IOUS))
    for row in np.flatnonzero((overlaps >= IOUS[0]).any(axis=1)):
        reach = np.where(free & (overlaps[row] >= IOUS[:, None]), overlaps[row], 0.0)
        best = reach.argmax(axis=1)
        hits[row] = reach[levels, best] > 0
        free[levels, best] &= ~hits[row]
    return hits
