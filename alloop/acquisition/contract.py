"""What a strategy is: a name, how informative (score), how varied (select), and what it needs.

A strategy is a value. The loop streams `score` over the pool, keeps the highest, embeds only those, and calls `select`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alloop.errors import PoolExhausted
from alloop.nouns import Detections, Floats, Integers

__all__ = ["Candidates", "Need", "Reweigh", "Score", "ScoreBoxes", "Select", "Selection", "Strategy", "require"]


class Need(StrEnum):
    """What the loop has to hand in before it can ask a strategy."""

    MODEL = "model"
    """A champion: `score` reads its probabilities. Without this need `score` may be given an (N, 0) array."""
    EMBEDDINGS = "embeddings"
    """`Candidates.embeddings`."""
    PROBABILITIES = "probabilities"
    """`Candidates.probabilities`."""
    LABELLED = "labelled"
    """`Candidates.labelled`, when anything is labelled."""
    FLAGGED = "flagged"
    """`Candidates.flagged`, when annotators called anything unclear."""
    GROUPS = "groups"
    """`Candidates.groups`, when the pool knows groups."""
    GRADIENTS = "gradients"
    """`Candidates.gradients`, from a model that can give them."""
    COMMITTEE = "committee"
    """`Candidates.dissent`, once there are two opinions that differ."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """M samples of the pool that a batch may be chosen from; rows keep the order they are given in.

    Attributes:
        scores: (M,) float32, at least 0, no NaN; higher is more worth labelling.
        top_class: (M,) int64, the class predicted for each; zeros when there is no model.
        probabilities: (M, C) float32.
        embeddings: (M, D) float32 of unit length (a zero row stays zero).
        groups: (M,) int64, -1 where a sample belongs to none.
        labelled: (L, D) float32, embeddings of what is labelled, of unit length.
        labelled_class: (L,) int64, the class that people gave each.
        flagged: (F, D) float32, embeddings of what annotators called unclear, of unit length.
        gradients: (M,) float32, expected gradient lengths.
        dissent: (M,) float32, how far a committee disagrees about each; at least 0.
        is_empty: (M,) bool, where a detector sees nothing.
    """

    scores: Floats
    top_class: Integers
    probabilities: Floats | None = None
    embeddings: Floats | None = None
    groups: Integers | None = None
    labelled: Floats | None = None
    labelled_class: Integers | None = None
    flagged: Floats | None = None
    gradients: Floats | None = None
    dissent: Floats | None = None
    is_empty: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: Integers) -> "Candidates":
        """The candidates of `rows` (K,) int64 only, in that order."""
        mine = ("scores", "top_class", "probabilities", "embeddings", "groups", "gradients", "dissent", "is_empty")
        parts = {name: getattr(self, name) for name in mine}
        return replace(self, **{name: part[rows] for name, part in parts.items() if part is not None})

    @property
    def points(self) -> Floats:
        """The embeddings (M, D); ValueError when nobody handed them in."""
        if self.embeddings is None:
            raise ValueError("the candidates have no embeddings; a strategy that clusters says Need.EMBEDDINGS")
        return self.embeddings

    @property
    def answered(self) -> Floats | None:
        """Embeddings (L + F, D) of what people have answered, labelled or unclear; None when there is nothing."""
        parts = [part for part in (self.labelled, self.flagged) if part is not None and len(part)]
        return np.concatenate(parts) if parts else None


@dataclass(frozen=True, eq=False)
class Selection:
    """The K chosen rows of the candidates, the one most worth labelling first.

    Attributes:
        rows: (K,) int64, distinct.
        clusters: (K,) int64, the cluster each was chosen for; -1 for none.
        distances: (K,) float32, distance to the cluster's centre, or to the nearest sample labelled or chosen before;
            NaN for none.
    """

    rows: Integers
    clusters: Integers
    distances: Floats


class Reweigh(Protocol):
    """Scores changed by what the whole pool looks like; applied before the shortlist is cut."""

    def __call__(self, scores: Floats, top_class: Integers, class_share: Floats) -> Floats:
        """New scores (N,) from scores (N,), top classes (N,) and the share of the pool predicted each class (C,)."""


Score = Callable[[Floats, np.random.Generator], Floats]
ScoreBoxes = Callable[[Sequence[Detections]], Floats]
Select = Callable[[Candidates, int, np.random.Generator], Selection]


@dataclass(frozen=True)
class Strategy:
    """A way to choose a batch.

    Attributes:
        name: what alloop.toml calls it.
        score: probabilities (N, C) and a generator to scores (N,) float32, at least 0; higher is more worth labelling.
        score_boxes: what a detector sees in N images to scores (N,) float32, at least 0; None where the strategy reads no
            model, or is for classifiers.
        select: candidates, n and a generator to exactly n distinct rows; the same seed gives the same rows;
            PoolExhausted when there are fewer than n candidates.
        needs: what the loop has to hand in.
        shortlist_ratio: candidates per sample of the batch; 1.0 is just the top, None the whole pool.
        source: where it was published.
        when: one sentence: when to use it.
        reweigh: changes the scores once the pool's predicted classes are counted.
        shortlist_limit: the most candidates handed in when shortlist_ratio is None.
        predicts_unclear: whether `select` discounts what annotators would call unclear (`unclear.discount`).
    """

    name: str
    score: Score
    select: Select
    needs: frozenset[Need]
    shortlist_ratio: float | None
    source: str
    when: str
    score_boxes: ScoreBoxes | None = None
    reweigh: Reweigh | None = None
    shortlist_limit: int | None = None
    predicts_unclear: bool = False

    def shortlist_size(self, n: int, pool: int) -> int:
        """How many of the `pool` highest scores become candidates for a batch of n; never fewer than the batch."""
        if self.shortlist_ratio is not None:
            wanted = math.ceil(self.shortlist_ratio * n)
        else:
            wanted = pool if self.shortlist_limit is None else self.shortlist_limit
        return min(pool, max(wanted, n))


def require(candidates: Any, n: int) -> None:
    """Raise PoolExhausted unless there are n candidates."""
    if len(candidates) < n:
        raise PoolExhausted(
            f"{len(candidates)} samples remain for a batch of {n}; "
            f"add images with 'alloop pool add', or set loop.batch to {max(1, len(candidates))} or less"
        )
