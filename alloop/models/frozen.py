"""A model whose embedder never changes: fit is a logistic regression and takes a second."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from alloop.acquisition.gradient import expected_gradient_lengths
from alloop.errors import ModelCorrupt
from alloop.models.embedders import make_embedder
from alloop.models.features import CachedEmbedder
from alloop.models.files import check_facts, read_model
from alloop.models.heads import Head, fit_head, pack_head, unpack_head
from alloop.models.targets import class_numbers, in_order, only_classify
from alloop.nouns import Floats, Predictions, Progress, Sample, Task, TrainingLabel, no_progress
from alloop.sections import ModelSection, Project
from alloop.whole_files import write_atomically

__all__ = ["FrozenModel", "from_config"]


class FrozenModel:
    """A Model: unit-length embeddings and an L2 logistic head. Before a file is loaded all classes are equally likely."""

    def __init__(
        self,
        *,
        labels: Sequence[str],
        task: Task = Task.CLASSIFY,
        backbone: str = "hog",
        weights: Path | None = None,
        image_size: int = 64,
        threads: int = 0,
        device: str = "auto",
        cache: Path | None = None,
    ) -> None:
        """Open the embedder; with a `cache` folder each embedding is computed once.

        ConfigError and MissingExtra say what the embedder lacks.
        """
        self.task = only_classify(task, "frozen")
        self.labels = tuple(labels)
        embedder = make_embedder(backbone, weights=weights, image_size=image_size, threads=threads, device=device)
        self._embedder = embedder if cache is None else CachedEmbedder(embedder, cache)
        self._head: Head | None = None

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False) -> Predictions:
        """Probabilities and unit-length embeddings, as `alloop.models.base.Model` says."""
        count = len(samples)
        probabilities = np.full((count, len(self.labels)), 1 / len(self.labels), dtype=np.float32)
        kept = np.empty((count, self._embedder.dimension), dtype=np.float32) if embeddings else None
        start = 0
        for block in self._embedder.embed(samples):
            rows = slice(start, start + len(block))
            if self._head is not None:
                probabilities[rows] = self._head.probabilities(block)
            if kept is not None:
                kept[rows] = block
            start += len(block)
        return Predictions(tuple(sample.id for sample in samples), probabilities, kept)

    def gradients(self, samples: Sequence[Sample]) -> Floats:
        """Expected gradient lengths of the head, which is all that learns, as `alloop.models.base.GradientModel` says."""
        found = self.predict(samples, embeddings=True)
        assert found.embeddings is not None, "they were asked for"
        return expected_gradient_lengths(found.probabilities, found.embeddings)

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        """A new head in `out_dir`; the problem is convex, so neither the parent nor the seed changes it."""
        del parent
        labels = in_order(labels)
        classes = class_numbers(labels, self.labels)
        blocks: list[Floats] = []
        for block in self._embedder.embed([label.sample for label in labels]):
            blocks.append(block)
            progress("embed", sum(map(len, blocks)), len(labels))
        head = fit_head(np.concatenate(blocks), classes, count=len(self.labels))
        return write_atomically(out_dir / f"frozen-{seed}.npz", pack_head(head, **self._facts()))

    def load(self, path: Path) -> None:
        """Take the head in `path`; ModelCorrupt when it is not one for this label set and embedder."""
        raw = read_model(path)
        try:
            head, facts = unpack_head(raw)
        except Exception as error:  # whatever foreign bytes make numpy raise, the remedy is the same
            raise ModelCorrupt(f"{path} is not a frozen model's file ({error}); roll back or retrain") from error
        check_facts(path, found=facts, expected=self._facts())
        shape = (len(self.labels), self._embedder.dimension)
        if head.weights.shape != shape:
            raise ModelCorrupt(f"{path} has weights of shape {head.weights.shape}, expected {shape}; retrain")
        self._head = head

    def prepare(self, shards: Iterable[Sequence[Sample]], *, total: int, progress: Progress) -> None:
        """Embed all these samples once, into a file that processes share; nothing happens without a cache."""
        if isinstance(self._embedder, CachedEmbedder):
            self._embedder.pack(shards, total=total, progress=progress)

    def _facts(self) -> dict[str, str]:
        return {"kind": "alloop-frozen-1", "label_set": json.dumps(self.labels), "embedder": self._embedder.fingerprint}


def from_config(project: Project, model: ModelSection, *, cache: Path | None) -> FrozenModel:
    """The frozen model that `[project]` and `[model]` describe, with its feature cache in the folder `cache`."""
    return FrozenModel(
        task=project.task,
        labels=project.labels,
        backbone=model.backbone,
        weights=model.weights,
        image_size=model.image_size,
        threads=model.threads,
        device=model.device,
        cache=cache,
    )
