"""One for many: the first of each group, and the first of each heap of near-duplicates."""

import numpy as np

from alloop.nouns import Floats, Integers

__all__ = ["DUPLICATE_SHARE", "duplicate_radius", "first_of_each_group", "first_of_each_heap"]

DUPLICATE_SHARE = (
    0.2  # of the median distance of random pairs; duplicates themselves set the nearest distances (2026-11)
)
PAIRS = 10_000
BLOCK = 1024


def duplicate_radius(points: Floats, rng: np.random.Generator, *, share: float = DUPLICATE_SHARE) -> float:
    """The distance under which two points are near-duplicates: `share` of the median distance of 10,000 random pairs.

    `points` is (M, D) float32; fewer than two have radius 0.
    """
    if len(points) < 2:
        return 0.0
    first = rng.integers(len(points), size=PAIRS)
    second = (first + rng.integers(1, len(points), size=PAIRS)) % len(points)
    distances = [
        np.linalg.norm(points[first[start : start + BLOCK]] - points[second[start : start + BLOCK]], axis=1)
        for start in range(0, PAIRS, BLOCK)
    ]
    return share * float(np.median(np.concatenate(distances)))


def first_of_each_group(groups: Integers) -> Integers:
    """Rows int64 of the first of each group in (M,) int64, in order; every row of group -1 stays."""
    _, first = np.unique(groups, return_index=True)
    keep = groups < 0
    keep[first] = True
    return np.flatnonzero(keep)


def first_of_each_heap(points: Floats, radius: float, *, beside: Floats | None = None) -> Integers:
    """Rows int64 of (M, D) float32 that have no earlier such row within `radius`, in order.

    Rows within `radius` of one of `beside` (B, D) float32, which are taken already, are left out too. Which rows stay
    depends on the order: give the ones most worth keeping first.
    """
    from faiss import IndexFlatL2

    kept = IndexFlatL2(points.shape[1])
    if beside is not None and len(beside):
        kept.add(np.ascontiguousarray(beside, dtype=np.float32))
    rows: list[Integers] = []
    for start in range(0, len(points), BLOCK):
        block = np.ascontiguousarray(points[start : start + BLOCK], dtype=np.float32)
        fresh = np.arange(len(block))
        if kept.ntotal:
            fresh = fresh[kept.search(block, 1)[0][:, 0] > radius**2]
        fresh = fresh[_far_apart(block[fresh], radius)]
        kept.add(block[fresh])
        rows.append(fresh + start)
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)


def _far_apart(points: Floats, radius: float) -> Integers:
    lengths = np.einsum("md,md->m", points, points)
    close = lengths[:, None] + lengths - 2 * points @ points.T <= radius**2
    alive = np.ones(len(points), dtype=bool)
    for row in range(len(points)):
        if alive[row]:
            alive[row + 1 :] &= ~close[row, row + 1 :]
    return np.flatnonzero(alive)
