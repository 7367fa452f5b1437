"""What the champion would answer, as annotators are shown it; never training data."""

from collections.abc import Mapping, Sequence

import numpy as np

from alloop.models.base import Model
from alloop.nouns import Box, Content, Detections, ModelVersion, Polygon, Prelabel, Sample, Task
from alloop.pieces import in_pieces
from alloop.scoring import Shortlist
from alloop.workspace import Workspace

__all__ = ["prelabels_of", "propose"]


def propose(
    ws: Workspace, champion: ModelVersion | None, samples: Sequence[Sample], rows: Shortlist
) -> Mapping[str, Prelabel]:
    """{sample id: pre-label} of samples and their rows; a classifier's stand in the scores, a detector is asked again."""
    if champion is None:
        return {}
    if ws.config.project.task is not Task.CLASSIFY:
        return prelabels_of(ws, champion, samples)
    names = ws.config.project.labels
    return {
        sample.id: Prelabel(champion.name, Content(names[top]), float(sure))
        for sample, top, sure in zip(samples, rows.top_class, rows.p1, strict=True)
    }


def prelabels_of(ws: Workspace, version: ModelVersion, samples: Sequence[Sample]) -> Mapping[str, Prelabel]:
    """{sample id: pre-label} of any samples by a model; BadImage when one cannot be read."""
    model, found = ws.model(version), dict[str, Prelabel]()
    for some in in_pieces(samples):
        answers = _answers(ws, model, some)
        found |= {x.id: Prelabel(version.name, *answer) for x, answer in zip(some, answers, strict=True)}
    return found


def _answers(ws: Workspace, model: Model, samples: Sequence[Sample]) -> Sequence[tuple[Content, float]]:
    seen = model.predict(samples)
    if model.task is Task.CLASSIFY:
        return [(Content(model.labels[int(row.argmax())]), float(row.max())) for row in seen.probabilities]
    sure, sizes = ws.config.model.prelabel_confidence, ws.ledger.samples.sizes(seen.ids)
    return [
        _boxes(one, model.labels, sure=sure, size=sizes[key])
        for key, one in zip(seen.ids, seen.detections, strict=True)
    ]


def _boxes(seen: Detections, labels: Sequence[str], *, sure: float, size: tuple[int, int]) -> tuple[Content, float]:
    """The boxes that the detector is sure of, and how sure it is of them on average: of nothing, if there are none."""
    scores = seen.confidence
    found = [
        (place, _box(seen, place, labels, size)) for place in np.flatnonzero((scores >= sure) & (scores <= 1)).tolist()
    ]
    shown = [(place, box) for place, box in found if box.x0 < box.x1 and box.y0 < box.y1]
    if shown:
        return Content(boxes=tuple(box for _, box in shown)), float(np.mean([scores[place] for place, _ in shown]))
    best = max(seen.best, float(scores.max(initial=0)))
    return Content(), 1 - best if 0 <= best <= 1 else 0.0


def _box(seen: Detections, place: int, labels: Sequence[str], size: tuple[int, int]) -> Box:
    """A box cut to its image of (width, height) pixels, since tools refuse others: without area where it is none."""
    x0, y0, x1, y1 = np.clip(seen.boxes[place].astype(np.float64), 0, (*size, *size)).tolist()
    polygon = _outline(seen.polygons[place], size) if seen.polygons else ()
    return Box(labels[int(seen.class_scores[place].argmax())], x0, y0, x1, y1, polygon)


def _outline(polygon: Polygon, size: tuple[int, int]) -> Polygon:
    """The outline cut to the image; none where nothing is inside it."""
    points = np.clip(np.array(polygon, dtype=np.float64).reshape(-1, 2), 0, size)
    following = np.roll(points, -1, axis=0)
    doubled_area = points[:, 0] @ following[:, 1] - points[:, 1] @ following[:, 0]
    return tuple((x, y) for x, y in points.tolist()) if len(points) >= 3 and abs(doubled_area) > 0 else ()
