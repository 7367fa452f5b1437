"""Points that stand for many: weighted k-means and k-center, both beside points that are there already and never move.

Sources: weighted k-means for batches, Zhdanov 2019 (arXiv 1901.05954); greedy k-center, Sener & Savarese 2018
(arXiv 1708.00489). Everything is float32 matrix products in blocks; memory is that of the points.
"""

from dataclasses import dataclass

import numpy as np

from alloop.acquisition.neighbours import blocks, nearest
from alloop.acquisition.seeding import Distances, draw_spread, euclidean
from alloop.nouns import Floats, Integers

__all__ = ["Clusters", "k_center", "weighted_kmeans"]

ROUNDS = 10  # Lloyd's steps; chosen on development seeds (2026-11)
AHEAD = 256  # rows k_center looks at between two updates of all distances
TRIALS = 4  # draws per seed: as tight as scikit-learn's, which takes 2 + log k (measured 2026-11)
EVEN = 1e-3  # added to every weight, so that a point of weight 0 still has a say in where its centre lies


@dataclass(frozen=True, eq=False)
class Clusters:
    """k centres and who belongs to them.

    Attributes:
        centres: (k, D) float32.
        members: (M,) int64, the centre nearest each point; -1 where a fixed point is nearer.
    """

    centres: Floats
    members: Integers


def weighted_kmeans(
    points: Floats,
    weights: Floats,
    k: int,
    *,
    rng: np.random.Generator,
    fixed: Floats | None = None,
    trials: int = TRIALS,
) -> Clusters:
    """At most k clusters of weighted points, seeded by k-means++, beside fixed points that keep what is nearest them.

    Args:
        points: (M, D) float32.
        weights: (M,) float32, at least 0; all zero counts as all equal.
        k: how many; fewer come back when there are fewer distinct points of weight above 0.
        rng: the only source of chance.
        fixed: (F, D) float32, centres that never move.
        trials: draws per seed, of which the best is taken; 1 is k-means++ as published.
    """
    free = np.full(len(points), np.inf, dtype=np.float32)
    if fixed is not None and len(fixed):
        free = nearest(points, fixed)[0]
    pull = weights if weights.any() else np.ones_like(weights)
    seeds = draw_spread(k, pull, free, euclidean(points), rng=rng, trials=trials)
    if not len(seeds):
        return Clusters(points[:0], np.full(len(points), -1))
    centres = points[seeds]
    members = _members(points, centres, free)
    for _ in range(ROUNDS):
        centres = _means(points, weights + np.float32(EVEN), members, centres)
        before, members = members, _members(points, centres, free)
        if (members == before).all():
            break
    return Clusters(centres, members)


def _members(points: Floats, centres: Floats, free: Floats) -> Integers:
    distance, members = nearest(points, centres)
    return np.where(distance < free, members, -1)


def _means(points: Floats, weights: Floats, members: Integers, centres: Floats) -> Floats:
    from scipy.sparse import csr_array

    mine = np.flatnonzero(members >= 0)
    table = csr_array((weights[mine], (members[mine], mine)), shape=(len(centres), len(points)))
    total = np.bincount(members[mine], weights[mine], minlength=len(centres)).astype(np.float32)
    sums = np.asarray(table @ points, dtype=np.float32)
    return np.where(total[:, None] > 0, sums / np.maximum(total, np.float32(1e-30))[:, None], centres)


def k_center(points: Floats, n: int, *, fixed: Floats | None = None) -> tuple[Integers, Floats]:
    """Pick n rows, each the farthest from the fixed points and the rows before it; the picks of the plain greedy loop.

    Distances are brought up to date once per run of picks. In between they are upper bounds: while the best of the
    AHEAD farthest rows, whose distances to each other are known, beats the bound of all others, it is the true farthest.

    Args:
        points: (M, D) float32.
        n: at most M.
        fixed: (F, D) float32; without it the first pick is row 0.

    Returns:
        rows (n,) int64 in the order picked, and the distance (n,) float32 of each to what was there before it
        (infinite for the first when nothing was).
    """
    bound = np.full(len(points), np.inf, dtype=np.float32)
    if fixed is not None and len(fixed):
        bound = nearest(points, fixed)[0]
    distances = euclidean(points)
    rows, radii = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.float32)
    done = 0
    while done < n:
        picks, far = _farthest(bound, distances, n - done)
        rows[done : done + len(picks)], radii[done : done + len(picks)] = picks, far
        done += len(picks)
        for block in blocks(len(points), len(picks)):
            np.minimum(bound[block], distances(block, picks).min(axis=1), out=bound[block])
        bound[rows[:done]] = -1
    return rows, np.sqrt(radii)


def _farthest(bound: Floats, distances: Distances, most: int) -> tuple[Integers, Floats]:
    if np.isinf(bound).any():
        return np.zeros(1, dtype=np.int64), bound[:1].copy()
    ahead, others = _ahead(bound)
    true, between = bound[ahead], distances(ahead, ahead)
    picks: list[int] = []
    far: list[float] = []
    while len(picks) < min(most, len(ahead)):
        place = int(true.argmax())
        if picks and true[place] <= others:
            break
        picks.append(place)
        far.append(true[place])
        np.minimum(true, between[place], out=true)
        true[place] = -1
    return ahead[picks], np.array(far, dtype=np.float32)


def _ahead(bound: Floats) -> tuple[Integers, float]:
    """The rows with the highest bounds, in order of row, and the highest bound of all others."""
    cut = len(bound) - AHEAD
    if cut <= 0:
        return np.arange(len(bound)), -1.0
    parted = np.argpartition(bound, cut - 1)
    return np.sort(parted[cut:]), float(bound[parted[cut - 1]])
