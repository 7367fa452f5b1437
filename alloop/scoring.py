"""Scores of the whole pool as files, and the few samples worth a closer look.

A shard becomes one Parquet file (id, score, top class, p1, p2) named after its samples and the model, so a shard
that is finished is never scored again. Memory does not grow with the pool.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alloop.acquisition.scores import top_two
from alloop.engines.local import read_ahead
from alloop.errors import ModelCorrupt
from alloop.nouns import Floats, Integers, Progress, no_progress
from alloop.whole_files import appearing

__all__ = [
    "Dim",
    "ScoreFile",
    "Scored",
    "Shard",
    "Shortlist",
    "class_counts",
    "file_sha256",
    "random_rows",
    "score_shards",
    "shortlist",
]

T = TypeVar("T")
Scored = tuple[Floats, Floats]
"""Scores (N,) and probabilities (N, C); C is 0 without a model."""
COLUMNS = ["id", "score", "top_class", "p1", "p2"]
KEPT = pa.schema(
    [
        ("id", pa.string()),
        ("score", pa.float32()),
        ("top_class", pa.int32()),
        ("p1", pa.float32()),
        ("luck", pa.float64()),
    ]
)


@dataclass(frozen=True)
class ScoreFile:
    """One scored shard; `unusable` names the samples whose score is not a number, which are not in the file."""

    path: Path
    sha256: str
    samples: int
    unusable: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The M highest scores in falling order: ids, scores (M,), top classes (M,) int64, and their probability (M,)."""

    ids: tuple[str, ...]
    scores: Floats
    top_class: Integers
    p1: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def nothing(cls) -> "Shortlist":
        """No samples at all."""
        return cls((), np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.float32))

    def rows(self, order: Integers) -> "Shortlist":
        """These rows, in this order."""
        ids = tuple(self.ids[index] for index in order)
        return Shortlist(ids, self.scores[order], self.top_class[order], self.p1[order])


class Dim(NamedTuple):
    """At most `most` samples of a shortlist may have a highest probability under `below`."""

    below: float
    most: int


@dataclass(frozen=True, eq=False)
class Shard(Generic[T]):
    """A part of the pool: its ids, and what a scorer reads, such as the samples or a file of probabilities."""

    ids: pa.StringArray
    content: T


def score_shards(
    shards: Iterable[Shard[T]],
    score: Callable[[T, int], Scored],
    *,
    folder: Path,
    version: str,
    seed: int,
    total: int,
    progress: Progress = no_progress,
) -> Iterator[ScoreFile]:
    """Score each shard with `score(content, its seed)`, unless its file is there already.

    `version` names the model and strategy. A shard's seed comes from `seed` and the shard's place, so it does not
    matter who scores which shard, or when.
    """
    done = 0
    for place, shard in enumerate(read_ahead(shards)):
        path = folder / f"{place:06d}-{_shard_name(shard.ids, version)[:24]}.parquet"
        if not path.exists():
            _write(path, shard.ids, *score(shard.content, seed + place))
        usable, unusable = pq.read_metadata(path).num_rows, tuple[str, ...]()
        if usable < len(shard.ids):
            there = pq.read_table(path, columns=["id"])["id"].combine_chunks()
            unusable = tuple(shard.ids.filter(pc.invert(pc.is_in(shard.ids, value_set=there))).to_pylist())
        done += len(shard.ids)
        progress("scoring the pool", done, total)
        yield ScoreFile(path, file_sha256(path), usable, unusable)


def _shard_name(ids: pa.StringArray, version: str) -> str:
    digest = hashlib.sha256(version.encode())
    for buffer in pa.concat_arrays([ids]).buffers()[1:]:
        digest.update(buffer)
    return digest.hexdigest()


def _write(path: Path, ids: pa.StringArray, scores: Floats, probabilities: Floats) -> None:
    """One score file, whole or not at all; ids are too various for a dictionary, and their digits do not compress."""
    top, first, second = top_two(probabilities)
    usable = np.isfinite(scores)
    columns = [ids, *map(pa.array, (scores.astype(np.float32), top.astype(np.int32), first, second))]
    table = pa.table(dict(zip(COLUMNS, columns, strict=True)))
    kept = table if usable.all() else table.filter(usable)
    with appearing(path) as fresh:
        pq.write_table(kept, fresh, use_dictionary=False, compression="none")


def file_sha256(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shortlist(
    files: Sequence[tuple[Path, str]],
    size: int,
    rng: np.random.Generator,
    *,
    without: frozenset[str] = frozenset(),
    reweigh: Callable[[Floats, Integers], Floats] | None = None,
    dim: Dim | None = None,
) -> Shortlist:
    """The `size` highest scores of all files (path, sha256), but `without` these ids; equal scores fall by chance.

    With `dim` only so many of them are samples that the model hardly sees anything in.

    ModelCorrupt when a file is not the one that was registered.
    """
    taken, kept = pa.array(sorted(without), pa.string()), KEPT.empty_table()
    for table in _read(files):
        if reweigh is not None:
            weighed = reweigh(table["score"].to_numpy(), table["top_class"].to_numpy().astype(np.int64))
            table = table.set_column(table.column_names.index("score"), "score", pa.array(weighed))
        if len(kept) == size > 0:  # what is below all that are kept is not worth a look
            table = table.filter(pc.greater_equal(table["score"], kept["score"][-1]))
        fresh = table.filter(pc.invert(pc.is_in(table["id"], value_set=taken)))
        fresh = fresh.append_column("luck", pa.array(rng.random(len(fresh))))
        kept = pa.concat_tables([kept, fresh])
        order = np.lexsort((kept["luck"].to_numpy(), -kept["score"].to_numpy()))
        if dim is not None:
            is_dim = kept["p1"].to_numpy()[order] < dim.below
            order = order[~is_dim | (np.cumsum(is_dim) <= dim.most)]
        kept = kept.take(order[:size])
    return Shortlist(
        tuple(kept["id"].to_pylist()),
        kept["score"].to_numpy(),
        kept["top_class"].to_numpy().astype(np.int64),
        kept["p1"].to_numpy(),
    )


def random_rows(
    files: Sequence[tuple[Path, str]], size: int, rng: np.random.Generator, *, without: frozenset[str] = frozenset()
) -> Shortlist:
    """`size` samples drawn uniformly from all files, but `without` these ids, in random order."""
    return shortlist(
        files, size, rng, without=without, reweigh=lambda scores, _: rng.random(len(scores), dtype=np.float32)
    )


def class_counts(files: Sequence[tuple[Path, str]], classes: int, *, seen: float = 0.0) -> Integers:
    """(C,) int64: how often each class is the top class in the pool, of samples whose highest probability is `seen`."""
    counts = np.zeros(classes, dtype=np.int64)
    for table in _read(files):
        if seen:
            table = table.filter(pc.greater_equal(table["p1"], seen))
        counts += np.bincount(table["top_class"].to_numpy(), minlength=classes)
    return counts


def _read(files: Sequence[tuple[Path, str]]) -> Iterator[Any]:
    """The tables of the files with the columns of KEPT; ids stay in Arrow's memory until few are left."""
    for path, digest in files:
        if not path.exists() or file_sha256(path) != digest:
            raise ModelCorrupt(f"the score file {path} is missing or was changed; restore it or cancel the cycle")
        yield pq.read_table(path, columns=KEPT.names[:-1]).cast(pa.schema(list(KEPT)[:-1]))
