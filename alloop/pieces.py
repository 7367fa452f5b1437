"""Long lists in pieces, each of which fits into a query, a request, or memory."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["IMAGES", "in_pieces"]

T = TypeVar("T")
IMAGES = 256
"""Images whose boxes are in memory at once, for each model that looks at them: 300 boxes of 80 classes are 100 kB."""


def in_pieces(rows: Sequence[T], most: int = IMAGES) -> Iterator[Sequence[T]]:
    """The rows in their order, at most `most` at a time; nothing for no rows."""
    return (rows[start : start + most] for start in range(0, len(rows), most))
