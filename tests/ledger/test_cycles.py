"""Cycles and decisions: one is open at a time, and a hold holds until a person says otherwise."""

import pytest

from alloop.errors import CycleClosed
from alloop.nouns import Action, Decision, Flag, Lift


def test_the_first_cycle_is_number_0(loop):
    cycle = loop.ledger.cycles.open_next(strategy="margin", nominal=5)
    assert (cycle.number, cycle.strategy, cycle.nominal, cycle.closed_at) == (0, "margin", 5, None)
    assert loop.ledger.cycles.all() == (cycle,)
    assert loop.ledger.cycles.get(0) == cycle


def test_who_opens_second_gets_the_first_ones_cycle(loop):
    first = loop.ledger.cycles.open_next(strategy="margin", nominal=5)
    assert loop.ledger.cycles.open_next(strategy="entropy", nominal=9) == first


@pytest.mark.parametrize("action", [Action.START, Action.KEEP, Action.SWITCH])
def test_after_a_decision_to_go_on_the_next_cycle_opens(loop, action):
    loop.open()
    loop.decide(action)
    assert loop.open() == 1


@pytest.mark.parametrize(
    ("action", "says"), [(Action.HOLD, "is on hold: because"), (Action.STOP, "has ended: because")]
)
def test_after_a_decision_to_hold_or_stop_no_cycle_opens_until_a_person_says_so(loop, action, says):
    loop.open()
    loop.decide(action)
    with pytest.raises(CycleClosed, match=says):
        loop.open()
    assert loop.ledger.cycles.go_on()
    assert loop.ledger.cycles.go_on()
    assert loop.open() == 1


def test_a_word_to_go_on_holds_for_one_decision_only(loop):
    for _ in range(2):
        loop.open()
        loop.decide(Action.HOLD)
        with pytest.raises(CycleClosed):
            loop.open()
        loop.ledger.cycles.go_on()
    assert loop.open() == 2


def test_there_is_nothing_to_go_on_from_before_the_first_decision(loop):
    assert not loop.ledger.cycles.go_on()
    loop.open()
    assert not loop.ledger.cycles.go_on()


def test_a_word_said_too_early_does_not_lift_a_later_hold(loop):
    loop.open()
    loop.ledger.cycles.go_on()
    loop.decide(Action.HOLD)
    with pytest.raises(CycleClosed):
        loop.open()


def test_a_cycle_that_is_not_there_is_refused(loop):
    with pytest.raises(CycleClosed, match="there is no cycle 3"):
        loop.ledger.cycles.get(3)


def test_a_decision_comes_back_as_it_was(loop):
    made = [
        Decision(0, Action.START, "clustered-start", "margin", "there is nothing to compare", 1.0),
        Decision(1, Action.SWITCH, "margin", "entropy", "0.2 points", 1.0, Lift(0.2, -0.5, 0.9), True, True, 0.1),
    ]
    for decision in made:
        loop.open()
        loop.ledger.decisions.record(loop.walk_to("strategy_switch"), decision)
    assert loop.ledger.decisions.all() == tuple(made)


def test_a_flag_is_raised_once_and_says_so(loop, clock):
    loop.open()
    first, second = (Flag(0, stage, "breached", 49.5, clock.now()) for stage in ("retrain", "cycle"))
    assert loop.ledger.decisions.raise_flags([first]) == (first,)
    assert loop.ledger.decisions.raise_flags([first, second]) == (second,)
    assert set(loop.ledger.decisions.flags()) == {first, second}


def test_a_flag_keeps_the_hours_of_the_first_time(loop, clock):
    loop.open()
    loop.ledger.decisions.raise_flags([Flag(0, "cycle", "breached", 48.5, clock.now())])
    loop.ledger.decisions.raise_flags([Flag(0, "cycle", "breached", 60.0, clock.now())])
    assert [flag.hours for flag in loop.ledger.decisions.flags()] == [48.5]
