"""Masks in COCO's run-length encoding, as outlines."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from alloop.errors import BadLabel
from alloop.nouns import Polygon
from alloop.outlines import outline

__all__ = ["mask_outline", "run_lengths"]

COMPRESSED = re.compile(r"(?:[P-o]{0,6}[0-O])*")
"""Numbers of up to seven characters of six bits; the upper half of the characters go on (cocoapi, maskApi.c, rleFrString)."""


def mask_outline(segmentation: Mapping[str, Any], *, width: int, height: int, where: str) -> Polygon:
    """The outline of a run-length encoded mask of an image of width x height pixels, along the edges of its pixels.

    Raises:
        BadLabel: it is no such mask, is of another size, or is empty.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise BadLabel(f"{where} has a mask of size {size}, and its image is {height} high and {width} wide; mend it")
    runs = run_lengths(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or any(type(run) is not int or run < 0 for run in runs):
        raise BadLabel(f"{where} has a mask whose counts are no run lengths; mend it")
    if sum(runs) != width * height:
        raise BadLabel(
            f"{where} has a mask whose run lengths add up to {sum(runs)} and not to {width * height}; mend it"
        )
    values = np.arange(len(runs), dtype=np.uint8) % 2  # 256 is even: the wrapped numbers alternate too
    pixels = np.repeat(values, runs).reshape((height, width), order="F")
    if not pixels.any():
        raise BadLabel(f"{where} has an empty mask; remove it")
    return outline(pixels != 0)


def run_lengths(counts: str) -> list[int] | None:
    """The run lengths in a compressed text, in which each but the first three is told as the change since the last but one.

    None when it is no such text.
    """
    if not COMPRESSED.fullmatch(counts):
        return None
    runs: list[int] = []
    number = shift = 0
    for character in counts:
        bits = ord(character) - 48
        number |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            signed = number - (1 << shift) if bits & 0x10 else number
            runs.append(signed + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    return runs
