"""A project small enough for a test, and real all the same: scikit-learn's digits 0 to 3, and a model that learns them."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    strategy_switch,
    wait_until_labelled,
)
from alloop.images import read_image
from alloop.nouns import Predictions, Progress, Sample, Task, TrainingLabel, no_progress
from alloop.pool import add_to_pool
from alloop.workspace import PoolStore, Workspace, open_workspace

LABELS = ("0", "1", "2", "3")
STEPS = (
    score_pool,
    diversity_select,
    push_to_annotation,
    wait_until_labelled,
    retrain,
    holdout_eval,
    strategy_switch,
)
FOLDER = '"><svg onload=alert(1)>'
"""Every image lies in it: no file name may ever become markup."""

SETTINGS = """
[project]
name = "{name}"
labels = ["0", "1", "2", "3"]
seed = 1
[ledger]
url = "sqlite:///ledger.db"
[model]
kind = "tests.small_project:nearest_centroid"
[loop]
batch = 12
start = 8
ladder = [{ladder}]
control_share = 0.25
poll_s = 3600
[switching]
replicates = 2
on_exhausted = "continue"
{more}
[annotation]
tool = "simulated"
"""


class NearestCentroid:
    """Softmax over minus the squared distance to each class's mean image of 8 x 8 pixels."""

    task = Task.CLASSIFY

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self._centroids = np.zeros((len(labels), 64), dtype=np.float32)

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False) -> Predictions:
        pixels = _pixels(samples)
        logits = -2 * ((pixels[:, None] - self._centroids) ** 2).sum(axis=2)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        ids = tuple(sample.id for sample in samples)
        return Predictions(ids, shares / shares.sum(axis=1, keepdims=True), pixels if embeddings else None)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        pixels = _pixels([label.sample for label in labels])
        classes = np.array([self.labels.index(str(label.content.class_name)) for label in labels])
        rng = np.random.default_rng(seed)
        means = [
            pixels[classes == c].mean(axis=0) if (classes == c).any() else rng.random(64) for c in range(len(LABELS))
        ]
        np.save(out_dir / "model.npy", np.stack(means).astype(np.float32))
        return out_dir / "model.npy"

    def load(self, path: Path) -> None:
        self._centroids = np.load(path)


def nearest_centroid(project, section) -> NearestCentroid:
    return NearestCentroid(project.labels)


def _pixels(samples: Sequence[Sample]) -> np.ndarray:
    images = [np.asarray(read_image(sample.uri, size=8).convert("L"), dtype=np.float32) for sample in samples]
    return np.stack(images).reshape(len(images), 64) / 255 if images else np.zeros((0, 64), np.float32)


def write_images(folder: Path) -> Path:
    """80 digits for the pool, 40 for the holdout, and in the pool four blends, an exact copy and a file that is no image."""
    from sklearn.datasets import load_digits

    digits, images = load_digits(n_class=4), folder / FOLDER
    images.mkdir(parents=True)
    rows = [("uri", "label", "split")]
    for number in range(120):
        _save(digits.images[number], images / f"{number:03d}.png")
        split = "holdout" if number % 3 == 2 else "pool"
        rows.append((f"{FOLDER}/{number:03d}.png", str(digits.target[number]), split))
    for number in range(4):
        _save((digits.images[130 + number] + digits.images[141 + number]) / 2, images / f"blend{number}.png")
        rows.append((f"{FOLDER}/blend{number}.png", "unclear", "pool"))
    _save(digits.images[0], images / "copy.png")
    (images / "broken.png").write_bytes(b"no image")
    rows += [(f"{FOLDER}/copy.png", "0", "pool"), (f"{FOLDER}/broken.png", "1", "pool")]
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "manifest.csv"


def _save(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(np.rint(pixels * 255 / 16).astype(np.uint8)).resize((24, 24)).save(path)


@contextmanager
def small_project(
    folder: Path, manifest: Path, *, ladder: tuple[str, ...] = ("margin", "random"), more: str = ""
) -> Iterator[Workspace]:
    """The open workspace of a new project in `folder`, with its pool added."""
    folder.mkdir(parents=True)
    text = SETTINGS.format(name=folder.name, ladder=", ".join(f'"{name}"' for name in ladder), more=more)
    (folder / "alloop.toml").write_text(text)
    with open_workspace(folder) as ws:
        add_to_pool(str(manifest), store=PoolStore(ws), labels=(*LABELS, "unclear"))
        yield ws


def run_cycles(ws: Workspace, cycles: int) -> None:
    """So many cycles from open to decision."""
    for _ in range(cycles):
        cycle = open_cycle(ws)
        for step in STEPS:
            step(ws, cycle)


def run_until_pushed(ws: Workspace) -> int:
    """A cycle that people have been asked for, and have not answered."""
    cycle = open_cycle(ws)
    for step in STEPS[:3]:
        step(ws, cycle)
    return cycle
