"""What a label would change in the last layer, from probabilities p and embeddings h alone.

The gradient of the loss for class y is the outer product (p - y) h, a vector of C x D numbers. Nothing here builds it:
<g, g'> = <q, q'> <h, h'>, with q = p - y.
"""

import numpy as np

from alloop.acquisition.neighbours import squared_lengths
from alloop.acquisition.seeding import Distances
from alloop.nouns import Floats, Integers

__all__ = ["expected_gradient_lengths", "gradient_distances", "gradient_lengths"]


def gradient_lengths(probabilities: Floats, embeddings: Floats) -> Floats:
    """Length of the last-layer gradient if the top class were true: (N, C), (N, D) to (N,) float32.

    Source: the hypothetical gradient of BADGE, Ash et al. 2020, arXiv 1906.03671.
    """
    residuals = _residuals(probabilities)
    return np.asarray(np.sqrt(squared_lengths(residuals) * squared_lengths(embeddings)), dtype=np.float32)


def gradient_distances(probabilities: Floats, embeddings: Floats) -> Distances:
    """Squared distances between those gradients of rows of (N, C) and (N, D), never built."""
    residuals = _residuals(probabilities)
    lengths = squared_lengths(residuals) * squared_lengths(embeddings)

    def distances(rows: Integers | slice, others: Integers | slice) -> Floats:
        product: Floats = residuals[rows] @ residuals[others].T
        product *= embeddings[rows] @ embeddings[others].T
        product *= -2
        product += lengths[rows][:, None]
        product += lengths[others]
        np.maximum(product, 0, out=product)
        return product

    return distances


def expected_gradient_lengths(probabilities: Floats, embeddings: Floats) -> Floats:
    """Expected length of the last-layer gradient over the predicted classes: (N, C), (N, D) to (N,) float32.

    Source: Settles & Craven 2008, An Analysis of Active Learning Strategies for Sequence Labeling Tasks; for the last
    layer |p - y|^2 = |p|^2 - 2 p_y + 1.
    """
    squared = np.maximum(squared_lengths(probabilities)[:, None] - 2 * probabilities + 1, 0)
    expected = np.einsum("nc,nc->n", probabilities, np.sqrt(squared))
    return np.asarray(expected * np.sqrt(squared_lengths(embeddings)), dtype=np.float32)


def _residuals(probabilities: Floats) -> Floats:
    residuals = probabilities.astype(np.float32)
    residuals[np.arange(len(residuals)), residuals.argmax(axis=1)] -= 1
    return residuals
