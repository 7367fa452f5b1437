"""Real handwritten digits as a pool of image files, with the trouble that real pools have."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alloop.nouns import Split

__all__ = ["AMBIGUOUS", "DIGITS", "write_digits"]

DIGITS = tuple("0123456789")
"""The label set of the demo."""
AMBIGUOUS = "unclear"
"""What the manifest calls a blend: no class, annotators will say that they cannot tell."""
HOLDOUT = 450
BLENDS = 150
"""A tenth of the pool, together with the 1,347 digits in it."""
DUPLICATES = 5
SIDE = 32
"""Images are upscaled from 8 x 8 to this many pixels a side."""


@dataclass(frozen=True)
class Picture:
    """The bytes of an image file and what the manifest says about it."""

    content: bytes
    label: str
    split: Split = Split.POOL


def write_digits(folder: Path, *, seed: int) -> Path:
    """Write scikit-learn's 1,797 digits to `folder` as PNG files and tell the path of their manifest.csv.

    450 of them are a stratified holdout. The pool also gets 150 even blends of two different digits (labelled
    `unclear`), five exact copies and two files that are no images. Names and order tell nothing about the content.
    The same seed writes the same files.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as `sklearn.datasets.load_digits`.
    """
    pictures = _pictures(np.random.default_rng(seed))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("uri", "label", "group", "split"))
        for number, picture in enumerate(pictures):
            uri = f"images/{number:04d}.png"
            (folder / uri).write_bytes(picture.content)
            rows.writerow((uri, picture.label, "", picture.split))
    return manifest


def _pictures(dice: np.random.Generator) -> list[Picture]:
    from sklearn.datasets import load_digits  # half a second

    digits = load_digits()
    pixels, classes = digits.images / 16.0, digits.target
    held = _stratified(classes, HOLDOUT, dice)
    holdout = [Picture(_png(pixels[row]), DIGITS[classes[row]], Split.HOLDOUT) for row in held]
    rows = np.setdiff1d(np.arange(len(classes)), held)
    pool = [Picture(_png(pixels[row]), DIGITS[classes[row]]) for row in rows]
    blends = [Picture(_png(blend), AMBIGUOUS) for blend in _blends(pixels[rows], classes[rows], dice)]
    copies = [pool[place] for place in dice.choice(len(pool), DUPLICATES, replace=False)]
    everything = [*holdout, *pool, *blends, *copies, *_broken(pool[0])]
    return [everything[place] for place in dice.permutation(len(everything))]


def _stratified(classes: NDArray[np.int64], size: int, dice: np.random.Generator) -> NDArray[np.int64]:
    """`size` rows with the classes in proportion, by stepping evenly through the rows sorted by class."""
    by_class = np.lexsort((dice.permutation(len(classes)), classes))
    return by_class.take(np.linspace(0, len(classes) - 1, size).astype(np.int64))


def _blends(
    pixels: NDArray[np.float64], classes: NDArray[np.int64], dice: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    for first in dice.choice(len(classes), BLENDS, replace=False):
        second = dice.choice(np.flatnonzero(classes != classes[first]))
        yield (pixels[first] + pixels[second]) / 2


def _broken(picture: Picture) -> Sequence[Picture]:
    half = picture.content[: len(picture.content) // 2]
    return Picture(half, picture.label), Picture(b"This is not an image.\n", picture.label)


def _png(pixels: NDArray[np.float64]) -> bytes:
    """An 8 x 8 image in [0, 1] as a grey PNG of SIDE x SIDE."""
    small = Image.fromarray(np.rint(pixels * 255).astype(np.uint8))
    file = io.BytesIO()
    small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "png")
    return file.getvalue()
