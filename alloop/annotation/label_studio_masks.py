"""Brush strokes: Label Studio's run lengths as masks (H, W) bool.

The format is that of @thi.ng/rle-pack, as in label-studio-sdk 2.1.2, converter/brush.py: the picture as H·W·4 bytes
(red, green, blue, alpha; alpha is the mask) in a stream of bits.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from alloop.errors import BadLabel

__all__ = ["decode_mask"]

Mask = NDArray[np.bool_]
CHANNELS = 4
WORD = 8
SIZES = (3, 4, 8, 16)
"""Bits of a run's length, by the two bits that say which of the four."""
HALF = 127
"""A pixel that the brush covers by more than this of 255 is painted."""
MOST = 200_000_000
"""No more pixels than this are unpacked."""


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
