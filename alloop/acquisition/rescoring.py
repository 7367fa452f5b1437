"""Selections that judge the shortlist by more than its scores: by gradients, or by what a committee disagrees about.

Every function here raises PoolExhausted when there are fewer than n candidates.
"""

from dataclasses import replace

import numpy as np

from alloop.acquisition.contract import Candidates, Selection
from alloop.acquisition.selection import select_near_centres, select_top
from alloop.nouns import Floats

__all__ = ["select_contested", "select_contested_kinds", "select_steepest"]


def select_steepest(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The n longest expected gradients.

    Source: Settles & Craven 2008, An Analysis of Active Learning Strategies for Sequence Labeling Tasks.
    """
    if candidates.gradients is None:
        raise ValueError("the candidates have no gradients; a strategy that uses them says Need.GRADIENTS")
    return select_top(replace(candidates, scores=candidates.gradients), n, rng)


def select_contested(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The n that the committee disagrees about most; the n highest scores while there is no committee."""
    return select_top(replace(candidates, scores=_dissent(candidates)), n, rng)


def select_contested_kinds(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """The candidate nearest each of n centres of k-means weighted by disagreement, or by score without a committee."""
    return select_near_centres(replace(candidates, scores=_dissent(candidates)), n, rng)


def _dissent(candidates: Candidates) -> Floats:
    """How far the committee disagrees (M,) float32; the scores where there is no committee."""
    return candidates.scores if candidates.dissent is None else candidates.dissent
