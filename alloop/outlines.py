"""From a mask's pixels to one outline, which is how alloop keeps the shape of an object."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from alloop.errors import BadLabel
from alloop.nouns import Polygon

__all__ = ["joined", "outline"]

Contour = NDArray[np.float64]
TOLERANCE = 0.4
"""Pixels that an outline may leave the edge of its mask: every pixel's middle stays on its side of most edges."""


def outline(mask: NDArray[np.bool_]) -> Polygon:
    """One outline around all pixels of a mask (H, W) that are set, in pixels of the mask; BadLabel when none is.

    Corners are cut by half a pixel. Further parts and holes are joined to it, see `joined`.
    """
    from skimage import measure  # heavy

    find_contours: Callable[..., list[Contour]] = measure.find_contours
    approximate_polygon: Callable[..., Contour] = measure.approximate_polygon
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise BadLabel("a mask is empty, or a brush stroke paints nothing; remove it")
    part = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1).astype(np.float32)
    origin = np.array([rows[0], columns[0]]) - 0.5
    # a pixel's middle is whole in the padded part, and half past whole in the image: hence -1 + 0.5
    rings = [ring + origin for ring in find_contours(part, 0.5)]
    thin = [approximate_polygon(ring, TOLERANCE) for ring in rings]
    kept = [some if len(some) > 3 else ring for some, ring in zip(thin, rings, strict=True)]
    kept.sort(key=len, reverse=True)
    return joined([_points(ring[:-1], mask.shape) for ring in kept])


def _points(ring: Contour, shape: tuple[int, ...]) -> Polygon:
    return tuple((float(x), float(y)) for y, x in ring.clip(0, shape))


def joined(rings: Sequence[Polygon]) -> Polygon:
    """One outline of an object in several parts, or with holes: the parts are joined by seams of no width.

    By the even-odd rule it covers what the parts cover; ultralytics joins parts in the same spirit. One part stays as it is.
    """
    if len(rings) == 1:
        return rings[0]
    there = [point for ring in rings for point in (*ring, ring[0])]
    back = [ring[0] for ring in reversed(rings[:-1])]
    return tuple(there + back)
