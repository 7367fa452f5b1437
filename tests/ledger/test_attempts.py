"""Attempts: of the runs of a cycle only the newest has a say, and others see whether a process lives in it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from alloop.errors import CycleClosed, LeaseHeld, LeaseLost


@pytest.fixture
def attempts(loop):
    loop.open()
    return loop.ledger.attempts


def test_a_cycle_that_no_run_was_at_has_no_attempt(attempts):
    assert attempts.newest(0) is None


def test_an_attempt_follows_the_newest_and_no_other(attempts):
    assert attempts.begin(0, 1, run="a")
    assert not attempts.begin(0, 1, run="b")
    assert not attempts.begin(0, 3, run="c")
    assert attempts.begin(0, 2, run="d")
    assert (attempts.newest(0).number, attempts.newest(0).run) == (2, "d")


def test_of_many_at_once_one_raises_the_attempt(attempts):
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda _: attempts.begin(0, 1), range(8)))
    assert sum(won) == 1


def test_the_first_name_of_an_attempt_stays(attempts):
    attempts.begin(0, 1)
    attempts.name(0, 1, "first")
    attempts.name(0, 1, "second")
    assert attempts.newest(0).run == "first"


def test_a_run_is_found_by_its_name(attempts):
    attempts.begin(0, 1, run="a")
    attempts.begin(0, 2, run="b")
    assert attempts.of_run("a").number == 1
    assert attempts.of_run("nobody") is None


def test_sleeps_are_counted(attempts):
    attempts.begin(0, 1)
    assert [attempts.sleep(0, 1), attempts.sleep(0, 1)] == [1, 2]


def test_who_was_superseded_neither_sleeps_nor_lives(attempts):
    attempts.begin(0, 1)
    attempts.begin(0, 2)
    with pytest.raises(LeaseLost, match="attempt 1 of cycle 0 was taken over by attempt 2"):
        attempts.sleep(0, 1)
    with pytest.raises(LeaseLost), attempts.living(0, 1):
        pass


def test_an_attempt_that_was_never_begun_is_told(attempts):
    with pytest.raises(CycleClosed, match="no attempt 1"):
        attempts.sleep(0, 1)


def test_others_see_who_lives_in_an_attempt(attempts):
    attempts.begin(0, 1)
    assert not attempts.newest(0).alive
    with attempts.living(0, 1):
        assert attempts.newest(0).alive
    assert (attempts.newest(0).alive, attempts.newest(0).claimed) == (False, False)


def test_one_process_at_a_time_lives_in_an_attempt(attempts):
    attempts.begin(0, 1)
    with attempts.living(0, 1), pytest.raises(LeaseHeld, match="cycle 0 is walked by process"), attempts.living(0, 1):
        pass


def test_what_is_not_heard_of_for_a_minute_is_dead(attempts, wall):
    attempts.begin(0, 1)
    with attempts.living(0, 1, lease_s=60):
        wall.sleep(61)
        seen = attempts.newest(0)
        assert (seen.alive, seen.claimed, seen.silent_s) == (False, True, 61)


def test_a_process_that_lives_is_heard_of_again_and_again(attempts, wall):
    attempts.begin(0, 1)
    with attempts.living(0, 1, lease_s=0.03):
        wall.sleep(100)
        while not attempts.newest(0).alive:
            pass


def test_attempts_that_got_no_step_done_are_futile(loop, attempts):
    attempts.begin(0, 1)
    loop.finish("score_pool")
    attempts.begin(0, 2)
    attempts.begin(0, 3)
    assert attempts.futile(0) == 2
    loop.finish("diversity_select")
    assert attempts.futile(0) == 0
