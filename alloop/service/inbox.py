"""Storing hints as they rain in: all that wait go into one transaction."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from alloop.errors import Transient
from alloop.ledger.hints import Delivery

__all__ = ["Inbox"]

Outcome = bool | Exception
"""Whether a delivery is new, or why it was not stored."""


class Inbox:
    """Stores deliveries in the order they came. While one transaction is written, the next ones gather for another.

    A commit waits for the disk; one for each delivery would make the last of a hundred wait a hundred times.
    """

    def __init__(self, store: Callable[[Sequence[Delivery]], Sequence[bool]]) -> None:
        self._store = store
        self._waiting: list[tuple[Delivery, asyncio.Future[bool]]] = []
        self._thread = ThreadPoolExecutor(1)  # of its own: no other work, however slow, keeps a delivery waiting
        self._writing: asyncio.Task[None] | None = None

    async def put(self, delivery: Delivery) -> bool:
        """Store it for good; whether it is new. Raises what storing raised."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, stored))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())  # a task of its own: a sender may hang up meanwhile
        return await stored

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            some, self._waiting = self._waiting, []
            outcomes = await loop.run_in_executor(self._thread, self._outcomes, [delivery for delivery, _ in some])
            for (_, stored), outcome in zip(some, outcomes, strict=True):
                _settle(stored, outcome)

    def _outcomes(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """What became of each. One that cannot be stored fails alone; while the ledger is busy all of them do."""
        try:
            return self._store(deliveries)
        except Exception as error:  # whatever it was, each sender is told
            if len(deliveries) == 1 or isinstance(error, Transient):
                return [error] * len(deliveries)
        return [outcome for delivery in deliveries for outcome in self._outcomes([delivery])]


def _settle(stored: asyncio.Future[bool], outcome: Outcome) -> None:
    if stored.done():  # its sender is gone
        return
    if isinstance(outcome, Exception):
        stored.set_exception(outcome)
    else:
        stored.set_result(outcome)
