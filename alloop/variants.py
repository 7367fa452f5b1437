"""Harder variants of a pool, made from its own images: heavy-tailed repetition, and blends that nobody can tell."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alloop.errors import ConfigError
from alloop.images import read_image
from alloop.nouns import Integers, Progress, Sample

__all__ = ["Variant", "copies_each", "write_blends", "write_copies"]

MOST = 400
"""Copies of one image at most; together with the fewest, 1, the tail of the measurements of 2026-11."""
SHIFT, GAIN, NOISE = 0.02, 0.1, 0.01
"""A copy is moved by up to this share of its side, and its light changed by up to this share; noise of this deviation. So
copies of digits and hand signs lie at half the distance of two different images (HOG features, measured 2026-11)."""

TRIES = 100
"""Pairs drawn in search of one that was not blended before."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Variant:
    """How a pool is changed before the backtest; nothing by default.

    Attributes:
        repeated_to: the pool's size by near-copies, 1 to 400 of each image; None leaves the pool as it is.
        known_groups: whether the copies of one image share a group that strategies see.
        blend_share: this share of the pool are even blends of two classes, which annotators call unclear.
        seed: what the copies and blends are drawn from.

    Raises:
        ConfigError: a share outside [0, 0.5].
    """

    repeated_to: int | None = None
    known_groups: bool = False
    blend_share: float = 0.0
    seed: int = 20260101

    def __post_init__(self) -> None:
        if not 0 <= self.blend_share <= 0.5:
            raise ConfigError(f"a share of blends of {self.blend_share:g} is not possible; choose one from 0 to 0.5")

    @property
    def words(self) -> str:
        """The variant in a few words, "" for the pool as it is."""
        parts = [f"repeated to {self.repeated_to}"] if self.repeated_to else []
        parts += ["groups known"] if self.repeated_to and self.known_groups else []
        parts += [f"{self.blend_share:.0%} blends"] if self.blend_share else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Made:
    """An image that was written, and where it comes from: the original of a copy, the first of the two of a blend."""

    path: Path
    origin: Sample


def copies_each(images: int, total: int, rng: np.random.Generator) -> Integers:
    """(images,) int64: how often each image is in the pool, from 1 to 400, with the sum `total`.

    The tail is Pareto's: the image of rank r appears (images / (r - 1/2))**a times, where `a` is what makes the sum right.
    ConfigError when no such numbers exist.
    """
    if not images <= total <= MOST * images:
        raise ConfigError(
            f"{images} images repeated 1 to {MOST} times do not give {total}; "
            f"choose a size from {images} to {MOST * images}"
        )
    low, high = 0.0, 1e6  # by halving: the sum grows with the exponent
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if _pareto(images, middle).sum() > total else (middle, high)
    counts = _pareto(images, low)
    room = np.flatnonzero(counts < MOST)
    counts[room[len(room) - (total - int(counts.sum())) :]] += 1  # what rounding down left
    return rng.permutation(counts)


def _pareto(images: int, exponent: float) -> Integers:
    """Copies by rank, rounded down, from at most MOST down to at least 1."""
    grows = np.log(images / (np.arange(images) + 0.5))
    return np.exp(np.minimum(exponent * grows, np.log(MOST)) + 1e-9).astype(np.int64)


def write_copies(
    samples: Sequence[Sample], folder: Path, *, total: int, seed: int, side: int, progress: Progress
) -> Iterator[Made]:
    """Write the near-copies that make `total` images of the samples: slightly shifted, lit and noisy PNG files."""
    counts = copies_each(len(samples), total, np.random.default_rng([seed, 1]))
    done = 0
    for place, (sample, count) in enumerate(zip(samples, counts.tolist(), strict=True)):
        dice = np.random.default_rng([seed, 2, place])
        pixels = _pixels(sample, side) if count > 1 else np.empty((0, 0, 3), np.uint8)
        for copy in range(1, count):
            yield Made(_write(folder, f"copy {place} {copy}", vary(pixels, dice)), sample)
        done += count
        progress("repeating the pool", done, total)


def write_blends(
    samples: Sequence[Sample], classes: Sequence[str], folder: Path, *, count: int, seed: int, side: int
) -> Iterator[Made]:
    """Write `count` even blends of two samples of different classes, of no two samples twice if they are enough."""
    for number, (first, second) in enumerate(_pairs(np.array(classes), count, np.random.default_rng([seed, 3]))):
        one = _pixels(samples[first], side)
        other = Image.fromarray(_pixels(samples[second], side)).resize((one.shape[1], one.shape[0]))
        blend = (one.astype(np.uint16) + np.asarray(other, dtype=np.uint16) + 1) // 2
        yield Made(_write(folder, f"blend {number}", blend.astype(np.uint8)), samples[first])


def _pairs(classes: NDArray[np.str_], count: int, dice: np.random.Generator) -> Iterator[tuple[int, int]]:
    drawn: set[frozenset[int]] = set()
    for _ in range(count):
        for _ in range(TRIES):
            first = int(dice.integers(len(classes)))
            second = int(dice.choice(np.flatnonzero(classes != classes[first])))
            if frozenset((first, second)) not in drawn:
                break
        drawn.add(frozenset((first, second)))
        yield first, second


def vary(pixels: Pixels, dice: np.random.Generator) -> Pixels:
    """A near-copy of an image (H, W, 3) uint8: shifted by parts of pixels, its borders repeated, then lit and noisy."""
    from scipy.ndimage import shift

    down, right = dice.uniform(-SHIFT, SHIFT, 2) * min(pixels.shape[:2])
    moved = shift(pixels.astype(np.float32), (down, right, 0), order=1, mode="nearest")
    moved *= np.float32(1 + dice.uniform(-GAIN, GAIN))
    moved += dice.normal(0, 255 * NOISE, moved.shape).astype(np.float32)
    return np.asarray(np.clip(np.rint(moved), 0, 255), dtype=np.uint8)


def _pixels(sample: Sample, side: int) -> Pixels:
    image = read_image(sample.uri)
    image.thumbnail((max(side, 1), max(side, 1)))
    return np.asarray(image, dtype=np.uint8)


def _write(folder: Path, name: str, pixels: Pixels) -> Path:
    """Write a PNG whose name tells nothing about what is on it."""
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.png"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    path.write_bytes(file.getvalue())
    return path
