"""What a second opinion says about a detector's boxes: another detector, its own mirrored view, or a model of masks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alloop.acquisition.box_disagreement import MaskBoxes, boxes_apart, calibrate_quality, masks_apart
from alloop.errors import ConfigError
from alloop.images import read_image
from alloop.models.base import DetectionModel, Masks, Model
from alloop.nouns import Detections, Evidence, ModelVersion, Sample
from alloop.pieces import in_pieces
from alloop.workspace import Workspace

__all__ = ["Doubted", "masks_apart_from", "mirrored_apart", "require_opinions", "rivals_apart"]

Doubted = tuple[float, tuple[Evidence, ...]]
"""How far the opinions about an image are apart, and where in it."""


def rivals_apart(ws: Workspace, members: Sequence[ModelVersion], samples: Sequence[Sample]) -> list[Doubted]:
    """The first member against each of the others, on average."""
    champion, *rivals = (_detections(ws, version, samples) for version in members)
    pairs = [[boxes_apart(one, other) for one, other in zip(champion, rival, strict=True)] for rival in rivals]
    return [_mean(opinions) for opinions in zip(*pairs, strict=True)]


def _mean(opinions: Sequence[Doubted]) -> Doubted:
    """The mean score, and the evidence of all, whose weights sum to it."""
    each = 1 / len(opinions)
    places = [replace(place, weight=place.weight * each) for _, evidence in opinions for place in evidence]
    return sum(score for score, _ in opinions) * each, tuple(sorted(places, key=lambda place: -place.weight))


def _detections(ws: Workspace, version: ModelVersion, samples: Sequence[Sample]) -> list[Detections]:
    model = ws.model(version)
    return [_placed(seen) for some in in_pieces(samples) for seen in model.predict(some).detections]


def _placed(seen: Detections) -> Detections:
    """Without boxes that lie nowhere, which a model of the user's own may give: they have no overlap, and no evidence."""
    sound = np.isfinite(np.column_stack([seen.boxes, seen.class_scores])).all(axis=1)
    return seen if sound.all() else Detections(seen.boxes[sound], seen.class_scores[sound], seen.best)


def mirrored_apart(ws: Workspace, version: ModelVersion, samples: Sequence[Sample]) -> list[Doubted]:
    """A detector against itself on the same images flipped left to right."""
    model = _looking_twice(ws.model(version), ws.config.committee.kind)
    found = list[Doubted]()
    for some in in_pieces(samples):
        views = zip(model.predict(some).detections, model.predict_mirrored(some).detections, strict=True)
        found += [boxes_apart(_placed(one), _placed(other)) for one, other in views]
        ws.progress("comparing two views", len(found), len(samples))
    return found


def masks_apart_from(ws: Workspace, version: ModelVersion, samples: Sequence[Sample]) -> list[Doubted]:
    """A detector against the masks that `[committee]` draws for its boxes and, if asked to, without being asked.

    How well the mask model thinks of its masks is compared with what is usual among these samples.
    """
    seen, model, unasked = _detections(ws, version, samples), ws.mask_model(), ws.config.committee.propose
    fitted, proposed = list[MaskBoxes](), list[MaskBoxes | None]()
    for sample, boxes in zip(samples, seen, strict=True):
        image = np.asarray(read_image(sample.uri))
        fitted.append(_around(model.masks_of(image, boxes.boxes)))
        proposed.append(_around(model.propose(image)) if unasked else None)
        ws.progress("asking for masks", len(fitted), len(samples))
    usual = calibrate_quality(np.concatenate([masks.quality for masks in fitted]))
    ends = np.cumsum([len(masks.quality) for masks in fitted])[:-1]
    return [
        masks_apart(boxes, replace(masks, quality=quality), proposed=others)
        for boxes, masks, quality, others in zip(seen, fitted, np.split(usual, ends), proposed, strict=True)
    ]


def _around(found: Masks) -> MaskBoxes:
    return MaskBoxes.around(found.masks, found.quality, found.stability)


def require_opinions(ws: Workspace) -> None:
    """ConfigError or MissingExtra when the second opinion that `[committee]` names cannot be asked."""
    if ws.config.committee.kind == "views":
        _looking_twice(ws.new_model(), ws.config.committee.kind)
    elif ws.config.committee.kind != "models":
        ws.mask_model()


def _looking_twice(model: Model, kind: str) -> DetectionModel:
    if isinstance(model, DetectionModel):
        return model
    raise ConfigError(
        f"a {type(model).__name__} cannot look at mirrored images, which [committee] kind '{kind}' "
        "needs; give it predict_mirrored, or set kind to models"
    )
