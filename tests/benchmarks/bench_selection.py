"""How fast and how good k-center and weighted k-means are, beside what others use, on two threads.

Run it with `python tests/benchmarks/bench_selection.py`; it prints one line per measurement, the best of three runs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from alloop.acquisition.contract import Candidates
from alloop.acquisition.diversity import k_center, weighted_kmeans
from alloop.acquisition.neighbours import nearest
from alloop.acquisition.scores import margin
from alloop.acquisition.strategies import STRATEGIES
from alloop.nouns import Floats, Integers

RUNS = 3
THREADS = 2


@dataclass(frozen=True)
class Case:
    """Choose `n` of `points` beside `labelled`."""

    n: int
    points: Floats
    labelled: Floats

    def __str__(self) -> str:
        size, dimensions = self.points.shape
        return f"{self.n} of {size} x {dimensions} with {len(self.labelled)} labelled"


def make_case(n: int, size: int, dimensions: int, labelled: int) -> Case:
    """Unit embeddings around 60 directions, as a backbone gives them."""
    rng = np.random.default_rng(0)
    heaps = rng.normal(size=(60, dimensions))

    def draw(count: int) -> Floats:
        rows = heaps[rng.integers(60, size=count)] + rng.normal(size=(count, dimensions))
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    return Case(n, draw(size), draw(labelled))


def measure(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of three runs, and what it gave."""
    seconds, found = [], None
    for _ in range(RUNS):
        start = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def radius(case: Case, rows: Integers) -> float:
    """The distance of the point that is farthest from everything labelled or chosen."""
    return float(np.sqrt(nearest(case.points, np.concatenate([case.labelled, case.points[rows]]))[0].max()))


def plain_k_center(case: Case) -> Integers:
    """The greedy loop with one matrix-vector product per pick."""
    far = nearest(case.points, case.labelled)[0]
    lengths = np.einsum("md,md->m", case.points, case.points)
    rows = np.empty(case.n, dtype=np.int64)
    for place in range(case.n):
        rows[place] = row = far.argmax()
        np.minimum(far, lengths + lengths[row] - 2 * (case.points @ case.points[row]), out=far)
        far[row] = -1
    return rows


def activeml_k_center(case: Case) -> Integers:
    """scikit-activeml's greedy core-set; ImportError when it is not installed."""
    from skactiveml.pool import CoreSet  # type: ignore[import-not-found]

    X = np.concatenate([case.labelled, case.points])
    y = np.r_[np.zeros(len(case.labelled)), np.full(len(case.points), np.nan)]
    rows = CoreSet(random_state=0).query(X, y, batch_size=case.n)
    return np.asarray(rows, dtype=np.int64) - len(case.labelled)


def compare_k_center(case: Case) -> None:
    """k-center against the plain loop and scikit-activeml."""
    ours, (rows, _) = measure(lambda: k_center(case.points, case.n, fixed=case.labelled))
    print(f"k-center, {case}: {ours:.3f} s, radius {radius(case, rows):.4f}")
    theirs, others = measure(lambda: plain_k_center(case))
    same = (rows == others).mean()
    print(
        f"  plain BLAS loop: {theirs:.3f} s = {theirs / ours:.1f} x, radius {radius(case, others):.4f}, {same:.1%} same picks"
    )
    try:
        theirs, others = measure(lambda: activeml_k_center(case))
    except ImportError:
        print("  scikit-activeml: not installed")
    else:
        print(f"  scikit-activeml: {theirs:.3f} s = {theirs / ours:.1f} x, radius {radius(case, others):.4f}")


def compare_kmeans(case: Case) -> None:
    """Weighted k-means, all weights equal, against scikit-learn's KMeans."""
    from sklearn.cluster import KMeans

    even = np.ones(len(case.points), dtype=np.float32)
    ours, clusters = measure(lambda: weighted_kmeans(case.points, even, case.n, rng=np.random.default_rng(0)))
    inertia = float(nearest(case.points, clusters.centres)[0].sum())
    print(f"k-means, {case}: {ours:.3f} s, inertia {inertia:.1f}")
    theirs, model = measure(lambda: KMeans(case.n, random_state=0).fit(case.points))
    print(
        f"  scikit-learn: {theirs:.3f} s = {theirs / ours:.1f} x, our inertia is {inertia / model.inertia_:.4f} x its own"
    )


def time_strategies(case: Case) -> None:
    """Whole selections, from candidates to rows."""
    probabilities = np.random.default_rng(1).dirichlet(np.full(100, 0.1), size=len(case.points)).astype(np.float32)
    scores = margin(probabilities)
    candidates = Candidates(scores, probabilities.argmax(axis=1), probabilities, case.points, labelled=case.labelled)
    for name in ("auto", "badge", "uncertainty-kmeans", "uncertainty-coreset", "random-dedup"):
        select = STRATEGIES[name].select
        seconds, _ = measure(partial(select, candidates, case.n, np.random.default_rng(0)))
        print(f"{name}, {case}: {seconds:.3f} s")


def main() -> None:
    """Print every comparison."""
    with threadpool_limits(THREADS):
        small = make_case(500, 5_000, 512, 2_000)
        compare_k_center(small)
        compare_k_center(make_case(500, 200_000, 256, 2_000))
        compare_kmeans(small)
        time_strategies(make_case(1_000, 20_000, 512, 20_000))


if __name__ == "__main__":
    main()
