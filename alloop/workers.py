"""A few processes that compute with one thread each, so that the same work gives the same numbers on any machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from alloop.errors import LoopError

__all__ = ["Tick", "run_all"]

LOOK_S = 1.0
"""How often the parent looks how far its workers are."""

Task = TypeVar("Task")
Tick = Callable[[], None]

_tick: Tick


class _Stopped(Exception):
    """The parent wants no more."""


def run_all(
    work: Callable[[Task, Tick], None], tasks: Sequence[Task], *, workers: int, ticked: Callable[[int], None]
) -> None:
    """Do `work(task, tick)` for every task in up to `workers` processes, telling `ticked` how often all have ticked.

    Both must be importable and picklable. The first error ends everything and is raised; LoopError when a worker died.
    """
    if min(workers, len(tasks)) <= 1:
        _run_here(work, tasks, ticked)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of the BLAS threads
    count, stop = context.Value("l", 0), context.Event()
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=_begin, initargs=(count, stop)
    ) as pool:
        try:
            left = {pool.submit(_do, work, task) for task in tasks}
            while left:
                done, left = wait(left, timeout=LOOK_S, return_when=FIRST_EXCEPTION)
                ticked(count.value)
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            raise LoopError(
                "a worker process died, perhaps for want of memory; run it again to go on, with fewer workers"
            ) from error
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _run_here(work: Callable[[Task, Tick], None], tasks: Sequence[Task], ticked: Callable[[int], None]) -> None:
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        ticked(count)

    with _one_thread():
        for task in tasks:
            work(task, tick)


def _one_thread() -> Any:
    """Limits every BLAS and OpenMP library; those that are loaded late are loaded now."""
    import faiss  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _begin(count: Any, stop: Any) -> None:
    """A worker's first act: one thread, deaf to Ctrl-C, and gone when the parent is."""
    global _tick
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _one_thread()

    def tick() -> None:
        with count.get_lock():
            count.value += 1
        if stop.is_set():
            raise _Stopped

    _tick = tick


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(work: Callable[[Task, Tick], None], task: Task) -> None:
    work(task, _tick)
