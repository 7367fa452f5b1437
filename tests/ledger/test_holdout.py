"""The holdout: frozen once, and never in a batch or a training set."""

import pytest

from alloop.errors import HoldoutLeak
from alloop.nouns import Content, Lane, Outcome, Split


def frozen(loop):
    digest, labels = loop.ledger.holdout.frozen()
    return digest, {label.sample.id: label.content.class_name for label in labels}


def test_assigned_samples_leave_the_pool(loop):
    loop.add("abc")
    assert loop.ledger.holdout.assign({"a", "b"}) == 2
    assert [sample.id for sample in loop.ledger.holdout.all()] == ["a", "b"]
    assert loop.unlabelled() == "c"


def test_the_rest_of_their_groups_is_set_aside_with_that_reason(loop):
    loop.add("abc", group="clip")
    loop.add("d")
    assert loop.ledger.holdout.assign({"a"}) == 1
    assert loop.unlabelled() == "d"
    assert {(one.uri, one.cause, one.reason) for one in loop.ledger.samples.aside()} == {
        (f"/pool/{name}.png", "holdout", "has its group 'clip' in the holdout") for name in "bc"
    }


def test_a_sample_of_a_batch_cannot_join_the_holdout(loop, rows):
    loop.add("abc")
    loop.ask("a")
    before = rows(loop.ledger)
    with pytest.raises(HoldoutLeak, match="sample a is in a batch already"):
        loop.ledger.holdout.assign({"a", "b"})
    assert rows(loop.ledger) == before


def test_nothing_joins_a_frozen_holdout(loop, rows):
    loop.add("ab")
    loop.ledger.holdout.assign({"a"})
    loop.ledger.holdout.freeze({"a": Content("cat")}, digest="1" * 64, dropped=0)
    before = rows(loop.ledger)
    with pytest.raises(HoldoutLeak, match="the holdout is frozen"):
        loop.ledger.holdout.assign({"b"})
    assert rows(loop.ledger) == before
    _, (refused,) = loop.add("c", split=Split.HOLDOUT)
    assert refused.reason == "came after the holdout was frozen"


def test_the_first_freeze_stays(loop):
    loop.add("ab", split=Split.HOLDOUT)
    assert loop.ledger.holdout.frozen() is None
    first = {"a": Content("cat"), "b": Content("dog")}
    assert loop.ledger.holdout.freeze(first, digest="1" * 64, dropped=0) == "1" * 64
    assert loop.ledger.holdout.freeze({"a": Content("dog")}, digest="2" * 64, dropped=1) == "1" * 64
    assert frozen(loop) == ("1" * 64, {"a": "cat", "b": "dog"})


def test_a_holdout_sample_enters_no_batch_and_nothing_is_written(loop, rows):
    loop.add("ab")
    loop.ledger.holdout.assign({"b"})
    loop.open()
    lease = loop.walk_to("diversity_select")
    before = rows(loop.ledger)
    with pytest.raises(HoldoutLeak, match="sample b is in the holdout"):
        loop.ledger.batches.record(lease, loop.items("ab"))
    assert rows(loop.ledger) == before
    assert loop.ledger.steps.of(0)[-1].finished_at is None


def test_a_pool_sample_enters_no_holdout_lane(loop):
    loop.add("ab")
    loop.open()
    with pytest.raises(HoldoutLeak, match="sample a is in the pool"):
        loop.ledger.batches.record(loop.walk_to("diversity_select"), loop.items("a", lane=Lane.HOLDOUT))


def test_a_group_mate_of_the_holdout_enters_no_batch(loop):
    loop.add("ab", group="clip")
    loop.ledger.holdout.assign({"a"})
    loop.open()
    with pytest.raises(HoldoutLeak, match="sample b is in the aside"):
        loop.ledger.batches.record(loop.walk_to("diversity_select"), loop.items("b"))


def test_a_batch_with_two_samples_of_one_rank_is_a_mistake_and_not_a_smaller_batch(loop, rows):
    from sqlalchemy.exc import IntegrityError

    loop.add("ab")
    loop.open()
    lease = loop.walk_to("diversity_select")
    before = rows(loop.ledger)
    with pytest.raises(IntegrityError):
        loop.ledger.batches.record(lease, loop.items("a") + loop.items("b"))
    assert rows(loop.ledger) == before


def test_people_label_the_holdout_and_it_freezes_with_the_close_of_the_batch(loop):
    loop.add("abcd")
    loop.ledger.holdout.assign({"b", "c", "d"})
    loop.ask("a", holdout="bcd")
    loop.tell(loop.label("a"), loop.label("b", "dog"), loop.outcome("c", Outcome.UNCLEAR), loop.label("d", "cat"))
    answers = loop.ledger.labels.holdout_answers(0)
    assert answers == {"b": Content("dog"), "d": Content("cat")}
    loop.close(holdout=answers, digest="1" * 64)
    assert frozen(loop) == ("1" * 64, {"b": "dog", "d": "cat"})
    assert loop.trained() == {"a": "cat"}
    assert loop.ledger.batches.tally(0) == {Outcome.LABELLED: 1}


def test_the_holdout_never_trains_not_even_when_it_is_labelled_again(loop):
    loop.add("abc")
    loop.ledger.holdout.assign({"c"})
    loop.ask("a", holdout="c")
    loop.tell(loop.label("a"), loop.label("c"))
    loop.close()
    loop.decide()
    loop.turn("b", loop.label("b"), loop.label("c", "dog", minute=5))
    assert loop.trained(1) == {"a": "cat", "b": "cat"}


def test_a_sample_labelled_in_the_manifest_and_drawn_for_the_holdout_never_trains(loop):
    loop.add("ab", truth=Content("cat"), truths_are_labels=True)
    loop.add("c")
    loop.ledger.holdout.assign({"a"})
    loop.turn("c", loop.label("c"))
    assert loop.trained().keys() == {"b", "c"}
