"""Several processes, and several threads, at one ledger."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import psutil
import pytest
from sqlalchemy import func, select

from alloop.clock import WallClock
from alloop.errors import HoldoutLeak, LeaseHeld
from alloop.ledger.leases import is_gone
from alloop.ledger.tables import CycleRow, ObservationRow, StepRow
from alloop.nouns import Changes, Content, Flag, Label, Outcome


@pytest.fixture
def others(url, ledger, other_process):
    """Starts processes that have this ledger open."""

    def start(count):
        started = [other_process(url, ledger.samples._project) for _ in range(count)]
        for process in started:
            assert process.answer() == "ready"
            process.tell("open")
        for process in started:
            assert process.answer() == ledger.samples._project
        return started

    return start


def at_once(processes, *verbs):
    """What each process answers when all are told together."""
    for process, verb in zip(processes, verbs, strict=True):
        process.tell(*verb)
    return [process.answer() for process in processes]


def all_at_once(count, do):
    """What `do(number)` gave in each of `count` threads that started together; an exception where it raised."""
    start = Barrier(count)

    def run(number):
        start.wait()
        try:
            return do(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def how_many(ledger, table):
    with ledger.database.read() as session:
        return session.scalar(select(func.count()).select_from(table).filter_by(project=ledger.samples._project))


def test_two_processes_that_open_a_cycle_at_once_get_the_same_one(ledger, others):
    first, second = at_once(others(2), ("open_next", 5), ("open_next", 9))
    assert first == second
    assert first[0] == 0
    assert how_many(ledger, CycleRow) == 1


def test_of_two_processes_that_begin_a_step_at_once_one_gets_it(loop, others):
    loop.open()
    answers = at_once(others(2), ("begin", "score_pool", 60), ("begin", "score_pool", 60))
    (refused,) = [answer for answer in answers if answer != "lease"]
    assert answers.count("lease") == 1
    assert refused["error"] == "LeaseHeld"
    assert how_many(loop.ledger, StepRow) == 1


@pytest.mark.parametrize("reaped", [True, False])
def test_the_step_of_a_killed_process_is_taken_at_once(loop, others, reaped):
    loop.open()
    (other,) = others(1)
    assert other.ask("begin", "score_pool", 3600) == "lease"
    with pytest.raises(LeaseHeld):
        loop.begin("score_pool")
    os.kill(other.process.pid, signal.SIGKILL)
    if reaped:
        other.process.wait()
    else:
        while psutil.Process(other.process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    assert loop.begin("score_pool") is not None


def test_a_lease_that_ran_out_is_taken_from_a_living_process_which_then_writes_nothing(loop, others, url, open_at):
    loop.open()
    (other,) = others(1)
    assert other.ask("begin", "score_pool", 0.2) == "lease"
    time.sleep(0.3)
    with open_at(url, project=loop.ledger.samples._project, wall=WallClock()) as ledger:
        lease = ledger.steps.begin(0, "score_pool", lease_s=60)
        with ledger.database.read() as session:
            owner = session.scalar(select(StepRow.owner).filter_by(project=ledger.samples._project))
        assert not is_gone(owner)
        assert other.ask("finish_scores")["error"] == "LeaseLost"
        assert ledger.batches.score_files(0) == ()
        ledger.batches.record_scores(lease, [("mine.parquet", "0" * 64, 1)])
        assert other.ask("begin", "score_pool", 60) == "finished"


def test_four_processes_that_write_at_once_lose_nothing(loop, others):
    loop.add("a")
    assert at_once(others(4), *(("write", number, 50) for number in range(4))) == [50] * 4
    assert how_many(loop.ledger, ObservationRow) == 200


def write_in_threads(loop, now):
    loop.add("a")

    def write(number):
        for turn in range(50):
            label = Label("a", "ann", Outcome.LABELLED, f"{number}/{turn}", now, Content("cat"))
            loop.ledger.labels.record("tool", Changes((label,), str(turn)))
            assert loop.ledger.samples.counts()["samples"] == 1
        return "done"

    assert all_at_once(8, write) == ["done"] * 8
    assert how_many(loop.ledger, ObservationRow) == 400


def test_eight_threads_that_write_at_once_lose_nothing(loop, clock):
    write_in_threads(loop, clock.now())


def test_eight_threads_share_a_ledger_in_memory(open_at, loop_of, clock):
    with open_at("sqlite://") as ledger:
        write_in_threads(loop_of(ledger), clock.now())


def test_of_threads_that_raise_a_flag_at_once_one_is_told_that_it_is_new(loop, clock):
    loop.open()
    for hours in range(5):
        flag = Flag(0, f"stage {hours}", "breached", 50.0, clock.now())
        told = all_at_once(6, lambda _, flag=flag: loop.ledger.decisions.raise_flags([flag]))
        assert sorted(told) == [()] * 5 + [(flag,)]


def test_a_sample_goes_to_the_holdout_or_to_a_batch_and_never_to_both(url, open_at, loop_of):
    for _ in range(5):
        with open_at(url) as ledger:
            loop = loop_of(ledger)
            loop.add("ab")
            loop.open()
            lease = loop.walk_to("diversity_select")
            items = loop.items("a")
            verbs = [partial(ledger.holdout.assign, {"a"}), partial(ledger.batches.record, lease, items)]
            told = all_at_once(2, lambda number, verbs=verbs: verbs[number]())
            assert sum(isinstance(answer, HoldoutLeak) for answer in told) == 1, told
            held = {sample.id for sample in ledger.holdout.all()}
            assert held.isdisjoint(item.sample.id for item in ledger.batches.get(0).items)


def test_of_copies_added_at_once_one_is_a_sample(loop):
    copies = [loop.file(f"copy-{number}", id="a") for number in range(6)]
    told = all_at_once(6, lambda number: loop.ledger.samples.add([copies[number]], truths_are_labels=False))
    assert sum(len(added) for added, _ in told) == 1
    assert sum(len(refused) for _, refused in told) == 5


def test_a_reader_sees_one_state_while_others_write(loop):
    loop.add("a")
    with loop.ledger.database.read() as session:
        samples = select(func.count()).select_from(CycleRow).filter_by(project=loop.ledger.samples._project)
        before = session.scalar(samples)
        loop.open()
        assert session.scalar(samples) == before == 0
