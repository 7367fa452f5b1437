"""How varied a batch is: candidates, n and a generator to exactly n distinct rows, the one most worth labelling first.

Every function here raises PoolExhausted when there are fewer than n candidates.
"""

from dataclasses import replace

import numpy as np

from alloop.acquisition.contract import Candidates, Selection, require
from alloop.acquisition.diversity import k_center, weighted_kmeans
from alloop.acquisition.duplicates import duplicate_radius, first_of_each_group, first_of_each_heap
from alloop.acquisition.gradient import gradient_distances, gradient_lengths
from alloop.acquisition.neighbours import nearest
from alloop.acquisition.scores import top_rows
from alloop.acquisition.seeding import draw_spread
from alloop.acquisition.unclear import discount
from alloop.nouns import Floats, Integers

__all__ = [
    "CLUSTERED",
    "filled",
    "plain",
    "select_auto",
    "select_clustered",
    "select_gradients",
    "select_near_centres",
    "select_spread_out",
    "select_top",
    "select_unlike",
]

CLUSTERED_EACH = 20  # candidates that auto clusters per sample of the batch; chosen on development seeds (2026-11)
CLUSTERED = 10_000  # candidates for a first batch: the rule that was measured (2026-11)


def select_top(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The n highest scores."""
    require(candidates, n)
    return plain(top_rows(candidates.scores, n, rng))


def select_near_centres(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The candidate nearest each of n centres of score-weighted k-means.

    Source: Zhdanov 2019, arXiv 1901.05954.
    """
    require(candidates, n)
    centres = weighted_kmeans(candidates.points, candidates.scores, n, rng=rng).centres
    return _ranked(candidates.scores, _nearest_each(candidates.points, centres), n, rng)


def select_auto(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The candidate nearest each of n centres of k-means weighted by score, beside what is answered.

    Scores are discounted for what annotators would call unclear. Of a longer shortlist, the 20 n that are uncertain and
    unlike what is answered are clustered. Centres keep away from samples labelled or flagged.
    """
    require(candidates, n)
    candidates = replace(candidates, scores=discount(candidates, rng))
    rows = _least_known(candidates, CLUSTERED_EACH * n, rng)
    candidates = candidates.take(rows)
    # One draw per seed: tighter clusters (4 draws) saved 50 instead of 54 % on sign-digits with repetition (48 seeds, 2026-11).
    centres = weighted_kmeans(
        candidates.points, candidates.scores, n, rng=rng, fixed=candidates.answered, trials=1
    ).centres
    batch = _ranked(candidates.scores, _nearest_each(candidates.points, centres), n, rng)
    return replace(batch, rows=rows[batch.rows])


def select_clustered(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The candidate nearest each of n centres of plain k-means.

    It looks at the 10,000 highest scores only: a random part of the pool, where the score is random.
    """
    require(candidates, n)
    rows = top_rows(candidates.scores, max(n, CLUSTERED), rng)
    points = candidates.points[rows]
    centres = weighted_kmeans(points, np.ones(len(rows), dtype=np.float32), n, rng=rng).centres
    chosen = _nearest_each(points, centres)
    return _ranked(candidates.scores, replace(chosen, rows=rows[chosen.rows]), n, rng)


def select_spread_out(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """Greedy k-center: each the farthest from what is answered and chosen.

    With nothing answered it starts at the highest score. Source: Sener & Savarese 2018, arXiv 1708.00489.
    """
    require(candidates, n)
    order = top_rows(candidates.scores, len(candidates), rng)
    rows, distances = k_center(candidates.points[order], n, fixed=candidates.answered)
    distances[np.isinf(distances)] = np.nan
    return Selection(order[rows], np.full(n, -1), distances)


def select_gradients(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """k-means++ over last-layer gradients, starting at the longest.

    Source: BADGE, Ash et al. 2020, arXiv 1906.03671.
    """
    require(candidates, n)
    if candidates.probabilities is None:
        raise ValueError("the candidates have no probabilities; a strategy that uses them says Need.PROBABILITIES")
    distances = gradient_distances(candidates.probabilities, candidates.points)
    first = top_rows(gradient_lengths(candidates.probabilities, candidates.points), min(n, 1), rng)
    start = distances(slice(None), first).min(axis=1, initial=np.inf)
    start[first] = 0
    others = draw_spread(n - len(first), np.ones_like(candidates.scores), start, distances, rng=rng)
    return filled(candidates.scores, plain(np.concatenate([first, others])), n, rng)


def select_unlike(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """A random choice of one per group where groups are known, and of one per heap of near-duplicates elsewhere.

    Large heaps come no sooner than small ones, and one of which something is answered has had its turn. When these are
    fewer than n, the highest scores of the others follow.
    """
    require(candidates, n)
    rows = top_rows(candidates.scores, len(candidates), rng)
    if candidates.groups is not None:
        rows = rows[first_of_each_group(candidates.groups[rows])]
    alone = np.ones(len(rows), dtype=bool) if candidates.groups is None else candidates.groups[rows] < 0
    if candidates.embeddings is not None and alone.any():
        loose = candidates.embeddings[rows[alone]]
        heads = first_of_each_heap(loose, duplicate_radius(loose, rng), beside=candidates.answered)
        rows = np.concatenate([rows[~alone], rows[alone][heads]])
    return filled(candidates.scores, plain(rng.permutation(rows)[:n]), n, rng)


def filled(scores: Floats, chosen: Selection, n: int, rng: np.random.Generator) -> Selection:
    """`chosen`, and after it the highest of the other scores up to n rows."""
    others = scores.copy()
    others[chosen.rows] = -np.inf
    more = plain(top_rows(others, n - len(chosen.rows), rng))
    return Selection(
        np.concatenate([chosen.rows, more.rows]),
        np.concatenate([chosen.clusters, more.clusters]),
        np.concatenate([chosen.distances, more.distances]),
    )


def plain(rows: Integers) -> Selection:
    """Rows without clusters or distances."""
    return Selection(rows, np.full(len(rows), -1), np.full(len(rows), np.nan, dtype=np.float32))


def _least_known(candidates: Candidates, most: int, rng: np.random.Generator) -> Integers:
    """Rows (at most `most`,) of the highest score x squared distance to the nearest sample answered.

    That is how likely k-means++ is to seed there. It needs no radius: copies of what is answered fall out by themselves.
    Measured on new seeds (2026-11): a shortlist of 50 n with this cut, instead of 20 n, saved 59 instead of 51 % on sign-digits
    with strong repetition, where 50 n without the cut saved no more. The gain on imbalanced clips is that of the 50 n.
    """
    if len(candidates) <= most:
        return np.arange(len(candidates))
    answered = candidates.answered
    far = np.float32(1) if answered is None else nearest(candidates.points, answered)[0]
    return top_rows(candidates.scores * far, most, rng)


def _ranked(scores: Floats, chosen: Selection, n: int, rng: np.random.Generator) -> Selection:
    batch = filled(scores, chosen, n, rng)
    order = top_rows(scores[batch.rows], n, rng)
    return Selection(batch.rows[order], batch.clusters[order], batch.distances[order])


def _nearest_each(points: Floats, centres: Floats) -> Selection:
    """The point nearest each centre; fewer than there are centres where two have the same."""
    if not len(centres):
        return plain(np.empty(0, dtype=np.int64))
    distances, rows = nearest(centres, points)
    rows, first = np.unique(rows, return_index=True)
    return Selection(rows, first.astype(np.int64), np.sqrt(distances[first]))
