"""Threads for work that waits: a few at a time for each kind of work, so that one kind that hangs holds up no other."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import TypeVar

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """Runs work in threads, at most `most` at a time; work that nobody waits for any more keeps its place until it ends.

    A thread for each piece of work, since the process would wait at its end for those of a ThreadPoolExecutor, also for
    one that hangs. That costs the event loop a moment each time: webhooks, of which many come at once, have a thread that
    stays.
    """

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` gives or raises; waits for a place first."""
        await self._places.acquire()
        done, leave = Future[T](), partial(_leave, asyncio.get_running_loop(), self._places)
        done.set_running_or_notify_cancel()  # who stops waiting cannot call it back, and its place is taken until it ends
        done.add_done_callback(leave)
        try:
            Thread(target=copy_context().run, args=(_do, work, done), daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads
            done.set_exception(error)
        return await asyncio.wrap_future(done)


def _do(work: Callable[[], T], done: Future[T]) -> None:
    try:
        found = work()
    except BaseException as error:  # whatever it was, who waits is told
        done.set_exception(error)
    else:
        done.set_result(found)


def _leave(loop: asyncio.AbstractEventLoop, places: asyncio.Semaphore, _: object) -> None:
    with suppress(RuntimeError):  # the service has ended meanwhile, and nobody waits for the place
        loop.call_soon_threadsafe(places.release)
