"""k-means++ drawing, exact, at the speed of matrix products instead of one matrix-vector product per draw.

Source: Arthur & Vassilvitskii, k-means++ (2007). The nearest distances are brought up to date once per round of draws.
In between they are upper bounds: a row drawn by its bound and kept with probability (true distance / bound) is a row
drawn by its true distance.
"""

from collections.abc import Callable

import numpy as np

from alloop.acquisition.neighbours import blocks, squared_lengths
from alloop.nouns import Floats, Integers

__all__ = ["Distances", "draw_spread", "euclidean"]

ROUND = 64  # draws between two updates: a matrix product beats as many matrix-vector products, and bounds stay close

Distances = Callable[[Integers | slice, Integers], Floats]
"""Squared distances (A, B) float32 between A rows and B rows."""


def euclidean(points: Floats) -> Distances:
    """Squared Euclidean distances between rows of (M, D) float32 points."""
    lengths = squared_lengths(points)

    def distances(rows: Integers | slice, others: Integers) -> Floats:
        product: Floats = points[rows] @ points[others].T
        product *= -2
        product += lengths[rows][:, None]
        product += lengths[others]
        np.maximum(product, 0, out=product)
        return product

    return distances


def draw_spread(n: int, weights: Floats, start: Floats, distances: Distances, rng: np.random.Generator) -> Integers:
    """At most n distinct rows, drawn with probability ~ weight x squared distance to what is there or drawn already.

    Args:
        n: how many; fewer come back when every other row has weight 0 or lies on a drawn one.
        weights: (M,) float32, at least 0.
        start: (M,) float32, squared distance to what is there already; infinite everywhere when nothing is.
        distances: squared distances between rows.
        rng: the only source of chance.

    Returns:
        (at most n,) int64 in the order drawn.
    """
    bound = np.asarray(start, dtype=np.float32).copy()
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < n:
        fresh = _round(weights, bound, distances, rng)[: n - len(drawn)]
        if not len(fresh):
            break
        drawn = np.concatenate([drawn, fresh])
        for block in blocks(len(bound), len(fresh)):
            np.minimum(bound[block], distances(block, fresh).min(axis=1), out=bound[block])
        bound[drawn] = 0
    return drawn


def _round(weights: Floats, bound: Floats, distances: Distances, rng: np.random.Generator) -> Integers:
    known = bool(np.isfinite(bound).all())
    heap = np.cumsum(weights * bound if known else weights, dtype=np.float64)
    if not len(heap) or not heap[-1] > 0:
        return np.empty(0, dtype=np.int64)
    # While nothing is known every bound is infinite, and one row is all that can be drawn by it.
    count = ROUND if known else 1
    rows = np.searchsorted(heap, rng.random(count) * heap[-1], side="right")
    rows = np.minimum(rows, np.searchsorted(heap, heap[-1])).astype(np.int64)
    between = distances(rows, rows)
    between[rows[:, None] == rows] = 0
    fresh: Integers = rows[_kept(bound[rows], between, rng.random(count, dtype=np.float32))]
    return fresh


def _kept(bound: Floats, between: Floats, luck: Floats) -> Integers:
    true = bound.copy()
    kept = []
    for place in range(len(bound)):
        if place == 0 or luck[place] * bound[place] < true[place]:
            kept.append(place)
            np.minimum(true, between[place], out=true)
    return np.array(kept, dtype=np.int64)
