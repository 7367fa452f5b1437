"""A project whose two models find other images hard: one looks at how red an image is, the next one at how green."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alloop.acquisition.selection import plain
from alloop.acquisition.strategies import Candidates, Selection, find_strategy
from alloop.images import read_image
from alloop.nouns import Predictions, Progress, Sample, Task, TrainingLabel, no_progress
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, add_manifest
from tests.small_project import LABELS

RED, GREEN = 0, 1
TOML = """\
[project]
name = "drift"
labels = ["0", "1", "2", "3"]
[model]
kind = "tests.drift_project:{model}"
[loop]
batch = 12
start = 8
ladder = ["{strategy}"]
control_share = 0.25
poll_s = 3600
{loop}
[switching]
rule = "off"
[annotation]
tool = "{tool}"
{more}
"""


def write_colours(folder: Path, *, hardly_red: int = 2) -> list[Row]:
    """100 images for the pool: 30 very red, 30 very green of which each second one is hardly red, 40 a little of both."""
    folder.mkdir(parents=True)
    red = [(200 + n, 10 + n) for n in range(30)]
    green = [(150 + n if n % hardly_red else n, 200 + n) for n in range(30)]
    both = [(90 + n, 50 + n) for n in range(40)]
    return [_row(folder / f"{n:03d}.png", n, colour) for n, colour in enumerate([*red, *green, *both])]


def write_holdout(folder: Path) -> list[Row]:
    """20 more."""
    folder.mkdir(parents=True)
    rows = [_row(folder / f"{n:03d}.png", n, (n, n)) for n in range(20)]
    return [(uri, label, group, "holdout") for uri, label, group, _ in rows]


def _row(path: Path, number: int, colour: tuple[int, int]) -> Row:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, :, :2] = colour
    pixels[number % 16, :, 2] = 255  # so that embeddings differ
    Image.fromarray(pixels).save(path)
    return str(path), LABELS[number % 4], "", "pool"


def colour_of(sample: Sample, eye: int) -> int:
    """How red or green an image is, from 0 to 255: what a model with that eye finds hard."""
    return int(np.asarray(read_image(sample.uri))[0, 0, eye])


@contextmanager
def drift_project(folder: Path, rows: Sequence[Row], **settings: str) -> Iterator[Workspace]:
    """The open workspace of a new project with these rows; people answer in a folder unless `tool` says otherwise."""
    folder.mkdir(parents=True)
    usual = {"model": "two_eyed", "strategy": "margin", "loop": "", "tool": "folder", "more": ""}
    (folder / "alloop.toml").write_text(TOML.format(**usual | settings))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("uri", "label", "group", "split"), *rows])
    with open_workspace(folder) as ws:
        add_manifest(ws)
        yield ws


class TwoEyed:
    """In doubt between two classes, as far as its eye is dazzled. With 8 labels it sees red, with more green."""

    task = Task.CLASSIFY
    labels = LABELS

    def __init__(self) -> None:
        self._eye = RED

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False) -> Predictions:
        doubt = np.array([colour_of(sample, self._eye) for sample in samples], np.float32) / 255
        nothing = np.zeros_like(doubt)
        shares = np.stack([1 - doubt / 2, doubt / 2, nothing, nothing], axis=1)
        return Predictions(tuple(x.id for x in samples), shares, doubt[:, None] if embeddings else None)

    def eye(self, labels: int) -> int:
        """What the model sees after so many labels."""
        return RED if labels <= 8 else GREEN

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        path = out_dir / "model.json"
        path.write_text(json.dumps({"eye": self.eye(len(labels)), "seed": seed}))
        return path

    def load(self, path: Path) -> None:
        self._eye = json.loads(path.read_text())["eye"]


class OneEyed(TwoEyed):
    """Sees red for ever; only its files differ."""

    def eye(self, labels: int) -> int:
        return RED


def two_eyed(_project: Any, _section: Any) -> TwoEyed:
    return TwoEyed()


def choose_anything(candidates: Candidates, n: int, rng: np.random.Generator) -> Selection:
    """Chosen for something else than their scores."""
    return plain(rng.permutation(len(candidates))[:n])


ANYTHING = replace(find_strategy("margin"), name="anything", select=choose_anything, shortlist_ratio=None)


def one_eyed(_project: Any, _section: Any) -> OneEyed:
    return OneEyed()
