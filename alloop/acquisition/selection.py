"""How varied a batch is: candidates, n and a generator to exactly n distinct rows, the one most worth labelling first."""

import numpy as np

from alloop.acquisition.contract import Candidates, Selection, require
from alloop.acquisition.diversity import k_center, weighted_kmeans
from alloop.acquisition.neighbours import nearest
from alloop.acquisition.scores import top_rows
from alloop.nouns import Floats, Integers

__all__ = ["ranked", "select_clustered", "select_near_centres", "select_spread_out", "select_top"]


def select_top(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The n highest scores; PoolExhausted when there are fewer candidates."""
    require(candidates, n)
    return _plain(top_rows(candidates.scores, n, rng))


def select_near_centres(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The candidate nearest each of n centres of score-weighted k-means; PoolExhausted when there are fewer.

    Source: Zhdanov 2019, arXiv 1901.05954.
    """
    require(candidates, n)
    return ranked(candidates.scores, _nearest_each(candidates.points, candidates.scores, n, rng), n, rng)


def select_clustered(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The candidate nearest each of n centres of plain k-means; PoolExhausted when there are fewer.

    It looks at the 10,000 highest scores only, a random part of the pool where the score is random.
    """
    require(candidates, n)
    rows = top_rows(candidates.scores, max(n, CLUSTERED), rng)
    even = np.ones(len(rows), dtype=np.float32)
    chosen = _nearest_each(candidates.points[rows], even, n, rng)
    return ranked(candidates.scores, Selection(rows[chosen.rows], chosen.clusters, chosen.distances), n, rng)


CLUSTERED = 10_000  # candidates for a first batch; more cost time and saved nothing (shared measurements, 2026-11)


def select_spread_out(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """Choose n candidates, each the farthest from what is answered and chosen; PoolExhausted when there are fewer.

    With nothing answered it starts at the highest score. Source: Sener & Savarese 2018, arXiv 1708.00489.
    """
    require(candidates, n)
    order = top_rows(candidates.scores, len(candidates), rng)
    rows, distances = k_center(candidates.points[order], n, fixed=candidates.answered)
    distances[np.isinf(distances)] = np.nan
    return Selection(order[rows], np.full(n, -1), distances)


def ranked(scores: Floats, chosen: Selection, n: int, rng: np.random.Generator) -> Selection:
    """`chosen` filled up to n rows with the highest of the other scores, the highest score first."""
    others = scores.copy()
    others[chosen.rows] = -np.inf
    filled = _joined(chosen, _plain(top_rows(others, n - len(chosen.rows), rng)))
    order = top_rows(scores[filled.rows], n, rng)
    return Selection(filled.rows[order], filled.clusters[order], filled.distances[order])


def _nearest_each(points: Floats, weights: Floats, n: int, rng: np.random.Generator) -> Selection:
    centres = weighted_kmeans(points, weights, n, rng=rng).centres
    if not len(centres):
        return _plain(np.empty(0, dtype=np.int64))
    distances, rows = nearest(centres, points)
    rows, first = np.unique(rows, return_index=True)
    return Selection(rows, first.astype(np.int64), np.sqrt(distances[first]))


def _plain(rows: Integers) -> Selection:
    return Selection(rows, np.full(len(rows), -1), np.full(len(rows), np.nan, dtype=np.float32))


def _joined(first: Selection, second: Selection) -> Selection:
    return Selection(
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.clusters, second.clusters]),
        np.concatenate([first.distances, second.distances]),
    )
