import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.acquisition.diversity import k_center, weighted_kmeans
from alloop.acquisition.neighbours import nearest
from alloop.acquisition.seeding import draw_spread, euclidean

LINE = np.array([[0.0], [1.0], [4.0], [10.0]], dtype=np.float32)


def cloud(seed: int, size: int, dimensions: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, dimensions)).astype(np.float32)


def test_nearest_by_hand() -> None:
    distances, rows = nearest(np.array([[2.0], [9.0]], dtype=np.float32), LINE)
    assert distances.tolist() == [1.0, 1.0]
    assert rows.tolist() == [1, 3]


def test_k_center_by_hand() -> None:
    rows, distances = k_center(LINE, 3, fixed=np.array([[0.0]], dtype=np.float32))
    assert rows.tolist() == [3, 2, 1]
    assert distances.tolist() == [10.0, 4.0, 1.0]


def test_k_center_with_nothing_fixed_starts_at_row_0() -> None:
    rows, distances = k_center(LINE, 2)
    assert rows.tolist() == [0, 3]
    assert distances.tolist() == [np.inf, 10.0]


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 700), share=st.floats(0, 1))
def test_every_pick_of_k_center_is_the_farthest(seed: int, size: int, share: float) -> None:
    points, fixed = cloud(seed, size), cloud(seed + 1, 4)
    rows, distances = k_center(points, round(share * size), fixed=fixed)
    far = np.linalg.norm(points[:, None] - fixed, axis=2).min(axis=1)
    for row, distance in zip(rows, distances, strict=True):
        assert far[row] == pytest.approx(far.max(), abs=2e-3)
        assert far[row] == pytest.approx(distance, abs=2e-3)
        far = np.minimum(far, np.linalg.norm(points - points[row], axis=1))
    assert len(set(rows.tolist())) == len(rows)


def test_k_center_of_duplicates_gives_distinct_rows() -> None:
    rows, _ = k_center(np.ones((600, 4), dtype=np.float32), 600)
    assert sorted(rows.tolist()) == list(range(600))


def test_kmeans_finds_two_heaps() -> None:
    points = np.array([[0.0], [0.2], [9.0], [9.2]], dtype=np.float32)
    clusters = weighted_kmeans(points, np.ones(4, dtype=np.float32), 2, rng=np.random.default_rng(0))
    assert sorted(clusters.centres[:, 0].tolist()) == pytest.approx([0.1, 9.1])
    assert clusters.members[0] == clusters.members[1] != clusters.members[2]


def test_kmeans_centres_lie_where_the_weight_is() -> None:
    points, weights = np.array([[0.0], [1.0]], dtype=np.float32), np.array([3.0, 1.0], dtype=np.float32)
    clusters = weighted_kmeans(points, weights, 1, rng=np.random.default_rng(0))
    assert clusters.centres[0, 0] == pytest.approx(0.25, abs=1e-3)


def test_a_fixed_point_keeps_what_is_nearest_it() -> None:
    points = np.array([[0.0], [0.2], [9.0], [9.2]], dtype=np.float32)
    clusters = weighted_kmeans(
        points, np.ones(4, np.float32), 1, rng=np.random.default_rng(0), fixed=np.array([[0.1]], dtype=np.float32)
    )
    assert clusters.members.tolist() == [-1, -1, 0, 0]
    assert clusters.centres[:, 0].tolist() == pytest.approx([9.1])


def test_kmeans_is_as_tight_as_scikit_learns() -> None:
    from sklearn.cluster import KMeans

    points = cloud(0, 2000, 16)
    ours = weighted_kmeans(points, np.ones(2000, np.float32), 100, rng=np.random.default_rng(0))
    inertia = nearest(points, ours.centres)[0].sum()
    assert inertia <= 1.02 * KMeans(100, random_state=0).fit(points).inertia_


def test_more_trials_give_tighter_clusters() -> None:
    points, even = cloud(0, 1000, 2), np.ones(1000, np.float32)

    def inertia(trials: int) -> float:
        runs = (weighted_kmeans(points, even, 50, rng=np.random.default_rng(s), trials=trials) for s in range(5))
        return sum(float(nearest(points, run.centres)[0].sum()) for run in runs)

    assert inertia(4) < inertia(1)


def test_drawing_follows_weight_times_squared_distance() -> None:
    """Twice the weight and twice the distance of the other is drawn 8 times as often as it."""
    points, weights = np.array([[1.0], [-2.0]], dtype=np.float32), np.array([1.0, 2.0], dtype=np.float32)
    start = np.array([1.0, 4.0], dtype=np.float32)
    rng = np.random.default_rng(0)
    far = sum(int(draw_spread(1, weights, start, euclidean(points), rng=rng)[0]) for _ in range(2000))
    assert far / 2000 == pytest.approx(8 / 9, abs=0.02)


def test_later_draws_follow_the_true_distance_and_not_the_bound() -> None:
    """Rows 0 and 1 are alike: once one is drawn the other has next to no chance, though its bound is the highest."""
    points = np.array([[10.0], [10.001], [1.0]], dtype=np.float32)
    start = np.array([100.0, 100.0, 1.0], dtype=np.float32)
    for seed in range(50):
        rows = draw_spread(2, np.ones(3, np.float32), start, euclidean(points), rng=np.random.default_rng(seed))
        assert 2 in rows


def test_nothing_is_drawn_where_nothing_weighs() -> None:
    rows = draw_spread(
        3, np.zeros(4, np.float32), np.ones(4, np.float32), euclidean(LINE), rng=np.random.default_rng(0)
    )
    assert rows.tolist() == []
