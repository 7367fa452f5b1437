"""Boxes and outlines as they come from files, made to fit their image."""

import math
from collections.abc import Iterable
from dataclasses import replace

from alloop.errors import BadLabel
from alloop.nouns import Box, Content, Polygon

__all__ = ["SLACK_PX", "agree", "around", "fitted", "told"]

SLACK_PX = 1.0
"""What sticks out of its image by no more is cut off, since tools round and count pixels from 0 or from 1; what sticks
out further was drawn on another image."""
SAME_PX = 0.01
"""Corners that are nearer are equal: YOLO files round."""


def fitted(boxes: Iterable[tuple[str, Box]], width: int, height: int) -> Content:
    """The label made of (where it is written, box), cut to an image of width x height pixels.

    Raises:
        BadLabel: a box is no box, has no area, or reaches out of the image by more than `SLACK_PX`.
    """
    return Content(boxes=tuple(_fit(box, where, width, height) for where, box in boxes))


def _fit(box: Box, where: str, width: int, height: int) -> Box:
    points = ((box.x0, box.y0), (box.x1, box.y1), *box.polygon)
    if not all(math.isfinite(value) for point in points for value in point):
        raise BadLabel(f"{where} has a coordinate that is not a finite number; mend it")
    out = max(max(-x, x - width, -y, y - height) for x, y in points)
    if out > SLACK_PX:
        raise BadLabel(f"{where} reaches {out:.1f} px out of the image of {width} x {height} pixels; mend it")
    x0, x1 = _clip(box.x0, width), _clip(box.x1, width)
    y0, y1 = _clip(box.y0, height), _clip(box.y1, height)
    if x1 <= x0 or y1 <= y0:
        raise BadLabel(f"{where} has no area, from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}); mend or remove it")
    polygon = tuple((_clip(x, width), _clip(y, height)) for x, y in box.polygon)
    return replace(box, x0=x0, y0=y0, x1=x1, y1=y1, polygon=polygon)


def _clip(value: float, size: int) -> float:
    return min(max(float(value), 0.0), float(size))


def around(polygon: Polygon, class_name: str) -> Box:
    """The smallest box around an outline, with the outline."""
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    return Box(class_name, min(xs), min(ys), max(xs), max(ys), polygon)


def agree(one: Content, other: Content) -> bool:
    """Whether two labels say the same, to `SAME_PX`; the order of boxes counts."""
    if one.class_name != other.class_name or len(one.boxes) != len(other.boxes):
        return False
    return all(_same(a, b) for a, b in zip(one.boxes, other.boxes, strict=True))


def _same(one: Box, other: Box) -> bool:
    if one.class_name != other.class_name or len(one.polygon) != len(other.polygon):
        return False
    return all(abs(a - b) <= SAME_PX for a, b in zip(_values(one), _values(other), strict=True))


def _values(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1, *(value for point in box.polygon for value in point)]


def told(content: Content | None) -> str:
    """A label in a few words."""
    if content is None or content.class_name is not None:
        return repr(content.class_name if content else None)
    shown = [f"{box.class_name} {box.x0:.4g},{box.y0:.4g}-{box.x1:.4g},{box.y1:.4g}" for box in content.boxes[:3]]
    more = f" and {len(content.boxes) - 3} more" if len(content.boxes) > 3 else ""
    return f"[{'; '.join(shown)}{more}]"
