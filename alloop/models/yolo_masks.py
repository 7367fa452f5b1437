"""From a segmenter's mask coefficients to outlines, and how doubtful each mask is."""

import numpy as np
from numpy.typing import NDArray

from alloop.models.yolo_letterbox import Placement
from alloop.nouns import Floats, Polygon

__all__ = ["outline"]

SURE, POSSIBLE = np.log(3.0), -np.log(3.0)
"""Logits of the probabilities 0.75 and 0.25: between them a mask's pixel is doubtful."""
STRAY_PX = 1.0
"""How far an outline may stray, in pixels of the square, for fewer corners."""


def outline(
    coefficients: Floats, prototypes: Floats, boxes: Floats, *, size: int, place: Placement
) -> tuple[tuple[Polygon, ...], Floats]:
    """Outlines in pixels of the upright original, and doubts (B,) float32, of B masks in a square of `size` pixels.

    Of a mask in pieces the largest is outlined; of one that is empty or a line, its box. A doubt is the share of the
    possible mask's pixels (probability above 0.25) that are not sure ones (above 0.75), 1 where nothing is possible.

    Args:
        coefficients: (B, K).
        prototypes: (K, H, W).
        boxes: (B, 4) corners in pixels of the square; nothing outside belongs to the mask.
        size: the square's side.
        place: where the image lies in the square.
    """
    polygons: list[Polygon] = []
    doubts = np.ones(len(boxes), dtype=np.float32)
    zoom = size / prototypes.shape[2]
    limits = np.array(prototypes.shape[:0:-1] * 2)
    for number, (weights, box) in enumerate(zip(coefficients, boxes, strict=True)):
        x0, y0, x1, y1 = np.clip(_whole(box / zoom), 0, limits).tolist()
        logits = np.tensordot(weights, prototypes[:, y0:y1, x0:x1], axes=1).astype(np.float32)
        doubts[number] = _doubt(logits)
        points = _largest(logits, box, origin=(x0 * zoom, y0 * zoom), zoom=zoom)
        polygons.append(_round(place.back(points)))
    return tuple(polygons), doubts


def _whole(box: Floats) -> NDArray[np.int64]:
    return np.concatenate([np.floor(box[:2]), np.ceil(box[2:])]).astype(np.int64)


def _doubt(logits: Floats) -> float:
    possible = np.count_nonzero(logits > POSSIBLE)
    return 1 - np.count_nonzero(logits > SURE) / possible if possible else 1.0


def _largest(logits: Floats, box: Floats, *, origin: tuple[float, float], zoom: float) -> Floats:
    """The corners (P, 2) of the largest piece in pixels of the square, or of the box."""
    import cv2

    x0, y0, x1, y1 = (float(side) for side in box)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float32)
    if not logits.size:
        return corners
    shape = (round(logits.shape[1] * zoom), round(logits.shape[0] * zoom))
    mask = (cv2.resize(logits, shape, interpolation=cv2.INTER_LINEAR) > 0).astype(np.uint8)
    pieces, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not pieces:
        return corners
    piece = cv2.approxPolyDP(max(pieces, key=cv2.contourArea), STRAY_PX, True)[:, 0].astype(np.float32)
    points = piece + np.array(origin, dtype=np.float32) + 0.5  # contours run through the middles of pixels
    inside: Floats = np.clip(points, corners[0], corners[2])
    return inside if len(inside) >= 3 else corners


def _round(points: Floats) -> Polygon:
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in points)
