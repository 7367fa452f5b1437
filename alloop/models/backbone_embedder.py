"""A torchvision or timm network with local weights as an embedder that is never trained."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional

from alloop.models.backbones import build_backbone, file_sha256, probe
from alloop.models.devices import limited_threads, pick_device, seeded
from alloop.models.pixels import to_tensor
from alloop.models.stream import read_pixels, stream
from alloop.nouns import Floats, Sample

__all__ = ["BackboneEmbedder"]

BATCH = 64
EPSILON = 1e-9
"""Gives a direction to features that are all zero; far below float32's precision for any others."""


class BackboneEmbedder:
    """Embeds samples as the unit-length features of `backbone`; the fingerprint holds the weights' sha256."""

    def __init__(
        self, backbone: str, *, weights: Path, image_size: int, threads: int = 0, device: str = "auto"
    ) -> None:
        self._device = pick_device(device)
        self._size = image_size
        self._threads = threads
        with seeded(0, self._device):  # torch draws starting weights before ours replace them
            network = build_backbone(backbone, weights=weights).eval()
        self.dimension = probe(network, image_size=image_size, name=backbone)
        self.fingerprint = f"{backbone}-{image_size}-{file_sha256(weights)[:16]}"
        self._network = network.to(self._device)

    def embed(self, samples: Sequence[Sample]) -> Iterator[Floats]:
        """Embeddings in order, in blocks (up to 64, D) float32 of unit rows; BadImage names the uri."""
        for images in stream(samples, partial(read_pixels, size=self._size), batch=BATCH, threads=self._threads):
            with limited_threads(self._threads), torch.inference_mode():
                features = self._network(to_tensor(images, self._device))
                unit = functional.normalize(features.float() + EPSILON, dim=1)
            yield unit.cpu().numpy()
