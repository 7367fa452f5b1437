"""How long a backtest takes: 10 seeds x 6 strategies x 12 cycles on 25,000 images, walked twice over the loop's own steps.

python tests/benchmarks/bench_backtest.py --images 25000 --seeds 10 --workers 2

The pool is scikit-learn's digits with near-copies, as `alloop backtest --repeat` makes it. Images are decoded and embedded
first and timed apart: a second backtest in the same folder does not do that again. Two of the six are the baselines, of
which random is walked three times a seed.
"""

import argparse
import csv
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from alloop.arms import Terms
from alloop.backtest import Backtest, Plan, run_backtest
from alloop.backtest_report import savings_markdown
from alloop.demo_data import AMBIGUOUS, write_digits
from alloop.findings import find
from alloop.variants import Variant

STRATEGIES = ("entropy", "margin", "uncertainty-kmeans", "auto")


def write_pool(folder: Path) -> Path:
    """The demo's digits without its blends, one row per image."""
    source = write_digits(folder, seed=7)
    with source.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] != AMBIGUOUS]
    manifest = folder / "clear.csv"
    with manifest.open("w", newline="") as file:
        lines = csv.DictWriter(file, ["uri", "label", "group", "split"])
        lines.writeheader()
        lines.writerows(rows)
    return manifest


def main() -> None:
    """Print the two times, what a cycle costs, and the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=25_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            manifest=str(write_pool(Path(folder) / "digits")),
            out=Path(folder) / "out",
            strategies=STRATEGIES,
            seeds=given.seeds,
            terms=Terms(start=50, batch=50, budget=600),
            variant=Variant(repeated_to=given.images),
            workers=given.workers,
        )
        start = time.perf_counter()
        run_backtest(replace(plan, strategies=(), seeds=1, terms=Terms(start=50, batch=50, budget=51)))
        ready = time.perf_counter()
        found = run_backtest(plan)
        done = time.perf_counter()
    print(f"images made, decoded and embedded: {ready - start:.0f} s")
    show(found, done - ready)


def show(found: Backtest, spent_s: float) -> None:
    """The times and the table."""
    cycles = sum(len(points) for points in found.points.values())
    walked = Counter(arm.strategy for arm in found.points)
    print(f"{len(found.points)} arms, {cycles} cycles: {spent_s:.0f} s with {found.plan.workers} processes")
    print(f"a cycle: {spent_s * found.plan.workers / cycles:.2f} s of one core")
    print(f"arms of random: {walked['random']}; s per selection: ", end="")
    print(", ".join(f"{finding.strategy} {finding.select_s:.2f}" for finding in find(found)))
    print(savings_markdown(found))


if __name__ == "__main__":
    main()
