"""The contracts of a model; every adapter passes `alloop.testing.model_contract.ModelContract`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from alloop.nouns import Floats, Predictions, Progress, Sample, Task, TrainingLabel, no_progress

__all__ = ["GradientModel", "Model"]


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
