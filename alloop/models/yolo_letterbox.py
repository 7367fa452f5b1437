"""Images squared for a YOLO network without changing their proportions, and the way back to their own pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alloop.images import read_image
from alloop.nouns import Floats, Sample

__all__ = ["Placement", "read_letterboxed", "shrink"]

GREY = 114
"""What ultralytics pads with (ultralytics/data/augment.py, LetterBox)."""


@dataclass(frozen=True)
class Placement:
    """Where an upright image of width x height pixels lies in its square: offset and scale, in pixels of the square."""

    width: int
    height: int
    left: int
    top: int
    across: float
    down: float

    def back(self, points: Floats) -> Floats:
        """Points (P, 2) of the square, or boxes (B, 4), in pixels of the upright original, clipped to it."""
        pairs = points.shape[1] // 2
        shift = np.tile(np.array([self.left, self.top], dtype=np.float32), pairs)
        scale = np.tile(np.array([self.across, self.down], dtype=np.float32), pairs)
        limit = np.tile(np.array([self.width, self.height], dtype=np.float32), pairs)
        clipped: Floats = np.clip((points - shift) / scale, 0, limit).astype(np.float32)
        return clipped


def read_letterboxed(sample: Sample, *, size: int) -> tuple[NDArray[np.uint8], Placement]:
    """The sample's image in a grey square (size, size, 3) uint8 RGB, and where it lies; BadImage names its uri."""
    image = read_image(sample.uri)
    ratio = size / max(image.size)
    width, height = (max(1, round(side * ratio)) for side in image.size)
    left, top = (size - width) // 2, (size - height) // 2
    square = np.full((size, size, 3), GREY, dtype=np.uint8)
    square[top : top + height, left : left + width] = shrink(image, width, height)
    return square, Placement(*image.size, left, top, width / image.width, height / image.height)


def shrink(image: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """The image as (height, width, 3) uint8: averaged over whole pixels first, then bilinear, which costs least.

    Training and scoring both resize with it, so that a network sees in the pool what it was trained on.
    """
    import cv2

    factor = min(image.width // width, image.height // height)
    if factor >= 2:
        image = image.reduce(factor)
    pixels = np.asarray(image, dtype=np.uint8)
    if pixels.shape[:2] == (height, width):
        return pixels
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
