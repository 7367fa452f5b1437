"""The built-in embedder: histograms of oriented gradients and coarse colours, needing no weights."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from skimage.feature import hog

from alloop.images import read_image
from alloop.models.stream import stream
from alloop.nouns import Floats, Sample

__all__ = ["HogEmbedder", "describe"]

SIZE = 64
CELL = 16
ORIENTATIONS = 9
COLOURS = 4
DIMENSION = 324 + 3 * COLOURS**2
BATCH = 256


def describe(image: Image.Image) -> Floats:
    """What an RGB image of any size looks like, (372,) float32 of length 1.

    324 numbers are Dalal and Triggs' HOG (CVPR 2005) of the image at 64 px with cells of 16 px; 48 are the mean colours of
    a 4 x 4 grid. Measured 2026-11 with 100-500 labels: on hand signs up to 3 points better than 32 px with cells of 8
    px, on digits up to 1 worse.
    """
    image = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    gradients = hog(
        np.asarray(image.convert("L"), dtype=np.float32) / 255,
        orientations=ORIENTATIONS,
        pixels_per_cell=(CELL, CELL),
        cells_per_block=(2, 2),
    )
    colours = np.asarray(image.resize((COLOURS, COLOURS), Image.Resampling.BOX), dtype=np.float32).ravel() / 127.5 - 1
    return _unit(np.concatenate([_unit(gradients), colours / np.sqrt(colours.size)]))


class HogEmbedder:
    """Embeds samples with `describe`; `fingerprint` changes whenever the numbers would."""

    dimension = DIMENSION
    fingerprint = "hog-1"

    def __init__(self, *, threads: int = 0) -> None:
        self._threads = threads

    def embed(self, samples: Sequence[Sample]) -> Iterator[Floats]:
        """Embeddings in order, in blocks (up to 256, 372) float32 of unit rows; BadImage names the uri."""
        for rows in stream(samples, _describe_sample, batch=BATCH, threads=self._threads):
            yield np.stack(rows)


def _describe_sample(sample: Sample) -> Floats:
    return describe(read_image(sample.uri, size=SIZE))


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return (vector / length if length > 0 else np.full_like(vector, vector.size**-0.5)).astype(np.float32)
