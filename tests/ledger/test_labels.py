"""Labels: which version stands, when it joins, and what never trains."""

import pytest

from alloop.ledger.label_sets import label_set_hash
from alloop.nouns import Box, Content, Lane, Outcome, Refusal, Sample, TrainingLabel


def outcomes(loop, cycle):
    return dict(loop.ledger.batches.outcomes(cycle))


def test_the_tool_is_read_on_from_where_it_was_read_to(loop):
    assert loop.ledger.labels.cursor("tool") == ""
    loop.tell(cursor="7")
    loop.tell(tool="other", cursor="9")
    assert (loop.ledger.labels.cursor("tool"), loop.ledger.labels.cursor("other")) == ("7", "9")


def test_a_batch_counts_who_was_asked_and_who_answered(loop):
    loop.add("abcd")
    loop.ask("abc")
    assert loop.ledger.labels.pending(0) == (0, 3)
    loop.tell(loop.label("a"), loop.outcome("b", Outcome.UNCLEAR), loop.label("d"))
    assert loop.ledger.labels.pending(0) == (2, 3)


def test_only_what_was_labelled_trains(loop):
    loop.add("abcde")
    others = {"b": Outcome.UNCLEAR, "c": Outcome.SKIPPED, "d": Outcome.REJECTED}
    loop.turn("abcde", loop.label("a", "dog"), *(loop.outcome(key, outcome) for key, outcome in others.items()))
    assert loop.trained() == {"a": "dog"}
    assert outcomes(loop, 0) == {"a": Outcome.LABELLED, "e": Outcome.EXPIRED} | others
    assert loop.ledger.batches.tally(0) == dict.fromkeys(Outcome, 1)
    assert loop.ledger.labels.unclear(before=1) == ("b", "c")


def test_boxes_and_polygons_come_back_as_they_were(loop):
    loop.add("ab")
    content = Content(boxes=(Box("cat", 0.5, 1, 7.25, 6), Box("dog", 0, 0, 2, 2, polygon=((0.0, 0.0), (2.0, 0.5)))))
    empty = Content()
    loop.turn("ab", loop.label("a", content=content), loop.label("b", content=empty))
    found = loop.ledger.labels.training_set(0).labels
    assert [label.content for label in found] == [content, empty]


def test_the_newest_version_stands_also_when_it_arrives_first(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", "dog", minute=5))
    loop.tell(loop.label("a", "cat", minute=3))
    loop.close()
    assert loop.trained() == {"a": "dog"}


def test_a_version_that_says_what_an_older_one_said_is_newer_all_the_same(loop):
    loop.add("a")
    loop.ask("a")
    for says, minute in (("cat", 1), ("cat", 5), ("dog", 3)):
        loop.tell(loop.label("a", says, minute=minute))
    loop.close()
    assert loop.trained() == {"a": "cat"}


def test_of_two_versions_of_one_moment_the_one_told_last_stands(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", "dog"))
    loop.tell(loop.label("a", "cat"))
    loop.close()
    assert loop.trained() == {"a": "cat"}


def test_of_two_annotators_the_later_one_stands(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", "dog", minute=5, annotator="bob", ref="2"), loop.label("a", "cat", minute=3, ref="1"))
    loop.close()
    assert loop.trained() == {"a": "dog"}


def test_of_two_annotators_labels_of_one_moment_the_same_stands_whichever_was_told_first(loop):
    loop.add("ab")
    loop.ask("ab")
    for name, order in (("a", ("ann", "bob")), ("b", ("bob", "ann"))):
        for annotator in order:
            says = {"ann": "cat", "bob": "dog"}[annotator]
            loop.tell(loop.label(name, says, annotator=annotator, ref=f"{name}/{annotator}"))
    loop.close()
    assert loop.trained() == {"a": "dog", "b": "dog"}


def test_a_deleted_label_does_not_stand_and_the_one_before_it_does(loop):
    loop.add("ab")
    loop.ask("ab")
    loop.tell(loop.label("a", "cat", ref="1"), loop.label("a", "dog", minute=1, ref="2"), loop.label("b"))
    loop.tell(loop.label("a", "dog", minute=2, ref="2", deleted=True), loop.label("b", None, minute=2, deleted=True))
    assert loop.ledger.labels.pending(0) == (1, 2)
    loop.close()
    assert loop.trained() == {"a": "cat"}
    assert outcomes(loop, 0)["b"] is Outcome.EXPIRED


def test_a_label_that_the_tool_no_longer_holds_was_deleted(loop):
    loop.add("ab")
    loop.ask("ab")
    loop.tell(loop.label("a"), loop.label("b"), present=frozenset({"task-a/ann", "task-b/ann"}))
    assert loop.ledger.labels.pending(0) == (2, 2)
    loop.tell(present=frozenset({"task-a/ann"}))
    assert loop.ledger.labels.pending(0) == (1, 2)


def test_of_two_annotators_labels_either_can_vanish(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", "cat", ref="old"), loop.label("a", "dog", minute=5, ref="new", annotator="bob"))
    loop.tell(present=frozenset({"new"}))
    loop.tell(loop.label("a", "dog", minute=6, ref="new", annotator="bob", deleted=True))
    assert loop.ledger.labels.pending(0) == (0, 1)


def test_a_tool_that_does_not_say_what_it_holds_deletes_nothing(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a"))
    loop.tell(present=None)
    assert loop.ledger.labels.pending(0) == (1, 1)


def test_a_label_made_again_stands_even_by_a_tool_whose_clock_is_behind(loop, clock):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", "cat", minute=1))
    clock.sleep(3600)
    loop.tell(present=frozenset())
    assert loop.ledger.labels.pending(0) == (0, 1)
    loop.tell(loop.label("a", "dog", minute=2), present=frozenset({"task-a/ann"}))
    loop.close()
    assert loop.trained() == {"a": "dog"}


def test_a_label_of_a_closed_batch_that_the_tool_cleared_away_is_kept(loop):
    loop.add("ab")
    loop.turn("a", loop.label("a"))
    loop.ask("b")
    loop.tell(loop.label("b"), present=frozenset({"task-b/ann"}))
    loop.close()
    assert loop.trained(1) == {"a": "cat", "b": "cat"}


def test_a_late_label_joins_the_next_cycle_and_not_the_closed_one(loop):
    loop.add("ab")
    loop.turn("a")
    before = loop.ledger.labels.training_set(0)
    loop.tell(loop.label("a", minute=30))
    assert loop.ledger.labels.training_set(0) == before
    loop.turn("b", loop.label("b"))
    assert loop.ledger.labels.training_set(0) == before
    assert loop.trained(1) == {"a": "cat", "b": "cat"}
    assert outcomes(loop, 0) == {"a": Outcome.LABELLED}
    assert loop.unlabelled() == ""


def test_a_sample_labelled_anew_after_the_close_changes_the_next_training_set_only(loop):
    loop.add("ab")
    loop.turn("a", loop.label("a", "cat"))
    loop.tell(loop.label("a", "dog", minute=5))
    loop.turn("b", loop.label("b"))
    assert loop.trained(0) == {"a": "cat"}
    assert loop.trained(1) == {"a": "dog", "b": "cat"}


def test_a_label_deleted_after_the_close_leaves_the_next_training_set_and_is_in_the_pool_again(loop):
    loop.add("ab")
    loop.turn("a", loop.label("a"))
    loop.tell(loop.label("a", minute=5, deleted=True))
    loop.turn("b", loop.label("b"))
    assert (loop.trained(0), loop.trained(1)) == ({"a": "cat"}, {"b": "cat"})
    assert loop.unlabelled() == "a"


def test_a_sample_that_was_rejected_waits_for_a_new_answer(loop):
    loop.add("a")
    loop.turn("a", loop.outcome("a", Outcome.REJECTED))
    loop.ask("a")
    assert loop.ledger.labels.pending(1) == (0, 1)
    loop.tell(loop.label("a", "dog", minute=5))
    assert loop.ledger.labels.pending(1) == (1, 1)
    loop.close()
    assert loop.trained(1) == {"a": "dog"}


def test_a_label_nobody_asked_for_does_not_train(loop):
    loop.add("ab")
    loop.turn("a", loop.label("a"), loop.label("b"))
    assert loop.trained() == {"a": "cat"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"sample": "stranger"}, "sample stranger is not in this project"),
        ({"annotator": ""}, "names no annotator; only people's answers are labels"),
        ({"says": None}, "is labelled, but with nothing"),
    ],
)
def test_an_answer_that_cannot_be_used_is_refused_and_the_others_are_kept(loop, fields, reason):
    loop.add("ab")
    loop.ask("ab")
    loop.tell(loop.label(**({"sample": "a", "ref": "bad"} | fields)), loop.label("b"))
    assert loop.ledger.labels.refusals() == (("bad", reason),)
    assert loop.ledger.labels.pending(0) == (1, 2)


def test_what_the_tool_refused_is_noted_once_however_long_the_line_was(loop):
    long = Refusal("labels.jsonl:7", "has no sample: " + "".join(chr(0x4E00 + n % 9000) for n in range(9000)))
    for _ in range(2):
        loop.tell(refused=(long, Refusal("labels.jsonl:3", "is no JSON")))
    (first, reason), (second, _) = loop.ledger.labels.refusals()
    assert (first, second) == ("labels.jsonl:3", "labels.jsonl:7")
    assert reason == "is no JSON"


def test_annotator_hours_are_those_of_the_labels_that_stand(loop):
    loop.add("abc")
    loop.ask("abc")
    loop.tell(
        loop.label("a", lead_time_s=1800.0), loop.label("b", lead_time_s=900.0), loop.label("c", lead_time_s=None)
    )
    loop.tell(loop.label("a", "dog", minute=5, lead_time_s=3600.0))
    assert loop.ledger.labels.annotator_hours() == 1.25


def test_the_first_ref_of_a_sample_stays(loop):
    loop.add("ab")
    loop.ask("ab")
    loop.ledger.batches.confirm(0, {"a": "another", "x": "stranger"})
    assert loop.ledger.batches.refs(0) == {"a": "task-a", "b": "task-b"}


def test_a_sample_of_the_relabel_lane_waits_for_a_second_answer(loop):
    loop.add("a")
    loop.turn("a", loop.label("a", "cat"))
    loop.open()
    loop.ledger.batches.record(loop.walk_to("diversity_select"), loop.items("a", lane=Lane.RELABEL))
    loop.finish("push_to_annotation")
    assert loop.ledger.labels.pending(1) == (0, 1)
    loop.tell(loop.label("a", "dog", minute=5, ref="again", annotator="bob"))
    loop.close()
    assert (loop.trained(0), loop.trained(1)) == ({"a": "cat"}, {"a": "dog"})


def test_the_hash_of_a_label_set_names_samples_and_contents_and_nothing_else():
    def labels(**says):
        return [TrainingLabel(Sample(key, f"/{key}"), Content(name)) for key, name in says.items()]

    digest = label_set_hash(labels(a="cat", b="dog"))
    assert digest == "c386201cd608b5f76619dde9db4cb9389ef87fdb73d696f5f11fd4c839c77503"
    assert label_set_hash(labels(b="dog", a="cat")) == digest
    assert label_set_hash(labels(a="cat", b="cat")) != digest
    assert label_set_hash(labels(a="cat")) != digest
    assert label_set_hash([TrainingLabel(Sample("a", "/moved"), Content("cat")), *labels(b="dog")]) == digest


def test_every_database_gives_one_label_set(sqlite_url, postgres_url, open_at, loop_of):
    sets = []
    for url in ("sqlite://", sqlite_url, postgres_url):
        with open_at(url) as ledger:
            loop = loop_of(ledger)
            loop.add("aBc-1")
            loop.add("é", truth=Content("dog"), truths_are_labels=True)
            loop.turn("aBc-1", *(loop.label(name, "dog" if name == "c" else "cat") for name in "1-cBa"))
            sets.append(ledger.labels.training_set(0))
    assert sets[0] == sets[1] == sets[2]
    assert len(sets[0].labels) == 6
