"""Hints: one row for each thing that a tool told of, waiting until the tool was read after it."""

import threading

from sqlalchemy import select

from alloop.ledger.hints import Delivery
from alloop.ledger.tables import HintRow


def told(*names, tool="tool"):
    return [Delivery(tool, "EDITED", name * 64, f'"{name}"') for name in names]


def kept(ledger):
    with ledger.database.read() as session:
        query = select(HintRow).filter_by(project=ledger.hints._project).order_by(HintRow.id)
        return {row.key[0]: row for row in session.scalars(query)}


def test_nothing_waits_in_a_new_ledger(ledger):
    assert not ledger.hints.waiting()
    assert ledger.hints.newest() == 0


def test_each_delivery_hears_whether_it_is_new(ledger):
    assert ledger.hints.receive(told("a", "b", "a")) == (True, True, False)
    assert ledger.hints.receive(told("b", "c")) == (False, True)


def test_no_delivery_is_no_hint(ledger):
    assert ledger.hints.receive([]) == ()


def test_a_duplicate_leaves_the_first_as_it_was(ledger, clock):
    ledger.hints.receive(told("a"))
    first = kept(ledger)["a"].received_at
    clock.sleep(60)
    ledger.hints.receive([Delivery("tool", "OTHER", "a" * 64, '"other"')])
    row = kept(ledger)["a"]
    assert (row.event, row.body, row.received_at) == ("EDITED", '"a"', first)


def test_a_hint_waits_until_the_tool_was_read_after_it(ledger):
    ledger.hints.receive(told("a"))
    assert ledger.hints.waiting()
    ledger.hints.handle(ledger.hints.newest())
    assert not ledger.hints.waiting()


def test_one_that_comes_in_while_the_tool_is_read_goes_on_waiting(ledger):
    ledger.hints.receive(told("a"))
    newest = ledger.hints.newest()
    ledger.hints.receive(told("b"))
    ledger.hints.handle(newest)
    assert {name: row.handled_at is not None for name, row in kept(ledger).items()} == {"a": True, "b": False}
    assert ledger.hints.waiting()


def test_a_duplicate_of_what_was_handled_wakes_nobody(ledger):
    ledger.hints.receive(told("a"))
    ledger.hints.handle(ledger.hints.newest())
    ledger.hints.receive(told("a"))
    assert not ledger.hints.waiting()


def test_two_projects_may_be_told_the_same(url, open_at):
    with open_at(url) as one, open_at(url) as other:
        assert one.hints.receive(told("a")) == other.hints.receive(told("a")) == (True,)
        one.hints.handle(other.hints.newest())
        assert other.hints.waiting()


def test_what_many_threads_deliver_at_once_is_stored_once(ledger):
    names, news, start = "abcdefgh", [], threading.Barrier(4)

    def deliver():
        start.wait()
        for name in names:
            news.append(ledger.hints.receive(told(name)))

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert news.count((True,)) == len(names)
    assert sorted(kept(ledger)) == sorted(names)
