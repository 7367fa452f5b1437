"""The pool: what is in it, what has left it, and what never came in."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloop.ledger.samples import Refused
from alloop.nouns import Content, Lane, Outcome, Sample, Split


def aside(loop):
    return {refused.uri: (refused.cause, refused.reason) for refused in loop.ledger.samples.aside()}


def test_what_is_added_is_in_the_pool_in_order_of_id(loop):
    assert loop.add("bca")[0] == ("/pool/b.png", "/pool/c.png", "/pool/a.png")
    assert loop.unlabelled() == "abc"
    assert loop.ledger.samples.counts() == {"samples": 3, "pool": 3, "unlabelled": 3, "set_aside": 0}


def test_adding_again_adds_only_what_is_new_and_notes_the_files_as_they_are(loop):
    loop.add("ab")
    moved = loop.file("a")
    loop.ledger.samples.add([type(moved)(moved.sample, 8, 6, 123, 456), loop.file("c")], truths_are_labels=False)
    known = loop.ledger.samples.known(["/pool/a.png", "/pool/b.png", "/pool/x.png"])
    assert {uri: (file.size_bytes, file.mtime_ns) for uri, file in known.items()} == {
        "/pool/a.png": (123, 456),
        "/pool/b.png": (100, 1),
    }
    assert loop.unlabelled() == "abc"


def test_an_exact_copy_is_refused_whichever_call_brings_it(loop):
    loop.add("a")
    twin = loop.file("b", id="a")
    assert loop.ledger.samples.add([twin], truths_are_labels=False) == (
        (),
        (Refused("/pool/b.png", "duplicate", "is an exact copy of /pool/a.png"),),
    )
    both = [loop.file("c"), loop.file("d", id="c")]
    added, refused = loop.ledger.samples.add(both, truths_are_labels=False)
    assert (added, [one.uri for one in refused]) == (("/pool/c.png",), ["/pool/d.png"])


def test_a_sample_whose_group_is_in_the_holdout_is_refused_with_that_reason(loop):
    loop.add("a", group="clip", split=Split.HOLDOUT)
    _, (refused,) = loop.add("b", group="clip")
    assert (refused.cause, refused.reason) == ("holdout", "has its group 'clip' in the holdout")


def test_a_group_is_never_on_both_sides_even_within_one_call(loop):
    pooled, measured = loop.file("a", group="clip"), loop.file("b", group="clip", split=Split.HOLDOUT)
    _, (refused,) = loop.ledger.samples.add([pooled, measured], truths_are_labels=False)
    assert refused.reason == "has its group 'clip' in the pool"
    measured, pooled = loop.file("c", group="film", split=Split.HOLDOUT), loop.file("d", group="film")
    _, (refused,) = loop.ledger.samples.add([measured, pooled], truths_are_labels=False)
    assert refused.reason == "has its group 'film' in the holdout"


def test_samples_without_a_group_share_none(loop):
    loop.add("a", split=Split.HOLDOUT)
    assert loop.add("b") == (("/pool/b.png",), ())


def test_what_was_set_aside_keeps_its_newest_reason_and_leaves_the_pool(loop):
    loop.add("ab")
    loop.ledger.samples.set_aside(
        [Refused("/pool/a.png", "bad image", "is truncated"), Refused("/x.png", "duplicate", "is a copy")]
    )
    loop.ledger.samples.set_aside([Refused("/pool/a.png", "changed", "has changed")])
    assert aside(loop) == {"/pool/a.png": ("changed", "has changed"), "/x.png": ("duplicate", "is a copy")}
    assert loop.unlabelled() == "b"
    assert loop.ledger.samples.counts() == {"samples": 2, "pool": 1, "aside": 1, "unlabelled": 1, "set_aside": 2}


def test_a_cause_that_does_not_spoil_the_file_leaves_the_sample_in_the_pool(loop):
    loop.add("a")
    loop.ledger.samples.set_aside([Refused("/pool/a.png", "differs", "now comes with another label")])
    assert loop.unlabelled() == "a"


def test_a_file_that_is_what_it_was_again_comes_back(loop):
    loop.add("ab")
    loop.ledger.samples.set_aside([Refused(f"/pool/{name}.png", "changed", "has changed") for name in "ab"])
    loop.add("a")
    assert loop.unlabelled() == "a"
    assert aside(loop).keys() == {"/pool/b.png"}


def test_a_file_whose_group_came_into_the_holdout_meanwhile_does_not_come_back(loop):
    loop.add("ab", group="clip")
    loop.ledger.samples.set_aside([Refused("/pool/a.png", "changed", "has changed")])
    loop.ledger.holdout.assign({"b"})
    loop.add("a", group="clip")
    assert loop.unlabelled() == ""
    assert aside(loop).keys() == {"/pool/a.png"}


def test_an_image_that_was_refused_and_is_a_sample_now_is_no_longer_set_aside(loop):
    loop.ledger.samples.set_aside([Refused("/pool/a.png", "bad image", "is truncated")])
    loop.add("a")
    assert aside(loop) == {}


def test_a_hidden_truth_is_for_simulated_annotators_only(loop):
    loop.add("a", truth=Content("cat"))
    assert loop.ledger.samples.get(["a", "x"]) == {"a": Sample("a", "/pool/a.png")}
    assert loop.ledger.samples.truths(["a", "x"]) == {"a": Content("cat")}
    assert loop.unlabelled() == "a"


def test_a_label_of_the_manifest_trains_and_leaves_the_pool(loop):
    loop.add("a", truth=Content("dog"), truths_are_labels=True)
    loop.add("b")
    assert loop.unlabelled() == "b"
    loop.turn("b", loop.label("b", "cat"))
    assert loop.trained() == {"a": "dog", "b": "cat"}


def test_a_holdout_label_of_the_manifest_is_known_even_where_pool_labels_are_hidden(loop):
    loop.add("a", truth=Content("dog"), split=Split.HOLDOUT)
    assert loop.ledger.holdout.all()[0].truth == Content("dog")


@pytest.mark.parametrize("outcome", [Outcome.LABELLED, Outcome.UNCLEAR, Outcome.SKIPPED])
def test_what_people_answered_leaves_the_pool_for_good(loop, outcome):
    loop.add("ab")
    says = "cat" if outcome is Outcome.LABELLED else None
    loop.turn("a", loop.label("a", says, outcome=outcome))
    assert loop.unlabelled() == "b"


@pytest.mark.parametrize("answers", ["rejected", "none"])
def test_what_was_rejected_or_expired_is_in_the_pool_again(loop, answers):
    loop.add("ab")
    loop.turn("a", *([loop.outcome("a", Outcome.REJECTED)] if answers == "rejected" else []))
    assert loop.unlabelled() == "ab"


def test_what_people_are_asked_now_is_not_asked_twice(loop):
    loop.add("ab")
    loop.turn("a", loop.outcome("a", Outcome.REJECTED))
    loop.ask("a")
    assert loop.unlabelled() == "b"
    loop.tell(loop.label("a"))
    assert loop.unlabelled() == "b"


def test_the_unlabelled_are_all_of_the_above(loop):
    loop.add("abcdefgh")
    loop.add("i", truth=Content("cat"), truths_are_labels=True)
    loop.add("j", split=Split.HOLDOUT)
    loop.ledger.samples.set_aside([Refused("/pool/h.png", "bad image", "is truncated")])
    outcomes = {"b": Outcome.UNCLEAR, "c": Outcome.SKIPPED, "d": Outcome.REJECTED}
    loop.turn("abcde", loop.label("a"), *(loop.outcome(key, outcome) for key, outcome in outcomes.items()))
    loop.ask("f")
    assert loop.unlabelled() == "deg"
    assert loop.ledger.samples.counts()["unlabelled"] == 3


def test_the_whole_pool_is_everything_but_the_holdout_and_what_was_set_aside(loop):
    loop.add("abc")
    loop.add("d", split=Split.HOLDOUT)
    loop.ledger.samples.set_aside([Refused("/pool/c.png", "bad image", "is truncated")])
    loop.turn("a", loop.label("a"))
    assert [s.id for shard in loop.ledger.samples.everything(shard=1) for s in shard] == ["a", "b"]


ids = st.sets(st.text("0123456789abcdef", min_size=1, max_size=6), max_size=30)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=ids, shard=st.integers(1, 40), data=st.data())
def test_shards_cover_what_is_unlabelled_exactly_once_in_order(url, open_at, loop_of, names, shard, data):
    asked = data.draw(st.sets(st.sampled_from(sorted(names)), max_size=5)) if names else set()
    with open_at(url) as ledger:
        loop = loop_of(ledger)
        loop.add(sorted(names))
        loop.ask(sorted(asked))
        shards = list(ledger.samples.unlabelled(shard=shard))
    assert [sample.id for some in shards for sample in some] == sorted(names - asked)
    assert all(len(some) == shard for some in shards[:-1])
    assert all(shards)


def test_a_sample_that_people_answer_while_the_pool_is_paged_does_not_shift_the_others(loop):
    loop.add("abcdef")
    pages = loop.ledger.samples.unlabelled(shard=2)
    assert [s.id for s in next(pages)] == ["a", "b"]
    loop.turn("ad", loop.label("a"), loop.label("d"))
    assert [s.id for page in pages for s in page] == ["c", "e", "f"]


def test_a_lane_of_the_batch_comes_back_with_its_reasons(loop):
    loop.add("ab")
    loop.open()
    items = loop.items("a") + loop.items("b", lane=Lane.CONTROL, at=1)
    loop.ledger.batches.record(loop.walk_to("diversity_select"), items)
    assert loop.ledger.batches.get(0).items == tuple(items)
