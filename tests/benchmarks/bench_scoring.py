"""Streaming a pool's probabilities to its highest scores, against reading the same files once with the same reader.

    python tests/benchmarks/bench_scoring.py --samples 10000000 --classes 100

Writes N x C float32 probabilities as Parquet shards to a temporary folder (4 bytes x N x C), then times
  peer   reading every shard once, nothing else
  ours   the same reading, margin scores into score files (id, score, top class, p1, p2), and the top 20,000 of them
in turn, and prints seconds, the ratio and the peak memory of a process that did nothing else.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alloop.acquisition.scores import margin
from alloop.scoring import Shard, score_shards, shortlist

SHARD = 50_000
TOP = 20_000


def write(folder: Path, samples: int, classes: int) -> None:
    """Shards of ids and random probabilities; a few blocks of values come again and again, since they do not matter."""
    dice = np.random.default_rng(0)
    blocks = [dice.dirichlet(np.full(classes, 0.1), SHARD).astype(np.float32) for _ in range(4)]
    for place in range(0, samples, SHARD):
        ids = pa.array([f"{place + row:064x}" for row in range(SHARD)])
        values = pa.FixedSizeListArray.from_arrays(pa.array(blocks[place // SHARD % 4].ravel()), classes)
        table = pa.table({"id": ids, "p": values})
        pq.write_table(table, folder / f"{place:09d}.parquet", compression="none", use_dictionary=False)


def read(path: Path) -> tuple[pa.Array, np.ndarray]:
    table = pq.read_table(path)
    flat = table["p"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return table["id"].combine_chunks(), flat.reshape(len(table), -1)


def peer(folder: Path) -> None:
    for path in sorted(folder.glob("*.parquet")):
        read(path)


def ours(folder: Path, out: Path) -> None:
    paths = sorted(folder.glob("*.parquet"))
    shards = (Shard(*read(path)) for path in paths)
    scored = score_shards(
        shards, lambda p, _: (margin(p), p), folder=out, version="bench", seed=0, total=len(paths) * SHARD
    )
    top = shortlist([(file.path, file.sha256) for file in scored], TOP, np.random.default_rng(0))
    assert len(top) == min(TOP, len(paths) * SHARD)


def timed(work: str, folder: str, out: str, answer: "multiprocessing.Queue[tuple[float, float]]") -> None:
    start = time.perf_counter()
    if work == "peer":
        peer(Path(folder))
    else:
        ours(Path(folder), Path(out))
    answer.put((time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def in_a_process(work: str, folder: Path, out: Path) -> tuple[float, float]:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=timed, args=(work, str(folder), str(out), answer))
    process.start()
    figures = answer.get()
    process.join()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "p"
        folder.mkdir()
        write(folder, options.samples, options.classes)
        for number in range(options.rounds):
            read_s, read_mib = in_a_process("peer", folder, folder)
            ours_s, ours_mib = in_a_process("ours", folder, Path(name) / f"scores-{number}")
            print(
                f"round {number}: reading {read_s:.1f} s ({read_mib:.0f} MiB), ours {ours_s:.1f} s ({ours_mib:.0f} MiB), "
                f"ratio {ours_s / read_s:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
