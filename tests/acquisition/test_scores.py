import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.acquisition.scores import entropy, least_confidence, margin, top_rows

TWO_ROWS = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]], dtype=np.float32)


def test_least_confidence_by_hand() -> None:
    assert least_confidence(TWO_ROWS) == pytest.approx([0.5, 0.0])


def test_margin_by_hand() -> None:
    assert margin(TWO_ROWS) == pytest.approx([0.8, 0.0])


def test_entropy_by_hand() -> None:
    by_hand = -(0.5 * np.log(0.5) + 0.3 * np.log(0.3) + 0.2 * np.log(0.2))
    assert entropy(TWO_ROWS) == pytest.approx([by_hand, 0.0])


@pytest.mark.parametrize("score", [least_confidence, margin, entropy])
def test_scores_are_float32_and_need_no_second_class(score) -> None:
    scores = score(np.ones((2, 1), dtype=np.float32))
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("score", [least_confidence, margin, entropy])
def test_scores_of_no_rows(score) -> None:
    assert score(np.ones((0, 3), dtype=np.float32)).shape == (0,)


@pytest.mark.parametrize("score", [least_confidence, margin, entropy])
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 9))
def test_a_uniform_row_is_worth_the_most(score, seed: int, classes: int) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=20).astype(np.float32)
    uniform = np.full((1, classes), 1 / classes, dtype=np.float32)
    assert (score(rows) <= score(uniform) + 1e-6).all()
    assert (score(rows) >= 0).all()


def test_top_rows_are_sorted() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.7], dtype=np.float32)
    assert top_rows(scores, 3, np.random.default_rng(0)).tolist() == [1, 3, 2]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60))
def test_top_rows_are_the_true_top(seed: int, n: int) -> None:
    scores = np.random.default_rng(seed).random(50, dtype=np.float32)
    rows = top_rows(scores, n, np.random.default_rng(0))
    assert scores[rows].tolist() == sorted(scores.tolist(), reverse=True)[:n]


def test_ties_are_broken_by_the_seed() -> None:
    equal = np.ones(100, dtype=np.float32)
    first, again, other = (top_rows(equal, 5, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
