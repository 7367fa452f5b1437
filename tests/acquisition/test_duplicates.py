import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.acquisition.duplicates import duplicate_radius, first_of_each_group, first_of_each_heap


def test_the_radius_is_a_share_of_the_median_distance() -> None:
    """Half of the points lie at 0, half at 1: half of the pairs of different points are 1 apart."""
    points = np.repeat([[0.0], [1.0], [2.0]], [1, 1, 1], axis=0).astype(np.float32)
    assert duplicate_radius(points, np.random.default_rng(0), share=0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("size", [0, 1])
def test_too_few_points_for_a_radius(size: int) -> None:
    assert duplicate_radius(np.ones((size, 2), dtype=np.float32), np.random.default_rng(0)) == 0.0


def test_the_first_of_each_group_stays_and_so_does_what_has_none() -> None:
    assert first_of_each_group(np.array([3, -1, 3, 5, -1, 5])).tolist() == [0, 1, 3, 4]


def test_the_first_of_each_heap_by_hand() -> None:
    points = np.array([[0.0], [0.9], [1.8], [5.0], [5.0]], dtype=np.float32)
    assert first_of_each_heap(points, 1.0).tolist() == [0, 2, 3]


def test_no_points_have_no_heads() -> None:
    assert first_of_each_heap(np.empty((0, 3), dtype=np.float32), 1.0).tolist() == []


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 2500), radius=st.floats(0.01, 1))
def test_heads_are_far_apart_and_every_other_row_is_near_an_earlier_one(seed: int, size: int, radius: float) -> None:
    points = np.random.default_rng(seed).random((size, 2), dtype=np.float32)
    heads = first_of_each_heap(points, radius)
    for row in np.random.default_rng(seed).integers(size, size=20):
        earlier = heads[heads < row]
        nearest = np.linalg.norm(points[earlier] - points[row], axis=1).min(initial=9.0)
        assert nearest > radius - 1e-3 if row in heads else nearest <= radius + 1e-3
