"""Work on many samples with a few threads, in order, holding only a few batches at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from alloop.images import read_image
from alloop.nouns import Sample

__all__ = ["read_pixels", "stream"]

THREADS = 4
"""Reading and decoding wait for disks and networks and release the interpreter: four keep two cores busy."""
PREFETCH = 3
"""Batches that are in the making or waiting."""

Out = TypeVar("Out")


def stream(
    samples: Sequence[Sample], work: Callable[[Sample], Out], *, batch: int, threads: int = 0
) -> Iterator[list[Out]]:
    """The results of `work` for each sample, in order, in lists of at most `batch`; the first error is raised.

    Threads 0 means the default of a few; at most three batches exist at once.
    """
    pool = ThreadPoolExecutor(threads or THREADS, thread_name_prefix="alloop-images")
    try:
        rest = iter(samples)
        waiting: deque[Future[Out]] = deque(pool.submit(work, sample) for sample in islice(rest, PREFETCH * batch))
        while waiting:
            yield [waiting.popleft().result() for _ in range(min(batch, len(waiting)))]
            waiting.extend(pool.submit(work, sample) for sample in islice(rest, batch))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_pixels(sample: Sample, *, size: int) -> NDArray[np.uint8]:
    """The sample's image, (size, size, 3) uint8; BadImage names its uri."""
    return np.asarray(read_image(sample.uri, size=size), dtype=np.uint8)
