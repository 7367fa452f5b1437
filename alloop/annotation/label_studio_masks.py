"""Brush strokes: Label Studio's run lengths as masks (H, W) bool, and the outline of a mask.

The format is that of @thi.ng/rle-pack, as in label-studio-sdk 2.1.2, converter/brush.py: the picture as H·W·4 bytes
(red, green, blue, alpha; alpha is the mask) in a stream of bits.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from alloop.errors import BadLabel
from alloop.nouns import Polygon

__all__ = ["decode_mask", "outline"]

Mask = NDArray[np.bool_]
Contour = NDArray[np.float64]
CHANNELS = 4
WORD = 8
SIZES = (3, 4, 8, 16)
"""Bits of a run's length, by the two bits that say which of the four."""
HALF = 127
"""A pixel that the brush covers by more than this of 255 is painted."""
MOST = 200_000_000
"""No more pixels than this are unpacked."""
TOLERANCE = 0.4
"""Pixels that an outline may leave the edge of its mask: every pixel's middle stays on its side of most edges."""


def decode_mask(packed: Sequence[int], size: tuple[int, int]) -> Mask:
    """The mask (H, W) of a picture of (width, height) pixels. BadLabel when the bytes are not such a mask."""
    width, height = size
    if not 0 < width * height <= MOST:
        raise BadLabel(f"a mask of {width} x {height} pixels cannot be unpacked; export it from Label Studio by hand")
    try:
        bits = np.unpackbits(np.array(packed, dtype=np.uint8))
    except (OverflowError, TypeError, ValueError):
        raise BadLabel("the brush stroke is not a list of bytes; draw it again") from None
    values = np.zeros(width * height * CHANNELS, np.uint8)
    at = 0
    for part in _parts(bits, len(values)):
        values[at : at + len(part)] = part
        at += len(part)
    return values.reshape(height, width, CHANNELS)[..., -1] > HALF


def _parts(bits: NDArray[np.uint8], total: int) -> Iterator[NDArray[np.uint8]]:
    """The values in order, run after run; BadLabel unless they are `total` in number."""
    reader = _Reader(bits)
    told, word = reader.number(32), reader.number(5) + 1
    sizes = [reader.number(4) + 1 for _ in range(4)]
    if told != total or word != WORD:
        raise BadLabel(
            f"the brush stroke covers {told // CHANNELS} pixels, its image {total // CHANNELS}; draw it again"
        )
    left = total
    while left > 0:
        repeats = reader.number(1)
        length = reader.number(sizes[reader.number(2)]) + 1
        if length > left:
            raise BadLabel("the brush stroke runs past its image; draw it again")
        yield np.full(length, reader.number(WORD), np.uint8) if repeats else reader.bytes(length)
        left -= length


class _Reader:
    """Takes numbers off a stream of bits; BadLabel at its end."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._bits, self._at = bits, 0

    def number(self, size: int) -> int:
        return int.from_bytes(np.packbits(self._take(size)).tobytes(), "big") >> (-size % 8)

    def bytes(self, count: int) -> NDArray[np.uint8]:
        return np.packbits(self._take(count * WORD))

    def _take(self, size: int) -> NDArray[np.uint8]:
        some = self._bits[self._at : self._at + size]
        if len(some) < size:
            raise BadLabel("the brush stroke ends too early; draw it again")
        self._at += size
        return some


def outline(mask: Mask) -> Polygon:
    """One polygon around all painted pixels, in pixels of the mask; BadLabel when none is painted.

    Further parts and holes hang on it by bridges of no width, so by the even-odd rule it covers what the mask covers.
    """
    from skimage import measure

    find_contours: Callable[..., list[Contour]] = measure.find_contours
    approximate_polygon: Callable[..., Contour] = measure.approximate_polygon
    rings = [ring[:, ::-1] - 0.5 for ring in find_contours(np.pad(mask, 1).astype(np.float32), 0.5)]
    if not rings:
        raise BadLabel("a brush stroke paints nothing; remove it")
    height, width = mask.shape
    thin = [approximate_polygon(ring, TOLERANCE) for ring in rings]
    kept = [some if len(some) > 3 else ring for some, ring in zip(thin, rings, strict=True)]
    whole = _joined(sorted(kept, key=len, reverse=True)).clip(0, (width, height))
    return tuple((float(x), float(y)) for x, y in whole[:-1])


def _joined(rings: Sequence[Contour]) -> Contour:
    """Closed rings (N, 2) as one: each hangs by a bridge from the nearest point of what is there."""
    from scipy.spatial import KDTree

    whole, left = rings[0], list(rings[1:])
    while left:
        tree = KDTree(whole)
        reach = [tree.query(ring) for ring in left]
        chosen = min(range(len(left)), key=lambda number: float(reach[number][0].min()))
        ring, (distances, nearest) = left.pop(chosen), reach[chosen]
        start = int(distances.argmin())
        loop = np.concatenate([ring[start:-1], ring[: start + 1]])
        anchor = int(nearest[start])
        whole = np.concatenate([whole[: anchor + 1], loop, whole[anchor:]])
    return whole
