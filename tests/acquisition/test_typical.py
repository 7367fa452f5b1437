import numpy as np
import pytest

from alloop.acquisition.contract import Candidates
from alloop.acquisition.typical import select_typical, typicality

rng = np.random.default_rng(0)
LARGE, SMALL = rng.normal([1, 0], 0.01, (30, 2)), rng.normal([0, 1], 0.01, (10, 2))
POINTS = np.concatenate([LARGE, SMALL]).astype(np.float32)


def choose(n: int, labelled: np.ndarray | None = None) -> np.ndarray:
    candidates = Candidates(np.ones(40, np.float32), np.zeros(40, np.int64), embeddings=POINTS, labelled=labelled)
    return select_typical(candidates, n, np.random.default_rng(0)).rows


def test_typicality_by_hand() -> None:
    """0, 1 and 3 on a line: mean distances 2, 1.5 and 2.5; a fourth point is alone in its cluster."""
    line = np.array([[0.0], [1.0], [3.0], [9.0]], dtype=np.float32)
    assert typicality(line, np.array([0, 0, 0, 1])) == pytest.approx([1 / 2, 1 / 1.5, 1 / 2.5, 0])


def test_the_large_cluster_comes_first() -> None:
    assert (choose(2) // 30).tolist() == [0, 1]


def test_the_most_typical_is_taken() -> None:
    first = choose(2)[0]
    assert typicality(POINTS, np.repeat([0, 1], [30, 10]))[:30].argmax() == first


def test_a_cluster_that_holds_a_label_comes_last() -> None:
    """With one label there are two clusters for a batch of one; the large one is covered."""
    assert (choose(1, labelled=POINTS[:1]) // 30).tolist() == [1]
