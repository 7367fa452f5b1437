"""What the champion would answer, as annotators are shown it; never training data."""

from collections.abc import Mapping, Sequence

from alloop.models.base import Model
from alloop.nouns import Box, Content, Detections, ModelVersion, Prelabel, Sample, Task
from alloop.scoring import Shortlist
from alloop.workspace import Workspace

__all__ = ["prelabels_of", "propose"]

PIECE = 256
"""Images whose boxes are in memory at once."""


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
    for start in range(0, len(samples), PIECE):
        some = samples[start : start + PIECE]
        answers = _answers(model, some, sure=ws.config.model.prelabel_confidence)
        found |= {x.id: Prelabel(version.name, *answer) for x, answer in zip(some, answers, strict=True)}
    return found


def _answers(model: Model, samples: Sequence[Sample], *, sure: float) -> Sequence[tuple[Content, float]]:
    seen = model.predict(samples)
    if model.task is not Task.CLASSIFY:
        return [_boxes(one, model.labels, sure=sure) for one in seen.detections]
    return [(Content(model.labels[int(row.argmax())]), float(row.max())) for row in seen.probabilities]


def _boxes(seen: Detections, labels: Sequence[str], *, sure: float) -> tuple[Content, float]:
    """The boxes that the detector is sure of, and how sure it is of them on average: of nothing, if there are none."""
    shown = [place for place in range(len(seen)) if seen.confidence[place] >= sure]
    boxes = tuple(_box(seen, place, labels) for place in shown)
    confidence = float(seen.confidence[shown].mean()) if shown else 1 - seen.best
    return Content(boxes=boxes), confidence


def _box(seen: Detections, place: int, labels: Sequence[str]) -> Box:
    x0, y0, x1, y1 = (float(edge) for edge in seen.boxes[place])
    polygon = seen.polygons[place] if seen.polygons else ()
    return Box(labels[int(seen.class_scores[place].argmax())], x0, y0, x1, y1, polygon)
