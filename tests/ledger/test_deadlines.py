"""What the ledger knows for a deadline: when people answered, what was raised, and who was told."""

from datetime import timedelta

import pytest

from alloop.nouns import Flag, Outcome
from tests.ledger.conftest import START
from tests.ledger.test_opening import at_revision, run

HOUR = timedelta(hours=1)


def at(hours):
    return START + hours * HOUR


def raise_kinds(loop, *kinds, stage="cycle"):
    flags = [Flag(0, stage, kind, 50.0, loop.clock.now()) for kind in kinds]
    return [flag.kind for flag in loop.ledger.decisions.raise_flags(flags)]


def times(loop):
    return {item.sample_id: item.answered_at for item in loop.ledger.expiry.items(0)}


# Answers


def test_answers_are_timed_by_the_people_who_gave_them(loop, clock):
    loop.add("abc")
    loop.ask("abc")
    clock.sleep(7200)
    loop.tell(loop.label("a", updated_at=at(1)), loop.outcome("b", Outcome.UNCLEAR, updated_at=at(2)))
    assert times(loop) == {"a": (at(1),), "b": (at(2),), "c": ()}


def test_an_answer_that_was_changed_counts_from_its_first_time(loop, clock):
    loop.add("a")
    loop.ask("a")
    clock.sleep(18000)
    loop.tell(loop.label("a", updated_at=at(1)))
    loop.tell(loop.label("a", "dog", updated_at=at(4)))
    assert times(loop) == {"a": (at(1),)}


def test_a_tool_whose_clock_is_ahead_does_not_answer_in_the_future(loop, clock):
    loop.add("a")
    loop.ask("a")
    clock.sleep(3600)
    loop.tell(loop.label("a", updated_at=at(30)))
    assert times(loop) == {"a": (at(1),)}


def test_an_answer_that_was_taken_back_is_none(loop, clock):
    loop.add("a")
    loop.ask("a")
    clock.sleep(7200)
    loop.tell(loop.label("a", updated_at=at(1)))
    loop.tell(loop.label("a", updated_at=at(2), deleted=True))
    assert times(loop) == {"a": ()}


def test_two_annotators_answer_twice_and_one_of_them_who_edits_does_not(loop, clock):
    loop.add("a")
    loop.ask("a")
    clock.sleep(18000)
    loop.tell(loop.label("a", updated_at=at(2)), loop.label("a", annotator="bob", ref="bob", updated_at=at(1)))
    loop.tell(loop.label("a", "dog", annotator="bob", ref="bob", updated_at=at(3)))
    assert times(loop) == {"a": (at(1), at(2))}


def test_what_is_answered_is_what_the_loop_counts_as_answered(loop):
    loop.add("abc")
    loop.ask("abc")
    loop.tell(loop.label("a"), loop.label("c"))
    items = loop.ledger.expiry.items(0)
    assert (sum(item.is_answered for item in items), len(items)) == loop.ledger.labels.pending(0) == (2, 3)


def test_before_a_batch_is_chosen_there_is_nothing_to_time(loop):
    loop.open()
    assert loop.ledger.expiry.items(0) == ()


def test_the_word_to_close_early_stays_as_it_was_first_given(loop, clock):
    loop.open()
    assert loop.ledger.expiry.early(0) is None
    first = loop.ledger.expiry.close_early(0, answered=4, asked=5)
    clock.sleep(3600)
    assert loop.ledger.expiry.close_early(0, answered=5, asked=5) == first == loop.ledger.expiry.early(0)
    assert (first.answered, first.asked, first.at) == (4, 5, START)


# Flags


def test_risk_recovery_and_another_risk_are_three_flags(loop):
    loop.open()
    assert raise_kinds(loop, "at_risk", "at_risk", "recovered", "at_risk", "breached", "recovered", "breached") == [
        "at_risk",
        "recovered",
        "at_risk",
        "breached",
    ]
    assert [flag.kind for flag in loop.ledger.decisions.flags()] == ["at_risk", "recovered", "at_risk", "breached"]


def test_stages_are_flagged_apart(loop):
    loop.open()
    assert raise_kinds(loop, "breached") == raise_kinds(loop, "breached", stage="retrain") == ["breached"]


# Announcements


def claim(loop, channel="phone", lease_s=60):
    return loop.ledger.announcements.claim(channel, lease_s=lease_s)


def test_flags_are_told_in_order_and_by_channel(loop):
    loop.open()
    raise_kinds(loop, "at_risk", "recovered")
    for number, kind in enumerate(("at_risk", "recovered")):
        one = claim(loop)
        assert (one.flag.kind, one.number) == (kind, number)
        loop.ledger.announcements.told(one, "phone")
    assert claim(loop) is None
    assert claim(loop, "mail").flag.kind == "at_risk"


def test_what_one_tells_nobody_else_tells_until_the_claim_runs_out(loop, wall):
    loop.open()
    raise_kinds(loop, "at_risk", "recovered")
    first = claim(loop)
    assert claim(loop) is None
    wall.sleep(61)
    assert claim(loop) == first


def test_what_was_given_back_is_told_next(loop):
    loop.open()
    raise_kinds(loop, "at_risk", "recovered")
    first = claim(loop)
    loop.ledger.announcements.give_back(first, "phone")
    assert loop.ledger.announcements.untold() == 1
    assert claim(loop) == first


@pytest.mark.parametrize(("days", "is_told"), [(6, True), (8, False)])
def test_old_news_is_no_news(loop, clock, days, is_told):
    loop.open()
    raise_kinds(loop, "at_risk")
    clock.sleep(days * 24 * 3600)
    assert (claim(loop) is not None) is is_told


def test_flags_of_an_older_ledger_are_kept_and_can_be_followed(fresh_url, open_at):
    at_revision(fresh_url, "0005")
    run(
        fresh_url,
        """INSERT INTO project VALUES ('birds', 'classify', '["cat", "dog"]', '2026-01-01 07:00:00')""",
        "INSERT INTO cycle VALUES ('birds', 0, 'margin', 5, '2026-01-01 07:00:00', NULL)",
        "INSERT INTO flag VALUES ('birds', 0, 'retrain', 'breached', 7.5, '2026-01-04 07:00:00')",
    )
    with open_at(fresh_url, project="birds") as ledger:
        kept = Flag(0, "retrain", "breached", 7.5, START.replace(day=4, hour=7))
        assert ledger.decisions.flags() == (kept,)
        assert ledger.decisions.raise_flags([kept, Flag(0, "cycle", "at_risk", 50, START)])[0].kind == "at_risk"
        assert ledger.announcements.claim("phone", lease_s=60).flag == kept
