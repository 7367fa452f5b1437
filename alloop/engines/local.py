"""One process: while a shard is scored, the next one is read."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")
_END = object()


def read_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in the same order, each fetched in a thread while the one before it is used; at most two exist."""
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1) as reader:
        following = reader.submit(next, iterator, _END)
        while (item := following.result()) is not _END:
            following = reader.submit(next, iterator, _END)
            yield item  # type: ignore[misc]  # _END never gets here
