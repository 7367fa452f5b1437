"""How much boxes and outlines overlap: intersection over union (IoU), 0 to 1, of every pair at once.

Outlines are not turned into pixels. A polygon is cut by ROWS evenly spaced lines; between its crossings with a line it is
inside and outside by turns (the even-odd rule). The crossings of two polygons taken together give, by the same rule, the
area that only one of them covers, X, and with it IoU = (A + B - X) / (A + B + X). That is exact across and sampled
downwards, so a small object is measured as finely as a large one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from alloop.nouns import Box, Integers, Polygon, Task

__all__ = ["SAME_OBJECT", "Shapes", "box_overlaps", "overlaps_of", "shapes_of"]

SAME_OBJECT = 0.5
"""The IoU from which two boxes are taken for one object, as in mAP50."""
ROWS = 128
"""Lines through a pair of outlines: an edge that lies flat is off by at most half a line, 0.4 % of the pair's height."""
PLAUSIBLE = 0.4
"""A pair of outlines whose bounds and areas allow no greater IoU is given 0: in crowded images that saves most of the work."""

Reals = NDArray[np.float64]
Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True, eq=False)
class Shapes:
    """B objects: corners (B, 4) float64 x0, y0, x1, y1, and B polygons, () where an object has none."""

    corners: Reals
    polygons: tuple[Polygon, ...]

    @property
    def has_polygon(self) -> NDArray[np.bool_]:
        """(B,): which objects have one."""
        return np.array([bool(polygon) for polygon in self.polygons], dtype=bool)

    @property
    def outlines(self) -> list[Reals]:
        """B outlines (V, 2): the polygon, and the rectangle of the corners where there is none."""
        rectangles = self.corners[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
        return [np.array(polygon or box, np.float64) for polygon, box in zip(self.polygons, rectangles, strict=True)]


def shapes_of(boxes: Sequence[Box]) -> Shapes:
    """The shapes of B labelled or proposed boxes."""
    corners = np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes], dtype=np.float64).reshape(-1, 4)
    return Shapes(corners, tuple(box.polygon for box in boxes))


def overlaps_of(ours: Shapes, theirs: Shapes, *, task: Task) -> Reals:
    """The IoU of A and B objects, (A, B) float64: of their boxes, or for the task segment of their outlines.

    Between outlines it is right within about 0.01, exactly 1 for equal ones, and 0 where it cannot be above PLAUSIBLE. A box
    without a polygon stands for its outline; two such boxes overlap as boxes do. What has no area overlaps nothing.
    """
    of_boxes = box_overlaps(ours.corners[:, None], theirs.corners[None])
    outlined = ours.has_polygon[:, None] | theirs.has_polygon
    if task is not Task.SEGMENT or not outlined.any():
        return of_boxes
    return np.where(outlined, _outline_overlaps(ours.outlines, theirs.outlines), of_boxes)


def box_overlaps(first: NDArray[Real], second: NDArray[Real]) -> NDArray[Real]:
    """The IoU (...) of boxes (..., 4) and (..., 4) that broadcast; what has no area overlaps nothing."""
    both = _common(first, second)
    either = _box_areas(first) + _box_areas(second) - both
    return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))


def _common(first: NDArray[Real], second: NDArray[Real]) -> NDArray[Real]:
    """The areas (...) that boxes share."""
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    return np.asarray(sides.clip(min=0).prod(axis=-1))


def _box_areas(boxes: NDArray[Real]) -> NDArray[Real]:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(axis=-1))


def _outline_overlaps(a: Sequence[Reals], b: Sequence[Reals]) -> Reals:
    """(A, B) of outlines (V, 2)."""
    overlaps = np.zeros((len(a), len(b)))
    edges_a, edges_b = [_edges(outline) for outline in a], [_edges(outline) for outline in b]
    areas_a, areas_b = _areas(edges_a), _areas(edges_b)
    larger = np.maximum(areas_a[:, None], areas_b)
    places = np.nonzero((_common(_bounds(a)[:, None], _bounds(b)[None]) >= PLAUSIBLE * larger) & (larger > 0))
    if len(places[0]):
        together = (areas_a[:, None] + areas_b)[places]
        apart = _areas([np.concatenate([edges_a[i], edges_b[j]]) for i, j in zip(*places, strict=True)])
        overlaps[places] = ((together - apart) / (together + apart)).clip(0, 1)
    return overlaps


def _bounds(outlines: Sequence[Reals]) -> Reals:
    return np.array([[*outline.min(axis=0), *outline.max(axis=0)] for outline in outlines])


def _edges(outline: Reals) -> Reals:
    """(V, 4): from each of V corners to the next, x0, y0, x1, y1."""
    return np.concatenate([outline, np.roll(outline, -1, axis=0)], axis=1)


def _areas(shapes: Sequence[Reals]) -> Reals:
    """(S,): the area that each of S sets of closed edges covers by the even-odd rule, each cut by its own ROWS lines."""
    edges = np.concatenate(shapes)
    shape = np.repeat(np.arange(len(shapes)), [len(one) for one in shapes])
    starts = np.searchsorted(shape, np.arange(len(shapes)))
    low = np.minimum.reduceat(edges[:, 1], starts)
    height = (np.maximum.reduceat(edges[:, 1], starts) - low) / ROWS
    edge, row = _cuts(edges, low[shape], height[shape])
    x0, y0, x1, y1 = edges[edge].T
    owner = shape[edge]
    x = x0 + (low[owner] + (row + 0.5) * height[owner] - y0) * (x1 - x0) / (y1 - y0)
    order = np.lexsort((x, owner * ROWS + row))  # along each line, which closed edges cross an even number of times
    widths = x[order[1::2]] - x[order[::2]]
    return np.bincount(owner[order[::2]], weights=widths, minlength=len(shapes)) * height


def _cuts(edges: Reals, low: Reals, height: Reals) -> tuple[Integers, Integers]:
    """Which edge is cut by which line, (K,) and (K,): lines lie in the middle of rows of `height` from `low` on, (E,) each."""
    tall = np.where(height > 0, height, 1.0)  # what has no height is cut by no line
    ends = np.ceil((edges[:, 1::2] - low[:, None]) / tall[:, None] - 0.5).astype(np.int64)
    first, counts = ends.min(axis=1), np.abs(ends[:, 1] - ends[:, 0])
    edge = np.repeat(np.arange(len(edges)), counts)
    return edge, first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
