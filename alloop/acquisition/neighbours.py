"""Squared distances by matrix products, in blocks so that memory does not grow with the product of the sizes."""

from collections.abc import Iterator

import numpy as np

from alloop.nouns import Floats, Integers

__all__ = ["blocks", "nearest", "squared_lengths"]

BLOCK_FLOATS = 1 << 22  # 16 MiB of float32: one block of a distance matrix
TILE = 2048  # references per block; a block of few rows and many references is several times as slow (2026-11)


def squared_lengths(points: Floats) -> Floats:
    """The squared length of each row: (M, D) to (M,) float32."""
    return np.asarray(np.einsum("md,md->m", points, points), dtype=np.float32)


def nearest(points: Floats, references: Floats) -> tuple[Floats, Integers]:
    """Squared distance (M,) float32 to, and row (M,) int64 of, the reference nearest each point.

    Args:
        points: (M, D) float32.
        references: (R, D) float32, at least one.
    """
    rows = np.zeros(len(points), dtype=np.int64)
    best = np.full(len(points), -np.inf, dtype=np.float32)
    half = squared_lengths(references) / 2
    for start in range(0, len(references), TILE):
        tile = slice(start, start + TILE)
        for block in blocks(len(points), min(TILE, len(references))):
            product = points[block] @ references[tile].T
            product -= half[tile]
            found = product.argmax(axis=1)
            value = np.take_along_axis(product, found[:, None], axis=1)[:, 0]
            closer = value > best[block]
            best[block][closer], rows[block][closer] = value[closer], found[closer] + start
    return np.maximum(squared_lengths(points) - 2 * best, 0), rows


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a (rows, columns) matrix, each holding at most BLOCK_FLOATS numbers (but one row at least)."""
    step = max(1, BLOCK_FLOATS // max(1, columns))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
