"""Does choosing pay for a detector? Strategies compared in pairs on the loop's own steps, beside the noise of training.

python tests/benchmarks/bench_detection.py --images data --labels data --holdout holdout --classes RBC,WBC,Platelets

All strategies of a seed go on from the same first batch and the same first model. The control lane is off, so that a
batch is a strategy's own. The noise floor is the last label set of `random`, trained again with other seeds.
"""

import argparse
import json
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    wait_until_labelled,
    walk,
)
from alloop.formats.labelled_images import Wanted, open_labels
from alloop.judging import predict_holdout
from alloop.metrics import judge
from alloop.nouns import Task
from alloop.pool import add_to_pool
from alloop.workspace import PoolStore, Workspace, open_workspace

TO_EVALUATION = (score_pool, diversity_select, push_to_annotation, wait_until_labelled, retrain, holdout_eval)
TOML = """
[project]
name = "detection"
task = "detect"
labels = {labels}
seed = {seed}
[model]
kind = "yolo"
image_size = {size}
steps = {steps}
threads = 1
[loop]
batch = {batch}
start = {start}
ladder = ["{strategy}"]
control_share = 0.0
control_least = 0
poll_s = 1e7
[switching]
rule = "off"
seed_sd_points = 0.0
[promotion]
tolerance_points = 100
[annotation]
tool = "simulated"
[annotation.simulated]
error_rate = 0.0
pickup_hours = 0.0
"""


def settings(given: argparse.Namespace, seed: int, strategy: str) -> str:
    labels = json.dumps(given.classes.split(","))
    return TOML.format(**{**vars(given), "labels": labels, "seed": seed, "strategy": strategy})


def begin(given: argparse.Namespace, seed: int, folder: Path) -> None:
    """The pool, the first batch and the first model, which every strategy of the seed starts from."""
    folder.mkdir(parents=True)
    (folder / "alloop.toml").write_text(settings(given, seed, "random"))
    with open_workspace(folder) as ws:
        wanted = Wanted(given.images, given.labels, ws.config.project.labels, Task.DETECT, holdout=given.holdout)
        with open_labels(wanted) as source:
            add_to_pool(source, store=PoolStore(ws), labels=ws.manifest_labels, task=Task.DETECT)
        cycle = open_cycle(ws)
        for step in TO_EVALUATION:
            step(ws, cycle)


def walk_one(given: argparse.Namespace, seed: int, strategy: str, start: Path) -> tuple[list[float], list[float]]:
    """mAP50 after each cycle, and that of the last label set of `random` trained with other seeds."""
    with tempfile.TemporaryDirectory(dir=start.parent) as folder:
        shutil.copytree(start, folder, dirs_exist_ok=True)
        (Path(folder) / "alloop.toml").write_text(settings(given, seed, strategy))
        with open_workspace(Path(folder)) as ws:
            walk(ws, 0, wait=True)
            while len(ws.ledger.decisions.all()) < given.cycles:
                walk(ws, open_cycle(ws), wait=True)
            versions = [ws.ledger.models.of(number)[0].name for number in range(given.cycles)]
            points = [ws.ledger.models.evaluation(name).points for name in versions]
            return points, trained_again(ws, given) if strategy == "random" else []


def trained_again(ws: Workspace, given: argparse.Namespace) -> list[float]:
    """The last label set with other training seeds, from the same parent."""
    last = given.cycles - 1
    version, labels = ws.ledger.models.of(last)[0], ws.ledger.labels.training_set(last).labels
    parent = ws.registry.path(ws.ledger.models.get(version.parent).sha256) if version.parent else None
    found = []
    for seed in range(1, given.again + 1):
        with tempfile.TemporaryDirectory(dir=ws.config.state) as out:
            model = ws.new_model()
            model.load(model.fit(labels, parent=parent, out_dir=Path(out), seed=version.seed + seed))
        ws._loaded[version.name] = model  # the holdout is asked of this one
        holdout = ws.ledger.holdout.frozen()[1]
        judged = judge(holdout, predict_holdout(ws, version), model.labels, task=Task.DETECT)
        found.append(100 * judged.measure.share)
    return found


def main() -> None:
    """Print the mAP50 of every walk, the paired differences, and the noise."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--holdout", default=None)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--strategies", default="random,least-confidence,uncertainty-kmeans,disagreement-kmeans")
    for name, default in {"seeds": 3, "start": 30, "batch": 30, "cycles": 4, "size": 160, "steps": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--again", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    strategies = given.strategies.split(",")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(given.workers) as pool:
        starts = {seed: Path(folder) / f"seed-{seed}" for seed in range(given.seeds)}
        for begun in [pool.submit(begin, given, seed, start) for seed, start in starts.items()]:
            begun.result()
        walks = {
            (name, seed): pool.submit(walk_one, given, seed, name, start)
            for name in strategies
            for seed, start in starts.items()
        }
        found = {key: walked.result() for key, walked in walks.items()}
    show(found, strategies, given)


def show(
    found: dict[tuple[str, int], tuple[list[float], list[float]]], strategies: list[str], given: argparse.Namespace
) -> None:
    labels = [given.start + given.batch * cycle for cycle in range(given.cycles)]
    print("labels".ljust(22), *(f"{count:>18}" for count in labels))
    for name in strategies:
        rows = np.array([found[name, seed][0] for seed in range(given.seeds)])
        cells = [
            f"{mean:.1f} ({'/'.join(f'{one:.0f}' for one in column)})"
            for mean, column in zip(rows.mean(0), rows.T, strict=True)
        ]
        print(name.ljust(22), *(f"{cell:>18}" for cell in cells))
    base = np.array([found["random", seed][0][1:] for seed in range(given.seeds)])
    for name in strategies[1:]:
        gains = (np.array([found[name, seed][0][1:] for seed in range(given.seeds)]) - base).mean(axis=1)
        each = ", ".join(f"{gain:+.1f}" for gain in gains)
        print(f"{name} minus random, mean over cycles, by seed: {each}; mean {gains.mean():+.1f}")
    for seed in range(given.seeds):
        points, again = found["random", seed]
        each = ", ".join(f"{one:.1f}" for one in again)
        print(f"noise, seed {seed}: the last label set of random gave {points[-1]:.1f}, with other seeds {each}")


if __name__ == "__main__":
    main()
