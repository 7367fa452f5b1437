"""How fast `add_to_pool` is, next to one plain loop of Pillow and hashlib over the same files in the same run.

python tests/benchmarks/bench_pool.py --images 100000
"""

import argparse
import hashlib
import io
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from alloop.nouns import Task
from alloop.pool import AddReport, Fingerprint, Found, SetAside, add_to_pool

MB = 1024
"""ru_maxrss is in KiB on Linux."""


class CountingStore:
    """Keeps fingerprints by uri in memory; the ledger's own time is not measured here."""

    def __init__(self) -> None:
        self.kept: dict[str, Fingerprint] = {}
        self.ids: set[str] = set()

    def known(self, uris: Sequence[str]) -> Mapping[str, Fingerprint]:
        return {uri: self.kept[uri] for uri in uris if uri in self.kept}

    def add_samples(self, found: Sequence[Found]) -> AddReport:
        fresh = [one for one in found if one.sample.id not in self.ids]
        self.ids |= {one.sample.id for one in fresh}
        self.kept |= {one.sample.uri: Fingerprint(one.sample, one.size_bytes, one.mtime_ns) for one in fresh}
        return AddReport(tuple(one.sample.uri for one in fresh))

    def set_aside(self, refusals: Sequence[SetAside]) -> None:
        assert not refusals, refusals[:3]


def write_images(root: Path, count: int, side: int) -> None:
    """`count` different images of side x side pixels, JPEG and PNG by turns, 1,000 to a folder."""
    rng = np.random.default_rng(0)
    for number in range(count):
        folder = root / f"{number // 1000:04}"
        folder.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        image = coarse.resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:07}.{'jpg' if number % 2 else 'png'}")


def plain_loop(root: Path) -> None:
    """The peer: open, load and hash every file, one after the other, and keep nothing."""
    for path in sorted(root.rglob("*.*")):
        raw = path.read_bytes()
        hashlib.sha256(raw).hexdigest()
        Image.open(io.BytesIO(raw)).load()


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_mb(who: int) -> float:
    """The largest resident set so far, in MB."""
    return resource.getrusage(who).ru_maxrss / MB


def measure(root: Path, count: int, workers: int) -> None:
    """Print the figures for the images under `root`."""
    store = CountingStore()
    before = peak_mb(resource.RUSAGE_SELF)
    first = seconds(lambda: add_to_pool(str(root), store=store, labels=("a",), task=Task.CLASSIFY, workers=workers))
    assert len(store.kept) == count
    own, child = peak_mb(resource.RUSAGE_SELF), peak_mb(resource.RUSAGE_CHILDREN)
    again = seconds(lambda: add_to_pool(str(root), store=store, labels=("a",), task=Task.CLASSIFY, workers=workers))
    peer = seconds(lambda: plain_loop(root))
    print(f"add_to_pool        {first:7.1f} s   {count / first:9,.0f} images/s   {peer / first:.2f} x the plain loop")
    print(f"add_to_pool again  {again:7.1f} s   {count / again:9,.0f} images/s   nothing new")
    print(f"plain loop         {peer:7.1f} s   {count / peer:9,.0f} images/s   Pillow + hashlib, one process")
    print(
        f"peak RSS           parent {own:.0f} MB ({before:.0f} before, the store included), largest child {child:.0f} MB"
    )


def main() -> None:
    """Write the images, measure, remove them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--side", type=int, default=64, help="pixels")
    options.add_argument("--workers", type=int, default=0, help="0: one per processor")
    chosen = options.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-pool-"))
    try:
        write_images(root, chosen.images, chosen.side)
        measure(root, chosen.images, chosen.workers)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
