"""YOLO networks of ultralytics as models: detectors and segmenters, and classifiers, trained in a process of their own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from alloop.errors import ConfigError
from alloop.models.devices import limited_threads, pick_device, seeded
from alloop.models.stream import read_pixels, stream
from alloop.models.targets import only_classify
from alloop.models.training import Schedule
from alloop.models.yolo_environment import own_folder
from alloop.models.yolo_forward import Forward, Seen, detect, highest_scores, mirror
from alloop.models.yolo_letterbox import read_letterboxed
from alloop.models.yolo_network import draw_design, pack_weights, read_foreign, read_network, read_weights
from alloop.models.yolo_training import Training, train_apart
from alloop.nouns import Detections, Predictions, Progress, Sample, Task, TrainingLabel, no_progress
from alloop.sections import ModelSection, Project
from alloop.whole_files import write_atomically

__all__ = ["YoloClassifier", "YoloModel", "from_config"]

BATCH = 16
"""Images per forward pass; one at a time takes twice as long per image (2026-11, yolov8n at 320 px on two threads)."""

Read = TypeVar("Read")
Look = Callable[[NDArray[np.uint8]], Seen]


class YoloModel:
    """A DetectionModel: boxes with a score for every class, and outlines when the task is segment."""

    def __init__(self, *, labels: Sequence[str], task: Task = Task.DETECT, **options: Any) -> None:
        """Build the network; `options` are those of `YoloNetwork`."""
        if task is Task.CLASSIFY:
            raise ConfigError(
                'a YOLO detector cannot classify; set task = "detect" or "segment", or use YoloClassifier'
            )
        self.task: Task = task
        self.labels = tuple(labels)
        self._network = YoloNetwork(labels=self.labels, task=task, **options)

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False, floor: float = 0.05) -> Predictions:
        """Detections, and embeddings of the same pass, as `alloop.models.base.DetectionModel` says.

        Raises BadImage naming the sample's uri when an image cannot be read.
        """
        kept = self._network.room(samples) if embeddings else None
        return self._predict(samples, self._network.look, floor=floor, kept=kept)

    def predict_mirrored(self, samples: Sequence[Sample], *, floor: float = 0.05) -> Predictions:
        """Detections in the images flipped left to right, mapped back to the images as they are."""

        def look(images: NDArray[np.uint8]) -> Seen:
            flipped = np.ascontiguousarray(images[:, :, ::-1])
            return mirror(self._network.look(flipped), size=self._network.size)

        return self._predict(samples, look, floor=floor, kept=None)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        """A new network in `out_dir`, bit for bit the same for one seed and number of threads on a processor.

        A sample without boxes is background. For a segmenter a box without a polygon is its own outline.
        BadLabel for a class outside the label set; ModelCorrupt when the parent does not fit.
        """
        return self._network.fit(labels, parent=parent, out_dir=out_dir, seed=seed, progress=progress)

    def load(self, path: Path) -> None:
        """Take the weights in `path`; ModelCorrupt when they are not of this task, label set and architecture."""
        self._network.load(path)

    def _predict(
        self, samples: Sequence[Sample], look: Look, *, floor: float, kept: NDArray[np.float32] | None
    ) -> Predictions:
        size = self._network.size
        probabilities = np.empty((len(samples), len(self.labels)), dtype=np.float32)
        detections: list[Detections] = []
        for items in self._network.stream(samples, partial(read_letterboxed, size=size)):
            rows = slice(len(detections), len(detections) + len(items))
            with self._network.computing():
                seen = look(np.stack([square for square, _ in items]))
                probabilities[rows] = highest_scores(seen)
                detections += detect(seen, [place for _, place in items], size=size, floor=floor)
                if kept is not None:
                    kept[rows] = seen.embeddings.float().cpu().numpy()
        return Predictions(tuple(sample.id for sample in samples), probabilities, kept, tuple(detections))


class YoloClassifier:
    """A Model: one of YOLO's classifiers, such as yolov8n-cls; its embeddings are what its last layer sees."""

    def __init__(self, *, labels: Sequence[str], task: Task = Task.CLASSIFY, **options: Any) -> None:
        """Build the network; `options` are those of `YoloNetwork`."""
        self.task = only_classify(task, "YOLO classifier")
        self.labels = tuple(labels)
        self._network = YoloNetwork(labels=self.labels, task=task, **options)

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False) -> Predictions:
        """Probabilities and the features before the last layer, as `alloop.models.base.Model` says."""
        kept = self._network.room(samples) if embeddings else None
        probabilities = np.empty((len(samples), len(self.labels)), dtype=np.float32)
        start = 0
        for images in self._network.stream(samples, partial(read_pixels, size=self._network.size)):
            rows = slice(start, start + len(images))
            with self._network.computing():
                seen = self._network.look(np.stack(images))
                probabilities[rows] = highest_scores(seen)
                if kept is not None:
                    kept[rows] = seen.embeddings.float().cpu().numpy()
            start += len(images)
        return Predictions(tuple(sample.id for sample in samples), probabilities, kept)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        """A new network in `out_dir`, bit for bit the same for one seed and number of threads on a processor."""
        return self._network.fit(labels, parent=parent, out_dir=out_dir, seed=seed, progress=progress)

    def load(self, path: Path) -> None:
        """Take the weights in `path`; ModelCorrupt when they are not of this label set, architecture and image size."""
        self._network.load(path)


class YoloNetwork:
    """What all YOLO models share: a network that scores, files of its weights, and training."""

    def __init__(
        self,
        *,
        labels: tuple[str, ...],
        task: Task,
        architecture: str = "yolov8n",
        weights: Path | None = None,
        image_size: int = 640,
        steps: int = 300,
        batch_size: int = 16,
        learning_rate: float = 2e-3,
        threads: int = 0,
        device: str = "auto",
        state: Path | None = None,
    ) -> None:
        """Build the network; `weights` (a .pt of ultralytics) is where training from scratch starts.

        Into the folder `state` ultralytics writes its settings, and a training its files while it runs; None is a
        temporary one. ConfigError, MissingExtra and ModelCorrupt say what is wrong with what is given.
        """
        folder = (state or own_folder()).absolute()
        self.size = image_size
        self._device = pick_device(device)
        self._threads = threads
        self._schedule = Schedule(steps, batch_size, learning_rate)
        self._design = draw_design(
            task=task, labels=labels, architecture=architecture, image_size=image_size, folder=folder
        )
        with seeded(0, torch.device("cpu")):
            self._start = None if weights is None else read_foreign(weights, self._design)
            self.look = self._forward(self._beginner())

    def stream(self, samples: Sequence[Sample], read: Callable[[Sample], Read]) -> Iterator[list[Read]]:
        """The samples as `read` gives them, a few batches ahead of the one that is worked on."""
        return stream(samples, read, batch=BATCH, threads=self._threads)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Within it the network may be used: for scores only, and with its number of threads."""
        with limited_threads(self._threads), torch.inference_mode():
            yield

    def room(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        """An empty array (N, D) for the embeddings of the samples."""
        return np.empty((len(samples), self.look.dimension), dtype=np.float32)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress,
    ) -> Path:
        """Train apart from this process, from the parent, the user's weights, or scratch; the file in `out_dir`."""
        training = Training(
            design=self._design,
            schedule=self._schedule,
            start=read_weights(parent, self._design) if parent else self._start,
            seed=seed,
            threads=self._threads or torch.get_num_threads(),
            device=self._device,
        )
        weights = train_apart(training, labels, progress=progress)
        return write_atomically(out_dir / f"yolo-{seed}.pt", pack_weights(weights, self._design))

    def load(self, path: Path) -> None:
        """Take the weights in `path`."""
        self.look = self._forward(read_network(path, self._design)[1])

    def _beginner(self) -> nn.Module:
        """The network before it is trained here."""
        if self._start is None:
            return self._design.build()
        network = self._design.build(self._start.born)
        network.load_state_dict(self._start.state)
        return network

    def _forward(self, network: nn.Module) -> Forward:
        return Forward(network, task=self._design.task, device=self._device)


def from_config(project: Project, model: ModelSection, *, cache: Path | None) -> YoloModel | YoloClassifier:
    """The YOLO model that `[project]` and `[model]` describe; ultralytics keeps its files next to `cache`."""
    kind = YoloClassifier if project.task is Task.CLASSIFY else YoloModel
    return kind(
        task=project.task,
        labels=project.labels,
        architecture=model.architecture,
        weights=model.weights,
        image_size=model.image_size,
        steps=model.steps,
        batch_size=model.batch_size,
        learning_rate=model.learning_rate,
        threads=model.threads,
        device=model.device,
        state=None if cache is None else cache.parent / "yolo",
    )
