"""The contracts of a model; every adapter passes `alloop.testing.model_contract.ModelContract`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from alloop.nouns import Floats, Predictions, Progress, Sample, Task, TrainingLabel, no_progress

__all__ = ["DetectionModel", "GradientModel", "MaskModel", "Masks", "Model"]


class Model(Protocol):
    """What scores the pool, pre-labels for annotators, and is retrained on their labels: one and the same.

    `labels` is the label set; column c of the probabilities is class `labels[c]`. Same seed, same result.
    """

    task: Task
    labels: tuple[str, ...]

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False) -> Predictions:
        """Probabilities (N, C) float32, rows sum to 1; embeddings (N, D) float32 from the same forward pass.

        Images are read and decoded in small batches; memory does not grow with N beyond the result.
        Raises BadImage naming the sample's uri when an image cannot be read.
        """

    def fit(
        self,
        labels: Sequence[TrainingLabel],
        *,
        parent: Path | None,
        out_dir: Path,
        seed: int,
        progress: Progress = no_progress,
    ) -> Path:
        """Train on `labels` (warm from `parent` when given), write one file into `out_dir`, and return its path.

        This model itself is not changed: `load` the file to use it. BadLabel for a class outside the label set.
        """

    def load(self, path: Path) -> None:
        """Become the model in `path`; ModelCorrupt when it is not one of this kind, label set and architecture."""


@runtime_checkable
class GradientModel(Protocol):
    """A Model that can also say how much a label would change it, for the strategy `expected-gradient`.

    It passes `alloop.testing.model_contract.GradientContract` too.
    """

    def gradients(self, samples: Sequence[Sample]) -> Floats:
        """Expected gradient length of each sample, (N,) float32, at least 0; higher would change the model more.

        The length of the loss's gradient is weighted by the probability of each class. The model is not changed.
        Raises BadImage naming the sample's uri when an image cannot be read.
        """


@runtime_checkable
class DetectionModel(Model, Protocol):
    """A Model whose task is detect or segment: its predictions carry `detections`.

    It passes `alloop.testing.detection_contract.DetectionContract`.
    """

    def predict(self, samples: Sequence[Sample], *, embeddings: bool = False, floor: float = 0.05) -> Predictions:
        """As `Model.predict`; an image's boxes are those whose highest class score is at least `floor`."""

    def predict_mirrored(self, samples: Sequence[Sample], *, floor: float = 0.05) -> Predictions:
        """The same on images flipped left to right, with boxes mapped back: a second view of the same thing."""


@dataclass(frozen=True, eq=False)
class Masks:
    """B masks in one image of height H and width W, with what the model thinks of them, 0 to 1.

    Attributes:
        masks: (B, H, W) bool.
        quality: (B,) float32, the overlap with the truth that the model predicts.
        stability: (B,) float32, the overlap of the masks at a lower and a higher threshold.
    """

    masks: NDArray[np.bool_]
    quality: Floats
    stability: Floats


class MaskModel(Protocol):
    """A second opinion that draws masks without knowing classes, such as SAM-2."""

    def masks_of(self, image: NDArray[np.uint8], boxes: Floats) -> Masks:
        """A mask for each of the boxes (B, 4) in pixels of the image (H, W, 3) uint8 RGB."""

    def propose(self, image: NDArray[np.uint8]) -> Masks:
        """Masks of whatever it takes for objects, without being asked."""
