"""Projects for tests of the loop: real digits with any manifest, people who answer in a folder, and models with a temper."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from alloop.nouns import Batch, Sample, TrainingLabel
from alloop.pool import add_to_pool
from alloop.workspace import PoolStore, Workspace, open_workspace
from tests.small_project import LABELS, NearestCentroid

TOML = """\
[project]
name = "{name}"
labels = ["0", "1", "2", "3"]
seed = {seed}

[ledger]
url = "{ledger}"

[model]
kind = "{model}"
image_size = 8
steps = 20
threads = 1

[loop]
batch = 12
start = 8
holdout = 20
ladder = ["margin", "random"]
control_share = 0.25
poll_s = 3600
{loop}

[switching]
replicates = 2
on_exhausted = "continue"

[annotation]
tool = "{tool}"
{more}
"""

Row = tuple[str, str, str, str]
"""uri, label, group and split of a manifest's line."""


def write_digits(folder: Path, count: int = 80) -> list[Row]:
    """Digits 0 to 3 as image files, and rows with their labels: no group, and all for the pool."""
    folder.mkdir(parents=True)
    digits = load_digits(n_class=4)
    for number in range(count):
        pixels = np.rint(digits.images[number] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).resize((16, 16)).save(folder / f"{number:03d}.png")
    return [(str(folder / f"{number:03d}.png"), str(digits.target[number]), "", "pool") for number in range(count)]


def without_labels(rows: Sequence[Row]) -> list[Row]:
    """The same, as a team has them at the start."""
    return [(uri, "", group, split) for uri, _, group, split in rows]


def for_holdout(rows: Sequence[Row]) -> list[Row]:
    """The same, for the holdout."""
    return [(uri, label, group, "holdout") for uri, label, group, _ in rows]


@contextmanager
def project(
    folder: Path,
    rows: Sequence[Row],
    *,
    tool: str = "simulated",
    seed: int = 1,
    model: str = "tests.small_project:nearest_centroid",
    ledger: str = "sqlite:///ledger.db",
    loop: str = "",
    more: str = "",
    name: str | None = None,
) -> Iterator[Workspace]:
    """The open workspace of a new project, with these rows, if any, added to its pool."""
    folder.mkdir(parents=True)
    names = {"name": name or folder.name, "tool": tool, "seed": seed, "model": model, "ledger": ledger}
    (folder / "alloop.toml").write_text(TOML.format(**names, loop=loop, more=more))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("uri", "label", "group", "split"), *rows])
    with open_workspace(folder) as ws:
        if rows:
            add_manifest(ws)
        yield ws


def add_manifest(ws: Workspace) -> None:
    """Add the project's manifest to its pool, perhaps again."""
    add_to_pool(str(ws.config.root / "manifest.csv"), store=PoolStore(ws), labels=ws.manifest_labels)


def answer(ws: Workspace, cycle: int, says: Callable[[Sample], dict[str, Any] | None]) -> None:
    """Write people's answers to the batch of a cycle into its folder; None leaves a sample for later."""
    lines = [(item.sample, says(item.sample)) for item in batch_of(ws, cycle).items]
    path = ws.config.root / "annotation" / f"batch-{cycle:04d}" / "labels.jsonl"
    path.write_text("".join(json.dumps({"sample": x.id, **line}) + "\n" for x, line in lines if line is not None))


def truly(rows: Sequence[Row]) -> Callable[[Sample], dict[str, Any]]:
    """People who know every digit."""
    names = {uri: label for uri, label, _, _ in rows}
    return lambda sample: {"label": names[sample.uri]}


def batch_of(ws: Workspace, cycle: int) -> Batch:
    return ws.ledger.batches.get(cycle)


def story(ws: Workspace) -> dict[str, Any]:
    """Everything that a loop decided, without times."""
    numbers = [cycle.number for cycle in ws.ledger.cycles.all()]
    evaluations = [ws.ledger.models.evaluation(model.name) for n in numbers for model in ws.ledger.models.of(n)]
    return {
        "decisions": ws.ledger.decisions.all(),
        "batches": [
            [(i.sample.id, i.rank, i.lane, i.score) for i in batch_of(ws, n).items if i.prelabel] for n in numbers
        ],
        "asked": [[(i.sample.id, i.rank, i.lane) for i in batch_of(ws, n).items] for n in numbers],
        "labels": [ws.ledger.labels.training_set(n).hash for n in numbers],
        "models": [[(m.name, m.sha256, m.labels) for m in ws.ledger.models.of(n)] for n in numbers],
        "points": [(one.points, one.low, one.high, one.holdout_hash) for one in evaluations if one],
        "hours": ws.ledger.labels.annotator_hours(),
    }


class Forgetful(NearestCentroid):
    """Learns from its first batch only: with more labels it takes every digit for the next one."""

    def fit(self, labels: Sequence[TrainingLabel], **more: Any) -> Path:
        path = super().fit(labels, **more)
        if len(labels) > 10:
            np.save(path, np.roll(np.load(path), 1, axis=0))
        return path


def forgetful(_project: Any, _section: Any) -> Forgetful:
    return Forgetful(LABELS)
