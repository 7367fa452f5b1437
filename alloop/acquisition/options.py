"""Options that any strategy can be given: a wrapped strategy is a strategy again."""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from alloop.acquisition.balance import weigh_classes
from alloop.acquisition.boxes import score_with
from alloop.acquisition.contract import Candidates, Need, Select, Selection, Strategy, require
from alloop.acquisition.duplicates import duplicate_radius, first_of_each_group, first_of_each_heap
from alloop.acquisition.scores import top_rows
from alloop.acquisition.selection import filled
from alloop.errors import ConfigError
from alloop.nouns import Integers

__all__ = ["Options", "with_options"]

SPARE = 10.0  # candidates per sample, so that enough are left after thinning


@dataclass(frozen=True)
class Options:
    """What to change about a strategy; nothing by default.

    Attributes:
        one_per_group: at most one sample of each known group in a batch, while there are enough groups.
        duplicate_share: no two samples of a batch nearer than this share of the median distance of random pairs, while
            there are enough others; 0.2 where duplicates are known to be there.
        class_weight: raise the scores of samples predicted to be of a rare class.
        shortlist_ratio: candidates per sample of the batch, for a strategy that has a shortlist.
        box_score: for a detector, which of `boxes.BOX_SCORES` a strategy uses instead of its own.
        box_aggregate: which of `boxes.AGGREGATES` makes one number of the boxes of an image.
        empty_share: for a detector, the most that images where it sees nothing may be of a batch, while there are enough
            others; a share above 0 allows one at least.

    Raises:
        ConfigError: a share out of its range, a ratio below 1, or a name that nothing stands for.
    """

    one_per_group: bool = False
    duplicate_share: float | None = None
    class_weight: bool = False
    shortlist_ratio: float | None = None
    box_score: str | None = None
    box_aggregate: str | None = None
    empty_share: float | None = None

    def __post_init__(self) -> None:
        if self.duplicate_share is not None and not 0 < self.duplicate_share < 2:
            raise ConfigError(f"duplicate_share is {self.duplicate_share}; set it between 0 and 2, such as 0.2")
        if self.shortlist_ratio is not None and not self.shortlist_ratio >= 1:
            raise ConfigError(f"shortlist_ratio is {self.shortlist_ratio}; set it to 1 or more, such as 10")
        if self.empty_share is not None and not 0 <= self.empty_share <= 1:
            raise ConfigError(f"empty_share is {self.empty_share}; set it between 0 and 1, such as 0.2")
        if self.box_score is not None:
            score_with(self.box_score, self.box_aggregate)
        elif self.box_aggregate is not None:
            raise ConfigError(
                f"box_aggregate is '{self.box_aggregate}' without a box_score; set that too, such as 'doubt'"
            )

    @property
    def thins(self) -> bool:
        """Whether candidates are taken out before the choice."""
        return self.one_per_group or self.duplicate_share is not None

    def most_empty(self, n: int) -> int:
        """How many of n samples may be images where a detector sees nothing."""
        if not self.empty_share:
            return n if self.empty_share is None else 0
        return min(n, max(1, math.floor(self.empty_share * n + 1e-9)))  # 0.29 x 100 is 28.999... in floating point


def with_options(strategy: Strategy, options: Options) -> Strategy:
    """`strategy` with its candidates thinned or capped, its scores others or weighted, or its shortlist longer, as asked.

    A strategy that takes just the top gets a shortlist of 10 x batch when candidates are to be left out.
    """
    changed = strategy
    if options.box_score is not None and strategy.score_boxes is not None:
        changed = replace(changed, score_boxes=score_with(options.box_score, options.box_aggregate))
    if options.thins:
        asked = {Need.GROUPS: options.one_per_group, Need.EMBEDDINGS: options.duplicate_share is not None}
        changed = replace(
            _with_others(changed),
            select=partial(_select_thinned, changed.select, options),
            needs=changed.needs | {need for need, wanted in asked.items() if wanted},
        )
    if options.empty_share is not None and Need.MODEL in strategy.needs:
        changed = replace(_with_others(changed), select=partial(_select_capped, changed.select, options))
    if options.class_weight:
        changed = replace(changed, reweigh=weigh_classes, needs=changed.needs | {Need.MODEL})
    if options.shortlist_ratio is not None and changed.shortlist_ratio not in (None, 1.0):
        changed = replace(changed, shortlist_ratio=options.shortlist_ratio)
    return changed


def _with_others(strategy: Strategy) -> Strategy:
    """`strategy` with more candidates than it takes, so that some can be left out."""
    return replace(strategy, shortlist_ratio=SPARE) if strategy.shortlist_ratio == 1.0 else strategy


def _select_thinned(
    select: Select, options: Options, candidates: Candidates, n: int, rng: np.random.Generator
) -> Selection:
    require(candidates, n)
    rows = _thinned(candidates, options, rng)
    chosen = select(candidates.take(rows), min(n, len(rows)), rng)
    return filled(candidates.scores, replace(chosen, rows=rows[chosen.rows]), n, rng)


def _thinned(candidates: Candidates, options: Options, rng: np.random.Generator) -> Integers:
    rows = top_rows(candidates.scores, len(candidates), rng)
    if options.one_per_group and candidates.groups is not None:
        rows = rows[first_of_each_group(candidates.groups[rows])]
    if options.duplicate_share is not None:
        radius = duplicate_radius(candidates.points, rng, share=options.duplicate_share)
        rows = rows[first_of_each_heap(candidates.points[rows], radius)]
    return rows


def _select_capped(
    select: Select, options: Options, candidates: Candidates, n: int, rng: np.random.Generator
) -> Selection:
    """What `select` chooses; where that is too many empty images, it chooses again without the last of them."""
    chosen, empty = select(candidates, n, rng), candidates.is_empty
    if empty is None:
        return chosen
    kept = chosen.rows[empty[chosen.rows]][: max(options.most_empty(n), n - int((~empty).sum()))]
    if len(kept) == int(empty[chosen.rows].sum()):
        return chosen
    rows = np.union1d(np.flatnonzero(~empty), kept)
    again = select(candidates.take(rows), n, rng)
    return replace(again, rows=rows[again.rows])
