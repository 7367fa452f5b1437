"""Rows of numbers by sample id in one memory-mapped file: written once, then shared by processes that only read."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alloop.nouns import Integers
from alloop.whole_files import appearing, write_atomically

__all__ = ["Pack", "read_pack", "write_pack"]

Rows = NDArray[Any]


class Pack:
    """One row per sample id, (N, …) of any type; what is not in it is simply not known."""

    def __init__(self, ids: Sequence[str], rows: Rows) -> None:
        self.rows = rows
        self._places = {name: place for place, name in enumerate(ids)}

    def find(self, ids: Sequence[str]) -> Integers | None:
        """The places (N,) int64 of all these ids, or None when one of them is missing."""
        places = [self._places.get(name, -1) for name in ids]
        return None if -1 in places else np.array(places, dtype=np.int64)


def write_pack(path: Path, blocks: Iterable[tuple[Sequence[str], Rows]], *, total: int) -> None:
    """Write blocks of (ids, their rows), `total` rows in all, to `path`.npy and `path`.ids; nothing for no rows."""
    if not total:
        return
    names: list[str] = []
    with appearing(path.with_suffix(".npy")) as fresh:
        file: np.memmap[Any, Any] | None = None
        for ids, rows in blocks:
            if file is None:
                file = np.lib.format.open_memmap(fresh, mode="w+", dtype=rows.dtype, shape=(total, *rows.shape[1:]))
            file[len(names) : len(names) + len(ids)] = rows
            names += ids
        if file is None or len(names) != total:
            raise ValueError(f"{len(names)} rows came for a pack of {total}; count the samples again")
        file.flush()
        # before the rows, which say that the pack is whole
        write_atomically(path.with_suffix(".ids"), "\n".join(names).encode("ascii"))


def read_pack(path: Path) -> Pack | None:
    """The pack at `path`, or None when there is none."""
    return _opened(path) if path.with_suffix(".npy").exists() else None


@lru_cache(maxsize=4)
def _opened(path: Path) -> Pack:
    """Opened once per process: a pack never changes."""
    ids = path.with_suffix(".ids").read_text(encoding="ascii").split("\n")
    return Pack(ids, np.load(path.with_suffix(".npy"), mmap_mode="r"))
