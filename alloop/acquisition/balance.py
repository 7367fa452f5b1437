"""Rare classes first: scores weighted by how seldom the model predicts their class over the whole pool."""

import numpy as np

from alloop.nouns import Floats, Integers

__all__ = ["weigh_classes"]

EXPONENT = -0.25  # chosen on development seeds (2026-11)
RAREST = 0.1  # a class predicted less than a tenth as often as in a balanced pool counts as a tenth


def weigh_classes(scores: Floats, top_class: Integers, class_share: Floats) -> Floats:
    """Scores times max(C x share, 0.1) ** -0.25 of the class predicted for each.

    Args:
        scores: (N,) float32.
        top_class: (N,) int64.
        class_share: (C,) share of the pool that each class is predicted for; sums to 1.
    """
    weights = np.maximum(len(class_share) * class_share, RAREST) ** EXPONENT
    return (scores * weights[top_class]).astype(np.float32)
