"""Embeddings that are computed once: a cache on disk, one SQLite file per embedder.

SQLite and not Parquet or npy, because rows are added by hundreds while other processes read, and a process that is
killed in the middle must leave a readable file: a transaction gives that without code of ours.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from alloop.errors import ConfigError
from alloop.models.embedders import Embedder
from alloop.models.packs import read_pack, write_pack
from alloop.nouns import Floats, Progress, Sample

__all__ = ["CachedEmbedder", "FeatureCache"]

BUSY_S = 60.0
CHUNK = 1024


class CachedEmbedder:
    """An Embedder that asks `embedder` only for the samples whose embedding is not in `folder` yet."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self.dimension = embedder.dimension
        self.fingerprint = embedder.fingerprint
        self._embedder = embedder
        self._cache = FeatureCache(folder, fingerprint=embedder.fingerprint, dimension=embedder.dimension)
        self._packed = folder / f"features-{embedder.fingerprint.replace(':', '-')}"
        self._pack = read_pack(self._packed)

    def embed(self, samples: Sequence[Sample]) -> Iterator[Floats]:
        """Embeddings in order, in blocks (up to 1,024, D) float32; BadImage names the uri of an image that fails."""
        rest = iter(samples)
        while chunk := list(islice(rest, CHUNK)):
            ids = [sample.id for sample in chunk]
            places = None if self._pack is None else self._pack.find(ids)
            if self._pack is not None and places is not None:
                yield self._pack.rows[places]
                continue
            known = self._cache.read(ids)
            known.update(self._compute([sample for sample in chunk if sample.id not in known]))
            yield np.stack([known[key] for key in ids])

    def pack(self, shards: Iterable[Sequence[Sample]], *, total: int, progress: Progress) -> None:
        """Put the embeddings of all these samples into one file beside the cache, which processes then share."""

        def blocks() -> Iterator[tuple[list[str], Floats]]:
            done = 0
            for shard in shards:
                yield [sample.id for sample in shard], np.concatenate(list(self.embed(shard)))
                done += len(shard)
                progress("embedding images", done, total)

        write_pack(self._packed, blocks(), total=total)
        self._pack = read_pack(self._packed)

    def _compute(self, samples: list[Sample]) -> Iterator[tuple[str, Floats]]:
        start = 0
        for block in self._embedder.embed(samples):
            ids = [sample.id for sample in samples[start : start + len(block)]]
            self._cache.write(ids, block)
            yield from zip(ids, block, strict=True)
            start += len(block)


class FeatureCache:
    """Vectors of D float32 by sample id in `folder`; one file per `fingerprint`, so embedders never mix."""

    def __init__(self, folder: Path, *, fingerprint: str, dimension: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"features-{fingerprint.replace(':', '-')}.db"
        self._dimension = dimension
        with self._open() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS features (id TEXT PRIMARY KEY, vector BLOB NOT NULL)")

    def read(self, ids: Sequence[str]) -> dict[str, Floats]:
        """The vectors that are known among `ids`, {id: (D,) float32}."""
        query = "SELECT id, vector FROM features WHERE id IN (SELECT value FROM json_each(?))"
        with self._open() as connection:
            rows = connection.execute(query, [json.dumps(list(ids))]).fetchall()
        return {name: np.frombuffer(raw, dtype="<f4") for name, raw in rows if len(raw) == 4 * self._dimension}

    def write(self, ids: Sequence[str], vectors: Floats) -> None:
        """Keep `vectors` (N, D) float32 under `ids`, all or none; keeping one twice is keeping it once."""
        rows = zip(ids, (row.tobytes() for row in vectors.astype("<f4", copy=False)), strict=True)
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._file, timeout=BUSY_S)) as connection, connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                yield connection
        except sqlite3.Error as error:
            raise ConfigError(
                f"the feature cache {self._file} cannot be used ({error});"
                " delete that file (it is rebuilt) and see that the disk is local, writable and not full"
            ) from error
