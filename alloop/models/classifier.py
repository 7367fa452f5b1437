"""A model that is a neural network, trained from scratch or from its parent's weights."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alloop.errors import ModelCorrupt
from alloop.models.architectures import Classifier, build_classifier
from alloop.models.devices import limited_threads, pick_device, seeded
from alloop.models.files import check_facts, read_model
from alloop.models.packs import read_pack, write_pack
from alloop.models.pixels import to_tensor
from alloop.models.steepness import expected_gradient_length
from alloop.models.stream import read_pixels, stream
from alloop.models.targets import class_numbers, in_order, only_classify
from alloop.models.training import Schedule, train
from alloop.nouns import Floats, Predictions, Progress, Sample, Task, TrainingLabel, no_progress
from alloop.sections import ModelSection, Project
from alloop.whole_files import write_atomically

__all__ = ["ClassifierModel", "from_config"]

BATCH = 64


class ClassifierModel:
    """A Model: a convolutional network whose last features are the embeddings. Before a file is loaded it knows nothing."""

    def __init__(
        self,
        *,
        labels: Sequence[str],
        task: Task = Task.CLASSIFY,
        architecture: str = "small",
        weights: Path | None = None,
        image_size: int = 64,
        steps: int = 300,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        threads: int = 0,
        device: str = "auto",
        cache: Path | None = None,
    ) -> None:
        """Build the network; `weights` (a local state_dict) is where training from scratch starts.

        Images that `prepare` has put into the folder `cache` are not decoded again.

        ConfigError and MissingExtra say what is wrong with the architecture, the weights or the device.
        """
        self.task = only_classify(task, "classifier")
        self.labels = tuple(labels)
        self._size = image_size
        self._architecture = architecture
        self._weights = weights
        self._schedule = Schedule(steps, batch_size, learning_rate)
        self._threads = threads
        self._packed = None if cache is None else cache / f"pixels-{image_size}"
        self._device = pick_device(device)
        with seeded(0, self._device):
            self._network = self._start_network(weights=weights).eval()

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False) -> Predictions:
        """Probabilities and the network's last features, as `alloop.models.base.Model` says."""
        network = self._network
        probabilities = np.empty((len(samples), len(self.labels)), dtype=np.float32)
        kept = np.empty((len(samples), network.dimension), dtype=np.float32) if embeddings else None
        start = 0
        for images in self._stream(samples):
            rows = slice(start, start + len(images))
            with limited_threads(self._threads), torch.inference_mode():
                logits, features = network(to_tensor(images, self._device))
                probabilities[rows] = logits.double().softmax(dim=1).float().cpu().numpy()
                if kept is not None:
                    kept[rows] = features.float().cpu().numpy()
            start += len(images)
        return Predictions(tuple(sample.id for sample in samples), probabilities, kept)

    def gradients(self, samples: Sequence[Sample]) -> Floats:
        """Expected gradient lengths over all parameters, as `alloop.models.base.GradientModel` says."""
        lengths: list[float] = []
        for images in self._stream(samples):
            with limited_threads(self._threads):
                lengths += [expected_gradient_length(self._network, one) for one in to_tensor(images, self._device)]
        return np.array(lengths, dtype=np.float32)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        """A new network in `out_dir`, bit for bit the same for one seed on the CPU.

        All images of the labels are held in memory at `image_size`, as uint8. ModelCorrupt when the parent does not fit.
        """
        labels = in_order(labels)
        classes = class_numbers(labels, self.labels)
        pixels = self._read_pixels([label.sample for label in labels], progress)
        with limited_threads(self._threads), seeded(seed, self._device):
            network = self._read_network(parent) if parent else self._start_network(weights=self._weights)
            generator = torch.Generator().manual_seed(seed)
            train(network, pixels, classes, schedule=self._schedule, generator=generator, progress=progress)
        return write_atomically(out_dir / f"classifier-{seed}.pt", self._pack(network))

    def load(self, path: Path) -> None:
        """Take the weights in `path`; ModelCorrupt when they are not of this label set, architecture and image size."""
        self._network = self._read_network(path)

    def prepare(self, shards: Iterable[Sequence[Sample]], *, total: int, progress: Progress) -> None:
        """Decode all these images once, into a file that processes share; nothing happens without a cache."""
        if self._packed is not None:
            blocks = (([sample.id for sample in shard], self._read_pixels(shard, progress)) for shard in shards)
            write_pack(self._packed, blocks, total=total)

    def _start_network(self, *, weights: Path | None) -> Classifier:
        classes = len(self.labels)
        network = build_classifier(self._architecture, classes=classes, image_size=self._size, weights=weights)
        return network.to(self._device)

    def _read_network(self, path: Path) -> Classifier:
        raw = read_model(path)
        try:
            content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
            facts = {name: content.get(name) for name in self._facts()}
        except Exception as error:  # whatever foreign bytes make torch raise, the remedy is the same
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelCorrupt(f"{path} is not a classifier's file ({reason}); roll back or retrain") from error
        check_facts(path, found=facts, expected=self._facts())
        with seeded(0, self._device):
            network = self._start_network(weights=None)
        try:
            network.load_state_dict(content["state"])
        except (KeyError, RuntimeError, TypeError, AttributeError) as error:
            raise ModelCorrupt(f"{path} lacks weights of {self._architecture}; roll back or retrain") from error
        return network.eval()

    def _pack(self, network: Classifier) -> bytes:
        buffer = io.BytesIO()
        torch.save(self._facts() | {"state": network.cpu().state_dict()}, buffer)
        return buffer.getvalue()

    def _facts(self) -> dict[str, str | int]:
        return {
            "kind": "alloop-classifier-1",
            "label_set": json.dumps(self.labels),
            "architecture": self._architecture,
            "image_size": self._size,
        }

    def _stream(self, samples: Sequence[Sample]) -> Iterator[Sequence[NDArray[np.uint8]]]:
        pack = None if self._packed is None else read_pack(self._packed)
        places = None if pack is None else pack.find([sample.id for sample in samples])
        if pack is not None and places is not None:
            return (list(pack.rows[places[start : start + BATCH]]) for start in range(0, len(places), BATCH))
        return stream(samples, partial(read_pixels, size=self._size), batch=BATCH, threads=self._threads)

    def _read_pixels(self, samples: Sequence[Sample], progress: Progress) -> NDArray[np.uint8]:
        pixels = np.empty((len(samples), self._size, self._size, 3), dtype=np.uint8)
        start = 0
        for images in self._stream(samples):
            pixels[start : start + len(images)] = images
            start += len(images)
            progress("read images", start, len(samples))
        return pixels


def from_config(project: Project, model: ModelSection, *, cache: Path | None) -> ClassifierModel:
    """The classifier that `[project]` and `[model]` describe; only pixels can lie in `cache`, its features change."""
    return ClassifierModel(
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
        cache=cache,
    )
