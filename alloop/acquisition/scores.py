"""How informative a prediction is: (N, C) probabilities to (N,) scores; higher is more worth labelling.

Source: Settles, Active Learning Literature Survey (2009), section 3.1.
"""

import numpy as np

from alloop.nouns import Floats, Integers

__all__ = ["entropy", "least_confidence", "margin", "power_margin", "top_rows"]


def least_confidence(probabilities: Floats) -> Floats:
    """One minus the highest probability: (N, C) to (N,) float32 in [0, 1 - 1/C]."""
    return _scores(1.0 - probabilities.max(axis=1))


def margin(probabilities: Floats) -> Floats:
    """One minus the lead of the first class over the second: (N, C) to (N,) float32 in [0, 1].

    With one class the second has probability 0.
    """
    if probabilities.shape[1] < 2:
        return least_confidence(probabilities)
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return _scores(1.0 - (first - second))


def entropy(probabilities: Floats) -> Floats:
    """Shannon entropy in nats: (N, C) to (N,) float32 in [0, log C]; 0 log 0 counts as 0."""
    logs = np.zeros_like(probabilities)
    np.log(probabilities, out=logs, where=probabilities > 0)
    return _scores(-np.einsum("nc,nc->n", probabilities, logs))


def power_margin(probabilities: Floats, rng: np.random.Generator) -> Floats:
    """Margin divided by a draw from Exp(1): (N, C) to (N,) float32, at least 0.

    The n highest are a random sample without replacement with probability ~ margin. Source: power sampling with
    exponent 1, Kirsch et al. 2021, arXiv 2106.12059 (log margin + Gumbel noise; this is its exponential).
    """
    return _scores(margin(probabilities) / rng.standard_exponential(len(probabilities), dtype=np.float32))


def top_rows(scores: Floats, n: int, rng: np.random.Generator) -> Integers:
    """The rows (min(n, N),) int64 of the n highest of (N,) scores, highest first; ties are broken by the generator."""
    if n < len(scores):
        cut = np.partition(scores, len(scores) - n)[len(scores) - n] if n else np.inf
        rows = np.flatnonzero(scores >= cut)
    else:
        rows = np.arange(len(scores))
    order = np.lexsort((rng.permutation(len(rows)), -scores[rows]))
    return rows[order[:n]].astype(np.int64)


def _scores(values: Floats) -> Floats:
    # Rounding can leave -1e-8 where 0 is meant, and every score is at least 0.
    return np.maximum(values, 0).astype(np.float32)
