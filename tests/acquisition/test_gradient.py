import numpy as np
import pytest

from alloop.acquisition.contract import Candidates
from alloop.acquisition.gradient import expected_gradient_lengths, gradient_distances, gradient_lengths
from alloop.acquisition.strategies import STRATEGIES

PROBABILITIES = np.random.default_rng(0).dirichlet(np.ones(3), size=7).astype(np.float32)
EMBEDDINGS = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)


def gradients() -> np.ndarray:
    """The gradients of the last layer, built: (7, 15)."""
    truth = np.eye(3)[PROBABILITIES.argmax(axis=1)]
    return np.einsum("nc,nd->ncd", PROBABILITIES - truth, EMBEDDINGS).reshape(7, -1)


def test_lengths_are_those_of_the_gradients_that_are_never_built() -> None:
    assert gradient_lengths(PROBABILITIES, EMBEDDINGS) == pytest.approx(np.linalg.norm(gradients(), axis=1), rel=1e-5)


def test_distances_are_those_of_the_gradients_that_are_never_built() -> None:
    built = ((gradients()[:, None] - gradients()[[2, 4]]) ** 2).sum(axis=2)
    distances = gradient_distances(PROBABILITIES, EMBEDDINGS)(slice(None), np.array([2, 4]))
    assert distances == pytest.approx(built, abs=1e-5)


def test_expected_length_by_hand() -> None:
    """Class 0: p 0.8, |(0.2, 0.2)| is 0.283; class 1: p 0.2, |(0.8, 0.8)| is 1.131; times the embedding's 2."""
    rows = np.array([[0.8, 0.2], [1.0, 0.0]], dtype=np.float32)
    lengths = expected_gradient_lengths(rows, np.array([[2.0], [2.0]], dtype=np.float32))
    assert lengths == pytest.approx([2 * (0.8 * 0.08**0.5 + 0.2 * 1.28**0.5), 0.0], rel=1e-5)


def test_badge_starts_at_the_longest_gradient_and_then_turns_elsewhere() -> None:
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [0.6, 0.4], [1.0, 0.0]], dtype=np.float32)
    embeddings = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    candidates = Candidates(np.ones(4, np.float32), np.zeros(4, np.int64), probabilities, embeddings)
    for seed in range(5):
        rows = STRATEGIES["badge"].select(candidates, 4, np.random.default_rng(seed)).rows
        assert rows[0] == 0
    seconds = [STRATEGIES["badge"].select(candidates, 2, np.random.default_rng(seed)).rows[1] for seed in range(200)]
    assert seconds.count(1) < 10, "row 1 points the same way as row 0"
