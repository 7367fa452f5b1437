"""COCO's evaluation written out, slow and plain, after the definition at cocodataset.org: detections of one image and class
are matched one by one, and all images of a class make one curve. Nothing here is shared with alloop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    """For each image its objects (class, corners) and detections (class, confidence, corners)."""

    truth: Sequence[Sequence[tuple[int, Corners]]]
    found: Sequence[Sequence[tuple[int, float, Corners]]]

    @property
    def has_objects(self) -> bool:
        return any(self.truth)


def evaluate(scene: Scene, *, classes: int, most: int) -> np.ndarray:
    """(10, classes) average precision, 0 to 1."""
    return np.array([[_class(scene, c, 0.5 + 0.05 * k, most) for c in range(classes)] for k in range(10)])


def _class(scene: Scene, of: int, threshold: float, most: int) -> float:
    rows: list[tuple[float, bool]] = []
    objects = 0
    for truth, found in zip(scene.truth, scene.found, strict=True):
        boxes = [corners for c, corners in truth if c == of]
        answers = sorted([(sure, corners) for c, sure, corners in found if c == of], key=lambda a: -a[0])[:most]
        rows += _image(boxes, answers, threshold)
        objects += len(boxes)
    rows.sort(key=lambda row: -row[0])
    curve, hits = [], 0
    for place, (_, hit) in enumerate(rows, start=1):
        hits += hit
        curve.append((hits / objects, hits / place))
    best = [max((p for r, p in curve if r >= wanted), default=0.0) for wanted in np.linspace(0, 1, 101)]
    return sum(best) / 101


def _image(boxes: list[Corners], answers: list[tuple[float, Corners]], threshold: float) -> list[tuple[float, bool]]:
    taken: set[int] = set()
    rows = []
    for sure, corners in answers:
        match, least = -1, threshold - 1e-10
        for place, box in enumerate(boxes):
            if place not in taken and _iou(corners, box) >= least:
                match, least = place, _iou(corners, box)
        if match >= 0:
            taken.add(match)
        rows.append((sure, match >= 0))
    return rows


def _iou(a: Corners, b: Corners) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, across) * max(0.0, down)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
