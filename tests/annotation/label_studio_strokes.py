"""What Label Studio keeps of a brush stroke, made from a mask: the other half of `alloop.annotation.label_studio_masks`."""

import numpy as np

from alloop.annotation.label_studio_masks import CHANNELS, SIZES, WORD, Mask


def encode_mask(mask: Mask) -> list[int]:
    """The bytes that Label Studio keeps of a mask (H, W)."""
    values = np.repeat(mask.ravel(), CHANNELS)
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]), len(values) - 1)
    lengths = np.diff(ends, prepend=-1)
    head = [f"{len(values):032b}", f"{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    runs = (_run(int(length), painted=bool(values[end])) for length, end in zip(lengths, ends, strict=True))
    bits = "".join([*head, *runs])
    return list(int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big"))


def _run(length: int, *, painted: bool) -> str:
    parts = []
    while length:
        some = min(length, 2 ** SIZES[-1])
        which = next(number for number, size in enumerate(SIZES) if some <= 2**size)
        parts.append(f"1{which:02b}{some - 1:0{SIZES[which]}b}{255 * painted:08b}")
        length -= some
    return "".join(parts)
