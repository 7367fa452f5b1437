"""What turns samples into embeddings that are never trained: the built-in one, or a backbone with local weights."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from alloop.errors import ConfigError
from alloop.nouns import Floats, Sample

__all__ = ["Embedder", "make_embedder"]


class Embedder(Protocol):
    """A fixed map from samples to unit vectors of `dimension` numbers; another `fingerprint` means other numbers."""

    dimension: int
    fingerprint: str

    def embed(self, samples: Sequence[Sample]) -> Iterator[Floats]:
        """Embeddings in order, in small blocks (B, D) float32; BadImage names the uri of an image that fails."""


def make_embedder(backbone: str, *, weights: Path | None, image_size: int, threads: int, device: str) -> Embedder:
    """The embedder called "hog", "torchvision:NAME" or "timm:NAME"; ConfigError or MissingExtra says what lacks."""
    if backbone == "hog":
        from alloop.models.hog import HogEmbedder

        return HogEmbedder(threads=threads)
    if weights is None:
        raise ConfigError(
            f'backbone {backbone!r} needs weights; set model.weights to a local state_dict, or backbone = "hog"'
        )
    from alloop.models.backbone_embedder import BackboneEmbedder  # imports torch, which takes seconds

    return BackboneEmbedder(backbone, weights=weights, image_size=image_size, threads=threads, device=device)
