"""k-means++ drawing, exact, at the speed of matrix products instead of one matrix-vector product per draw.

Sources: Arthur & Vassilvitskii, k-means++ (2007); the best of several draws, as in scikit-learn, their "greedy" variant.
Each round draws many rows at once by the distances of its beginning, which are upper bounds later on: a row drawn by its
bound and kept with probability (true distance / bound) is a row drawn by its true distance.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from alloop.acquisition.neighbours import squared_lengths
from alloop.nouns import Floats, Integers

__all__ = ["Distances", "draw_spread", "euclidean"]

ROUND = 64  # choices between two draws from the whole: one matrix product for all, and bounds that are still close
ROUND_FLOATS = 1 << 24  # 64 MiB of float32: the distances of one round

Distances = Callable[[Integers | slice, Integers | slice], Floats]
"""Squared distances (A, B) float32 between A rows and B rows."""


def euclidean(points: Floats) -> Distances:
    """Squared Euclidean distances between rows of (M, D) float32 points."""
    lengths = squared_lengths(points)

    def distances(rows: Integers | slice, others: Integers | slice) -> Floats:
        product: Floats = points[rows] @ points[others].T
        product *= -2
        product += lengths[rows][:, None]
        product += lengths[others]
        np.maximum(product, 0, out=product)
        return product

    return distances


def draw_spread(
    n: int,
    weights: Floats,
    start: Floats,
    distances: Distances,
    *,
    rng: np.random.Generator,
    trials: int = 1,
) -> Integers:
    """At most n distinct rows, drawn with probability ~ weight x squared distance to what is there or drawn already.

    Args:
        n: how many; fewer come back when every other row has weight 0 or lies on a drawn one.
        weights: (M,) float32, at least 0.
        start: (M,) float32, squared distance to what is there already; infinite everywhere when nothing is.
        distances: squared distances between rows.
        rng: the only source of chance.
        trials: draws per row; the one that brings everything nearest is taken.

    Returns:
        (at most n,) int64 in the order drawn.
    """
    bound = np.array(start, dtype=np.float32)
    drawn: list[int] = []
    while len(drawn) < n:
        rows = _draw_round(weights, bound, rng, trials=trials)
        if not len(rows):
            break
        away = distances(rows, slice(None))
        kept = _still_far(rows, bound[rows], bound, rng.random(len(rows)))
        for trial in _in_groups(kept, trials):
            best = trial[0] if len(trial) == 1 else trial[_nearest_to_all(away[trial], bound, weights)]
            np.minimum(bound, away[best], out=bound)
            bound[rows[best]] = 0
            drawn.append(int(rows[best]))
            if len(drawn) == n:
                break
    return np.array(drawn, dtype=np.int64)


def _draw_round(weights: Floats, bound: Floats, rng: np.random.Generator, *, trials: int) -> Integers:
    """Rows drawn by weight x bound, one of them possibly more than once; none when nothing is left to draw."""
    known = len(bound) > 0 and bool(np.isfinite(bound).all())
    heap = np.cumsum(weights * bound if known else weights, dtype=np.float64)
    if not len(heap) or not heap[-1] > 0:
        return np.empty(0, dtype=np.int64)
    # While nothing is known every bound is infinite, and one row is all that can be drawn by it.
    count = min(ROUND * trials, max(trials, ROUND_FLOATS // len(bound))) if known else 1
    return _draw(heap, rng.random(count))


def _draw(heap: np.typing.NDArray[np.float64], luck: np.typing.NDArray[np.float64]) -> Integers:
    rows = np.searchsorted(heap, luck * heap[-1], side="right")
    return np.asarray(np.minimum(rows, np.searchsorted(heap, heap[-1])), dtype=np.int64)


def _still_far(rows: Integers, before: Floats, bound: Floats, luck: np.typing.NDArray[np.float64]) -> Iterator[int]:
    """Places of the rows kept, judged by `bound` as it is when the place is asked for."""
    for place, row in enumerate(rows):
        if luck[place] * before[place] < bound[row] or np.isinf(bound[row]):
            yield place


def _in_groups(places: Iterator[int], size: int) -> Iterator[list[int]]:
    while group := list(islice(places, size)):
        yield group


def _nearest_to_all(away: Floats, bound: Floats, weights: Floats) -> int:
    return int((np.minimum(away, bound) @ weights).argmin())
