"""The inbox: what waits is stored together, answered once it is there for good, and fails alone."""

import asyncio
import sqlite3
from contextlib import closing, contextmanager

import pytest
from sqlalchemy.exc import IntegrityError

from alloop.errors import LedgerBusy
from alloop.ledger import database
from alloop.ledger.hints import Delivery
from alloop.service.inbox import Inbox
from tests.service.conftest import birds

SOON_S = 0.1


def delivery(number):
    return Delivery("label-studio", "ANNOTATION_CREATED", f"{number:064x}", "{}")


BAD = Delivery("label-studio", "ANNOTATION_CREATED", "f" * 64, None)
"""The ledger refuses a hint without a body."""


class Counting:
    """Stores in a real ledger, and knows how many each transaction was for."""

    def __init__(self, ws):
        self._hints, self.sizes = ws.ledger.hints, []

    def __call__(self, deliveries):
        self.sizes.append(len(deliveries))
        return self._hints.receive(deliveries)


@pytest.fixture
def store(ws):
    return Counting(ws)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ledger.db"


def kept(file):
    """The numbers of the deliveries that any other process sees in the ledger, in their order."""
    with closing(sqlite3.connect(file)) as other:
        return [int(key, 16) for (key,) in other.execute("SELECT key FROM hint ORDER BY id")]


@contextmanager
def writer(file):
    """Somebody else is writing to the ledger."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def put_while_busy(inbox, first, *others):
    """The puts: the first one's transaction waits for somebody who is writing, and the others for the first."""
    puts = [asyncio.create_task(inbox.put(first))]
    await asyncio.sleep(SOON_S)
    puts += [asyncio.create_task(inbox.put(one)) for one in others]
    await asyncio.sleep(SOON_S)
    assert not any(put.done() for put in puts)
    return puts


def outcomes(store, file, *deliveries):
    """What became of each, as in `put_while_busy`, once nobody else is writing any more."""

    async def put():
        with writer(file):
            puts = await put_while_busy(Inbox(store), *deliveries)
        return await asyncio.gather(*puts, return_exceptions=True)

    return asyncio.run(put())


def test_nobody_is_answered_before_it_is_committed(store, file):
    async def put():
        seen = []
        inbox = Inbox(store)

        async def one(number):
            await inbox.put(delivery(number))
            seen.append(number in kept(file))

        await asyncio.gather(*map(one, range(20)))
        return seen

    assert asyncio.run(put()) == [True] * 20


def test_those_that_come_while_one_is_written_share_the_next_transaction(store, file):
    assert outcomes(store, file, *map(delivery, range(11))) == [True] * 11
    assert store.sizes == [1, 10]
    assert kept(file) == list(range(11))


def test_of_two_alike_in_one_transaction_one_is_new(store, file):
    assert outcomes(store, file, *map(delivery, (1, 2, 2, 1))) == [True, True, False, False]


def test_one_that_cannot_be_stored_fails_alone(store, file):
    first, second, bad, third = outcomes(store, file, delivery(1), delivery(2), BAD, delivery(3))
    assert (first, second, third) == (True, True, True)
    assert isinstance(bad, IntegrityError)
    assert kept(file) == [1, 2, 3]


def test_after_a_failure_the_next_ones_are_stored(store, file):
    async def put():
        inbox = Inbox(store)
        with pytest.raises(IntegrityError):
            await inbox.put(BAD)
        return await inbox.put(delivery(4))

    assert asyncio.run(put())
    assert kept(file) == [4]


def test_a_busy_ledger_is_waited_for_once_and_not_once_for_each(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with birds(tmp_path) as ws:
        store = Counting(ws)

        async def put():
            inbox = Inbox(store)
            return await asyncio.gather(*(inbox.put(delivery(number)) for number in range(9)), return_exceptions=True)

        with writer(tmp_path / "ledger.db"):
            told = asyncio.run(put())
    assert [type(one) for one in told] == [LedgerBusy] * 9
    assert store.sizes == [9]


def test_a_sender_that_hangs_up_takes_no_other_along(store, file):
    async def put():
        with writer(file):
            puts = await put_while_busy(Inbox(store), *map(delivery, range(3)))
            puts[1].cancel()
        return await asyncio.gather(*puts, return_exceptions=True)

    first, gone, third = asyncio.run(put())
    assert (first, type(gone), third) == (True, asyncio.CancelledError, True)
    assert kept(file) == [0, 1, 2]
