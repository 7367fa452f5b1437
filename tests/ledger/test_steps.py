"""Steps: their order, their leases, and what happens when one is lost."""

import logging
import platform
import time
from contextlib import ExitStack

import psutil
import pytest
from sqlalchemy import text

from alloop.errors import CycleClosed, LeaseHeld, LeaseLost
from alloop.ledger.leases import is_gone, this_process
from alloop.ledger.tables import CycleRow
from alloop.nouns import STEPS


class Broken(Exception):
    pass


def test_a_step_does_not_begin_before_the_one_before_it_has_finished(loop):
    loop.open()
    with pytest.raises(CycleClosed, match="retrain of cycle 0 cannot begin before wait_for_labels has finished"):
        loop.begin("retrain")
    loop.begin("score_pool")
    with pytest.raises(CycleClosed, match="diversity_select of cycle 0 cannot begin before score_pool"):
        loop.begin("diversity_select")


def test_a_step_of_a_cycle_that_is_not_there_is_refused(loop):
    loop.cycle = 7
    with pytest.raises(CycleClosed, match="there is no cycle 7"):
        loop.begin("score_pool")


def test_the_stages_come_in_the_order_of_the_loop(loop):
    loop.open()
    loop.walk_to("strategy_switch")
    assert [stage.step for stage in loop.ledger.steps.of(0)] == list(STEPS)
    assert [stage.finished_at is None for stage in loop.ledger.steps.of(0)] == [False] * 6 + [True]


def test_a_step_somebody_works_on_is_held(loop):
    loop.open()
    loop.begin("score_pool")
    with pytest.raises(LeaseHeld, match="score_pool of cycle 0 is being done by"):
        loop.begin("score_pool")


def test_a_lease_that_ran_out_can_be_taken_and_its_holder_writes_nothing(loop, wall, rows):
    loop.open()
    old = loop.begin("score_pool")
    wall.sleep(60)
    new = loop.begin("score_pool")
    before = rows(loop.ledger)
    with pytest.raises(LeaseLost, match="score_pool of cycle 0 was taken over by"):
        loop.ledger.batches.record_scores(old, [("old.parquet", "0" * 64, 1)])
    assert rows(loop.ledger) == before
    loop.ledger.batches.record_scores(new, [("new.parquet", "0" * 64, 1)])
    assert [path for path, _, _ in loop.ledger.batches.score_files(0)] == ["new.parquet"]


def test_a_lease_that_is_about_to_run_out_is_still_held(loop, wall):
    loop.open()
    loop.begin("score_pool")
    wall.sleep(59.9)
    with pytest.raises(LeaseHeld):
        loop.begin("score_pool")


def test_a_lease_that_ran_out_and_that_nobody_took_still_finishes(loop, wall):
    loop.open()
    lease = loop.begin("score_pool")
    wall.sleep(600)
    loop.ledger.batches.record_scores(lease, [])
    assert loop.begin("score_pool") is None


def test_renewing_holds_a_step_for_longer(loop, wall):
    loop.open()
    lease = loop.begin("score_pool")
    wall.sleep(59)
    loop.ledger.steps.renew(lease, lease_s=60)
    wall.sleep(59)
    with pytest.raises(LeaseHeld):
        loop.begin("score_pool")


def test_a_lost_lease_is_not_renewed_and_not_released(loop, wall, rows):
    loop.open()
    old = loop.begin("score_pool")
    wall.sleep(60)
    loop.begin("score_pool")
    before = rows(loop.ledger)
    with pytest.raises(LeaseLost):
        loop.ledger.steps.renew(old, lease_s=60)
    loop.ledger.steps.release(old)
    assert rows(loop.ledger) == before


def test_working_renews_its_lease(url, open_at, loop_of):
    with open_at(url) as ledger:
        loop = loop_of(ledger)
        loop.open()
        with ledger.steps.working(0, "score_pool", lease_s=1.5) as lease:
            time.sleep(2.5)
            with pytest.raises(LeaseHeld):
                ledger.steps.begin(0, "score_pool", lease_s=60)
            ledger.batches.record_scores(lease, [])
        assert loop.begin("score_pool") is None


def test_working_lets_go_of_a_step_that_failed_and_leaves_it_unfinished(loop):
    loop.open()

    with pytest.raises(Broken), loop.ledger.steps.working(0, "score_pool"):
        raise Broken
    (stage,) = loop.ledger.steps.of(0)
    assert stage.finished_at is None
    assert loop.begin("score_pool") is not None


def test_working_gives_nothing_when_the_step_is_finished(loop):
    loop.open()
    loop.finish("score_pool")
    with loop.ledger.steps.working(0, "score_pool") as lease:
        assert lease is None


def test_what_fails_in_the_last_transaction_leaves_the_step_and_its_rows_undone(loop, rows):
    loop.open()
    lease = loop.begin("score_pool")
    before = rows(loop.ledger)
    project = loop.ledger.samples._project

    def finish():
        with loop.ledger.steps.finishing(lease) as session:
            session.get_one(CycleRow, (project, 0)).nominal = 99
            raise Broken

    with pytest.raises(Broken):
        finish()
    assert rows(loop.ledger) == before
    loop.ledger.batches.record_scores(lease, [])


def test_a_step_that_failed_says_why_even_when_the_ledger_is_locked_too(fresh_url, open_at, loop_of, short_patience):
    with open_at(fresh_url) as ledger, open_at(fresh_url) as other:
        loop_of(ledger).open()

        def work():
            with ledger.steps.working(0, "score_pool"):
                locked.enter_context(other.database.write()).execute(text("SELECT 1"))
                raise Broken

        with ExitStack() as locked, pytest.raises(Broken):
            work()


def test_this_process_is_not_gone():
    assert not is_gone(this_process())


def test_a_process_of_the_same_number_that_started_at_another_time_is_another():
    host, pid, _ = this_process().rsplit("|", 2)
    assert is_gone(f"{host}|{pid}|1")


def test_a_number_that_no_process_has_is_gone():
    host, _, started = this_process().rsplit("|", 2)
    assert is_gone(f"{host}|{2**22 + 1}|{started}")


def test_a_process_of_another_machine_is_never_known_to_be_gone():
    assert platform.node() in this_process()
    assert not is_gone(f"elsewhere/pid:[1]|{2**22 + 1}|1")


def test_when_a_process_started_does_not_move_with_the_machines_clock(monkeypatch):
    owner = this_process()
    monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)  # what a corrected clock changes
    assert not is_gone(owner)


def test_what_is_logged_during_a_step_says_so(loop, caplog):
    loop.open()
    with loop.ledger.steps.working(0, "score_pool"):
        logging.getLogger("alloop.models").warning("slow")
    assert caplog.messages == [f"[{loop.ledger.samples._project}/0 score_pool] slow"]
