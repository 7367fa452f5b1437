"""Options that any strategy can be given: a wrapped strategy is a strategy again."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from alloop.acquisition.balance import weigh_classes
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

    Raises:
        ConfigError: a share outside (0, 2), or a ratio below 1.
    """

    one_per_group: bool = False
    duplicate_share: float | None = None
    class_weight: bool = False
    shortlist_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.duplicate_share is not None and not 0 < self.duplicate_share < 2:
            raise ConfigError(f"duplicate_share is {self.duplicate_share}; set it between 0 and 2, such as 0.2")
        if self.shortlist_ratio is not None and not self.shortlist_ratio >= 1:
            raise ConfigError(f"shortlist_ratio is {self.shortlist_ratio}; set it to 1 or more, such as 10")

    @property
    def thins(self) -> bool:
        """Whether candidates are taken out before the choice."""
        return self.one_per_group or self.duplicate_share is not None


def with_options(strategy: Strategy, options: Options) -> Strategy:
    """`strategy` with its candidates thinned, its scores weighted by class, or its shortlist longer, as asked.

    A strategy that takes just the top gets a shortlist of 10 x batch when candidates are to be taken out.
    """
    changed = strategy
    if options.thins:
        asked = {Need.GROUPS: options.one_per_group, Need.EMBEDDINGS: options.duplicate_share is not None}
        changed = replace(
            changed,
            select=partial(_select_thinned, strategy.select, options),
            needs=changed.needs | {need for need, wanted in asked.items() if wanted},
            shortlist_ratio=SPARE if strategy.shortlist_ratio == 1.0 else strategy.shortlist_ratio,
        )
    if options.class_weight:
        changed = replace(changed, reweigh=weigh_classes, needs=changed.needs | {Need.MODEL})
    if options.shortlist_ratio is not None and changed.shortlist_ratio not in (None, 1.0):
        changed = replace(changed, shortlist_ratio=options.shortlist_ratio)
    return changed


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
