"""TypiClust: the most typical sample of each large cluster that holds no label yet.

Source: Hacohen, Dekel & Weinshall 2022, Active Learning on a Budget, arXiv 2202.02794, with the constants of its code.
"""

import numpy as np

from alloop.acquisition.contract import Candidates, Selection, require
from alloop.acquisition.diversity import weighted_kmeans
from alloop.acquisition.neighbours import blocks
from alloop.acquisition.seeding import euclidean
from alloop.nouns import Floats, Integers

__all__ = ["select_typical", "typicality"]

NEIGHBOURS = 20
SMALLEST_CLUSTER = 5
MOST_CLUSTERS = 500


def select_typical(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The most typical candidate of each cluster, the cluster with the fewest labels and the most members first.

    Clusters smaller than 5 come last among those with as many labels. PoolExhausted when there are fewer than n.
    """
    require(candidates, n)
    labelled = candidates.points[:0] if candidates.labelled is None else candidates.labelled
    points = np.concatenate([candidates.points, labelled])
    k = max(n, min(n + len(labelled), MOST_CLUSTERS), 1)
    members = weighted_kmeans(points, np.ones(len(points), dtype=np.float32), k, rng=rng).members
    mine, theirs = members[: len(candidates)], members[len(candidates) :]
    sizes = np.bincount(members, minlength=k)
    turn = np.bincount(theirs, minlength=k)[mine] + _place_in_cluster(mine, typicality(candidates.points, mine), rng)
    rows = np.lexsort((rng.permutation(len(mine)), mine, -sizes[mine], sizes[mine] < SMALLEST_CLUSTER, turn))[:n]
    return Selection(rows, mine[rows], np.full(n, np.nan, dtype=np.float32))


def typicality(points: Floats, clusters: Integers) -> Floats:
    """One over the mean distance to the 20 nearest neighbours of the own cluster: (M, D), (M,) to (M,) float32.

    Infinite on top of all neighbours, and 0 for a point alone in its cluster.
    """
    typical = np.zeros(len(points), dtype=np.float32)
    order = np.argsort(clusters, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
        if len(rows) > 1:
            typical[rows] = _density(points[rows])
    return typical


def _density(points: Floats) -> Floats:
    near = min(NEIGHBOURS, len(points) - 1)
    distances, everyone = euclidean(points), np.arange(len(points))
    mean = np.empty(len(points), dtype=np.float32)
    for block in blocks(len(points), len(points)):
        between = distances(block, everyone)
        between[np.arange(len(between)), everyone[block]] = 0
        # The point itself is the nearest of near + 1, at distance 0.
        mean[block] = np.sqrt(np.partition(between, near, axis=1)[:, : near + 1]).sum(axis=1) / near
    with np.errstate(divide="ignore"):
        return np.asarray(1 / mean, dtype=np.float32)


def _place_in_cluster(clusters: Integers, typical: Floats, rng: np.random.Generator) -> Integers:
    """0 for the most typical of each cluster, 1 for the next, and so on: (M,) int64."""
    order = np.lexsort((rng.permutation(len(typical)), -typical, clusters))
    starts = np.flatnonzero(np.diff(clusters[order], prepend=-1))
    places = np.empty(len(clusters), dtype=np.int64)
    places[order] = np.arange(len(clusters)) - np.repeat(starts, np.diff(np.append(starts, len(clusters))))
    return places
