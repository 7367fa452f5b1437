"""Leases outlive a ledger that cannot be written for a while, and never hide what ended the work."""

import time
from contextlib import ExitStack, contextmanager
from threading import Event
from threading import enumerate as threads

import pytest
from sqlalchemy import event

from alloop.errors import LeaseLost, LoopError
from alloop.ledger.renewing import let_go, renewing
from alloop.ledger.tables import StepRow

LEASE_S = 0.06
WITHIN_S = 10.0


class Broken(Exception):
    pass


@contextmanager
def unwritable(ledger):
    """The ledger's connections refuse every write, as on a disk that became read-only."""
    engine = ledger.database._engine

    def refuse(connection, *_):
        connection.execute("PRAGMA query_only=ON")

    def allow(connection, *_):
        connection.execute("PRAGMA query_only=OFF")

    event.listen(engine, "checkout", refuse)
    try:
        yield
    finally:
        event.remove(engine, "checkout", refuse)
        event.listen(engine, "checkout", allow)


@pytest.fixture
def loop(sqlite_url, open_at, loop_of):
    """On a ledger of the real time of day."""
    with open_at(sqlite_url) as ledger:
        loop = loop_of(ledger)
        loop.open()
        yield loop


def until(holds):
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def warnings(caplog):
    return [record.message for record in caplog.records if record.name == "alloop.ledger.renewing"]


def lease_until(ledger):
    with ledger.database.read() as session:
        return session.get_one(StepRow, (ledger.samples._project, 0, "score_pool")).lease_until


def test_a_ledger_that_cannot_be_written_refuses_as_a_damaged_one(loop):
    with unwritable(loop.ledger), pytest.raises(LoopError, match="readonly"):
        loop.begin("score_pool")


def test_a_step_is_renewed_again_once_the_ledger_can_be_written(loop, caplog):
    steps = loop.ledger.steps
    with steps.working(0, "score_pool", lease_s=LEASE_S):
        with unwritable(loop.ledger):
            until(lambda: warnings(caplog))
        before = lease_until(loop.ledger)
        until(lambda: lease_until(loop.ledger) > before)


def test_an_attempt_is_renewed_again_once_the_ledger_can_be_written(loop, caplog):
    attempts = loop.ledger.attempts
    attempts.begin(0, 1)
    with attempts.living(0, 1, lease_s=LEASE_S):
        with unwritable(loop.ledger):
            until(lambda: warnings(caplog))
            time.sleep(2 * LEASE_S)
        until(lambda: attempts.newest(0).alive)


def fails_on_an_unwritable_ledger(ledger, work):
    """Fail within `work`, from where on the ledger cannot be written."""
    with ExitStack() as trouble, work:
        trouble.enter_context(unwritable(ledger))
        raise Broken


def test_a_step_that_fails_while_the_ledger_cannot_be_written_says_why(loop, caplog):
    with pytest.raises(Broken):
        fails_on_an_unwritable_ledger(loop.ledger, loop.ledger.steps.working(0, "score_pool"))
    (told,) = warnings(caplog)
    assert "/0 score_pool] the lease on score_pool could not be released: the ledger" in told


def test_a_run_that_fails_while_the_ledger_cannot_be_written_says_why(loop, caplog):
    loop.ledger.attempts.begin(0, 1)
    with pytest.raises(Broken):
        fails_on_an_unwritable_ledger(loop.ledger, loop.ledger.attempts.living(0, 1))
    (told,) = warnings(caplog)
    assert told.startswith("attempt 1 of cycle 0 could not be released: the ledger")


def failing(*errors):
    """A renewal that fails with each of these in turn, `None` for one that works, and an event set when they are used up."""
    left, used_up = list(errors), Event()

    def renew():
        if not left:
            used_up.set()
            return
        if (error := left.pop(0)) is not None:
            raise error

    return renew, used_up


def told_of(caplog, *errors):
    renew, used_up = failing(*errors)
    with renewing(renew, lease_s=0.003, what="the lease"):
        assert used_up.wait(WITHIN_S)
    return warnings(caplog)


def test_the_same_trouble_is_told_once(caplog):
    full = [LoopError("the disk is full")] * 5
    assert told_of(caplog, *full) == ["the lease could not be renewed, and is tried again: the disk is full"]


def test_trouble_that_comes_back_is_told_again(caplog):
    assert len(told_of(caplog, LoopError("full"), None, LoopError("full"))) == 2


def test_an_error_of_any_other_kind_is_survived_too(caplog):
    assert told_of(caplog, OSError(24, "Too many open files")) == [
        "the lease could not be renewed, and is tried again: [Errno 24] Too many open files"
    ]


def test_a_lost_lease_is_not_renewed_any_more(caplog):
    renew, used_up = failing(LeaseLost("taken over"))
    with renewing(renew, lease_s=0.003, what="the lease"):
        assert not used_up.wait(0.1)
    assert warnings(caplog) == []


def test_it_ends_with_the_work(caplog):
    before = set(threads())
    with renewing(lambda: None, lease_s=60, what="the lease"):
        assert len(set(threads()) - before) == 1
    assert set(threads()) <= before


def test_what_could_not_be_released_is_told_and_no_more(caplog):
    renew, _ = failing(LoopError("the disk is full"))
    let_go(renew, what="the lease")
    assert warnings(caplog) == ["the lease could not be released: the disk is full"]
