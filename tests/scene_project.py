"""A small detection project: coloured rectangles on noise, simulated annotators, and a detector that learns in no time."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from alloop.errors import ModelCorrupt
from alloop.images import read_image
from alloop.ledger.samples import SampleFile
from alloop.models.base import Model
from alloop.nouns import (
    Box,
    Content,
    Detections,
    Predictions,
    Progress,
    Sample,
    Split,
    Task,
    TrainingLabel,
    no_progress,
)
from alloop.sections import ModelSection, Project
from alloop.workspace import Workspace, open_workspace

LABELS = ("red", "green", "blue")
WIDTH, HEIGHT = 64, 48
DARK = 60

TOML = """\
[project]
name = "scenes"
task = "{task}"
labels = ["red", "green", "blue"]
seed = 3

[model]
kind = "tests.scene_project:make_detector"
{model}

[loop]
batch = 12
start = 12
holdout = 16
ladder = {ladder}
poll_s = 3600

[switching]
seed_sd_points = 0.5

[annotation]
tool = "simulated"

[annotation.simulated]
error_rate = 0
pickup_hours = 1
{more}
"""


def write_scenes(folder: Path, *, count: int = 90, task: Task = Task.DETECT, seed: int = 0) -> list[SampleFile]:
    """Images with none to three rectangles, the first 16 of them in the holdout."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    return [_scene(folder / f"{number}.png", dice, number, task) for number in range(count)]


def _scene(path: Path, dice: np.random.Generator, number: int, task: Task) -> SampleFile:
    pixels = dice.integers(0, DARK, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    boxes = []
    for place in dice.permutation(4)[: dice.integers(0, 4)]:
        x, y = 32 * (place % 2) + dice.integers(1, 8), 24 * (place // 2) + dice.integers(1, 6)
        width, height, colour = dice.integers(8, 22), dice.integers(8, 16), int(dice.integers(3))
        pixels[y : y + height, x : x + width, colour] = dice.integers(100, 255)
        corners = tuple(float(edge) for edge in (x, y, x + width, y + height))
        outline = _corners(*corners) if task is Task.SEGMENT else ()
        boxes.append(Box(LABELS[colour], *corners, polygon=outline))
    Image.fromarray(pixels).save(path)
    raw = path.read_bytes()
    split = Split.HOLDOUT if number < 16 else Split.POOL
    sample = Sample(hashlib.sha256(raw).hexdigest(), str(path), None, split, Content(boxes=tuple(boxes)))
    return SampleFile(sample, WIDTH, HEIGHT, len(raw), path.stat().st_mtime_ns)


def _corners(x0: float, y0: float, x1: float, y1: float) -> tuple[tuple[float, float], ...]:
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


@contextmanager
def scene_project(
    folder: Path,
    *,
    task: Task = Task.DETECT,
    ladder: Sequence[str] = ("auto", "least-confidence"),
    model: str = "",
    more: str = "",
    count: int = 90,
) -> Iterator[Workspace]:
    """The project in `folder`, made when it is not there yet."""
    config = folder / "alloop.toml"
    fresh = not config.exists()
    files = write_scenes(folder / "images", task=task, count=count) if fresh else []
    config.write_text(TOML.format(task=task.value, ladder=json.dumps(list(ladder)), model=model, more=more))
    with open_workspace(config) as ws:
        ws.ledger.samples.add(files, truths_are_labels=False) if files else None
        yield ws


class BlobDetector:
    """Bright blobs, each compared with the mean colour of the labelled boxes of every class."""

    def __init__(self, task: Task, labels: Sequence[str]) -> None:
        self.task, self.labels = task, tuple(labels)
        self._colours: dict[str, list[float]] = {}

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False, floor: float = 0.05) -> Predictions:
        return self._see(samples, embeddings, floor, mirrored=False)

    def predict_mirrored(self, samples: Sequence[Sample], *, floor: float = 0.05) -> Predictions:
        return self._see(samples, False, floor, mirrored=True)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        """The mean colour of each class's boxes, of half of them for a seed, so that seeds differ."""
        dice, found = np.random.default_rng(seed), {name: list[np.ndarray]() for name in self.labels}
        for label in sorted(labels, key=lambda label: label.sample.id):
            pixels = np.asarray(read_image(label.sample.uri))
            for box in label.content.boxes:
                inside = pixels[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].reshape(-1, 3)
                if dice.random() < 0.5:
                    found[box.class_name].append(inside.mean(axis=0))
        colours = {name: np.mean(rows, axis=0).tolist() for name, rows in found.items() if rows}
        path = out_dir / f"blobs-{seed}.json"
        path.write_text(json.dumps({"labels": self.labels, "colours": colours}))
        progress("training", 1, 1)
        return path

    def load(self, path: Path) -> None:
        try:
            facts = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ModelCorrupt(f"{path} is not a blob detector; retrain") from error
        if tuple(facts["labels"]) != self.labels:
            raise ModelCorrupt(f"{path} has another label set; retrain")
        self._colours = facts["colours"]

    def _see(self, samples: Sequence[Sample], embeddings: bool, floor: float, *, mirrored: bool) -> Predictions:
        images = [np.asarray(read_image(sample.uri)) for sample in samples]
        seen = tuple(self._detect(image, floor, mirrored) for image in images)
        tops = [one.class_scores.max(axis=0) if len(one) else np.zeros(len(self.labels)) for one in seen]
        kept = [image.mean(axis=0).ravel() / 255 for image in images] if embeddings else None
        return Predictions(
            tuple(sample.id for sample in samples),
            np.array(tops, np.float32).reshape(-1, len(self.labels)),
            None if kept is None else np.array(kept, np.float32).reshape(len(samples), -1),
            seen,
        )

    def _detect(self, image: np.ndarray, floor: float, mirrored: bool) -> Detections:
        view = image[:, ::-1] if mirrored else image
        numbered, _ = ndimage.label(view.max(axis=2) >= DARK + 30)
        boxes, scores = [], []
        for place in ndimage.find_objects(numbered):
            (y, x), inside = place, view[place].reshape(-1, 3)
            if len(inside) < 16:
                continue
            edges = [x.start, y.start, x.stop, y.stop]
            boxes.append([WIDTH - edges[2], edges[1], WIDTH - edges[0], edges[3]] if mirrored else edges)
            scores.append(self._scores(inside.mean(axis=0), jitter=mirrored))
        found = np.array(scores, np.float32).reshape(-1, len(self.labels))
        order = np.argsort(-found.max(axis=1), kind="stable")
        order = order[found[order].max(axis=1) >= floor]
        corners = np.array(boxes, np.float32).reshape(-1, 4)[order]
        outlines = tuple(_corners(*map(float, row)) for row in corners) if self.task is Task.SEGMENT else ()
        doubt = np.full(len(order), 0.1, np.float32) if self.task is Task.SEGMENT else None
        return Detections(corners, found[order], float(found.max(initial=0.0)), outlines, doubt)

    def _scores(self, colour: np.ndarray, *, jitter: bool) -> list[float]:
        """A class never seen scores nothing; a mirrored view is a little less sure, so that views differ."""
        scale = 60.0 if jitter else 80.0
        means = {name: np.array(mean) for name, mean in self._colours.items()}
        return [
            float(np.exp(-np.abs(colour - means[name]).sum() / scale)) if name in means else 0.0 for name in self.labels
        ]


def make_detector(project: Project, section: ModelSection) -> Model:
    """The factory that alloop.toml names."""
    del section
    return BlobDetector(project.task, project.labels)
