"""Samples that several annotators are asked about: when they are answered, what stands, and who is asked again."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from alloop.nouns import Content, ModelVersion, Outcome

CAT, DOG = "cat", "dog"


@pytest.fixture
def tell(loop):
    """Told `a`, "ann=cat bob=dog": a class, or an outcome, of each annotator, at one minute."""

    def told(sample, says, *, minute=0, **fields):
        for part in says.split():
            annotator, word = part.split("=")
            given = {"minute": minute, "annotator": annotator, "ref": f"{sample}/{annotator}"} | fields
            known = word in (CAT, DOG, "bird")
            loop.tell(loop.label(sample, word, **given) if known else loop.outcome(sample, Outcome(word), **given))

    return told


@pytest.fixture
def close(loop):
    """The batch is closed and the cycle ends; what became of its samples."""

    def closed():
        loop.close()
        loop.decide()
        return dict(loop.ledger.batches.outcomes(loop.cycle))

    return closed


def test_how_many_are_asked_comes_back(loop):
    loop.add("ab")
    loop.ask("ab", shared="b", annotators=3)
    assert [item.annotators for item in loop.ledger.batches.get(0).items] == [1, 3]


def test_a_sample_for_two_waits_for_two_different_people(loop, tell):
    loop.add("ab")
    loop.ask("ab", shared="a")
    tell("a", "ann=cat")
    tell("a", "ann=dog", minute=1, ref="another of ann")
    assert loop.ledger.labels.pending(0) == (0, 2)
    tell("a", "bob=cat")
    assert loop.ledger.labels.pending(0) == (1, 2)
    tell("a", "bob=cat", minute=2, deleted=True)
    assert loop.ledger.labels.pending(0) == (0, 2)


def test_what_most_of_them_say_trains_once(loop, tell, close):
    loop.add("ab")
    loop.ask("ab", shared="a", annotators=3)
    tell("a", "ann=cat bob=cat")
    tell("a", "carl=dog", minute=9)
    tell("b", "ann=dog")
    assert close() == {"a": Outcome.LABELLED, "b": Outcome.LABELLED}
    assert loop.trained(0) == {"a": CAT, "b": DOG}
    assert loop.ledger.labels.verdicts() == {"a": (Outcome.LABELLED, Content(CAT))}


def test_what_several_people_cannot_tell_is_unclear(loop, tell, close):
    loop.add("a")
    loop.ask("a", shared="a")
    tell("a", "ann=unclear bob=skipped")
    assert close() == {"a": Outcome.UNCLEAR}
    assert loop.ledger.labels.unclear(before=1) == ("a",)


def test_what_they_disagree_on_stays_open_and_is_asked_again_once(loop, tell, close):
    loop.add("abc")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=dog")
    assert close() == {}
    assert (loop.trained(0), loop.unlabelled()) == ({}, "bc")
    assert loop.ledger.labels.disputed(before=1) == ("a",)
    loop.ask("b", again="a")
    assert loop.ledger.labels.pending(1) == (0, 2)
    tell("a", "carl=dog", minute=5)
    tell("b", "carl=cat")
    assert loop.ledger.labels.pending(1) == (2, 2)
    assert close() == {"a": Outcome.LABELLED, "b": Outcome.LABELLED}
    assert (loop.trained(0), loop.trained(1)) == ({}, {"a": DOG, "b": CAT})
    assert loop.ledger.labels.disputed(before=2) == ()
    assert loop.ledger.labels.disputed(before=1) == ("a",)  # as it was then


def test_what_nobody_answered_again_before_the_batch_was_closed_is_asked_once_more(loop, tell, close):
    loop.add("abc")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=dog")
    close()
    loop.ask("b", again="a")
    tell("b", "ann=cat")
    assert close() == {"b": Outcome.LABELLED}
    assert loop.ledger.labels.disputed(before=2) == ("a",)
    loop.ask("c", again="a")
    tell("a", "carl=dog", minute=9)
    tell("c", "ann=cat")
    assert close()["a"] is Outcome.LABELLED
    assert [loop.ledger.batches.outcomes(cycle).get("a") for cycle in range(3)] == [Outcome.LABELLED] * 3


def test_it_counts_once_in_the_cycle_that_chose_it(loop, tell, close):
    loop.add("ab")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=dog")
    close()
    assert loop.ledger.batches.tally(0) == {}
    loop.ask("b", again="a")
    tell("a", "carl=dog", minute=5)
    tell("b", "carl=cat")
    close()
    assert loop.ledger.batches.tally(0) == {Outcome.LABELLED: 1}
    assert loop.ledger.batches.tally(1) == {Outcome.LABELLED: 1}


def test_what_nobody_confirms_is_unclear_and_not_asked_a_third_time(loop, tell, close):
    loop.add("ab")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=dog")
    close()
    loop.ask("b", again="a")
    tell("a", "carl=bird", minute=5)
    tell("b", "carl=cat")
    assert close()["a"] is Outcome.UNCLEAR
    assert loop.ledger.batches.outcomes(0) == {"a": Outcome.UNCLEAR}
    assert loop.ledger.labels.disputed(before=2) == ()
    assert loop.trained(1) == {"b": CAT}


def test_the_cycle_that_asks_again_does_not_know_yet_what_became_of_it(loop, tell, close):
    """Chosen again later, its batch must come out the same."""
    loop.add("ab")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=dog")
    close()
    loop.ask("b", again="a")
    before = loop.ledger.labels.unclear(before=1)
    tell("a", "carl=bird", minute=5)
    tell("b", "carl=cat")
    close()
    assert loop.ledger.labels.unclear(before=1) == before == ()
    assert loop.ledger.labels.unclear(before=2) == ("a",)


def test_one_of_two_who_changes_their_mind_settles_it(loop, tell, close):
    loop.add("ab")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=dog")
    close()
    loop.ask("b", again="a")
    tell("a", "ann=dog", minute=7)
    tell("b", "ann=cat")
    close()
    assert loop.trained(1) == {"a": DOG, "b": CAT}


def test_an_answer_that_comes_after_the_close_is_weighed_in_the_next_cycle(loop, tell, close):
    loop.add("ab")
    loop.ask("a", shared="a", annotators=3)
    tell("a", "ann=cat bob=cat carl=dog")
    close()
    tell("a", "bob=dog", minute=30)
    assert loop.trained(0) == {"a": CAT}
    loop.ask("b")
    tell("b", "ann=cat")
    close()
    assert (loop.trained(0), loop.trained(1)) == ({"a": CAT}, {"a": DOG, "b": CAT})


def test_one_taken_back_leaves_the_others(loop, tell, close):
    loop.add("abc")
    loop.ask("a", shared="a")
    tell("a", "ann=cat bob=cat")
    close()
    tell("a", "bob=cat", minute=5, deleted=True)
    loop.ask("b")
    tell("b", "ann=cat")
    close()
    assert loop.trained(1) == {"a": CAT, "b": CAT}
    tell("a", "ann=cat", minute=6, deleted=True)
    loop.ask("c")
    tell("c", "ann=cat")
    close()
    assert loop.trained(2) == {"b": CAT, "c": CAT}
    assert loop.unlabelled() == "a"


def test_a_sample_that_two_rejected_and_one_labelled_later_is_labelled(loop, tell, close):
    loop.add("a")
    loop.ask("a", shared="a")
    tell("a", "ann=rejected bob=rejected")
    assert close() == {"a": Outcome.REJECTED}
    assert loop.unlabelled() == "a"
    loop.ask("a")
    tell("a", "carl=cat", minute=5)
    assert close() == {"a": Outcome.LABELLED}
    assert loop.trained(1) == {"a": CAT}
    assert loop.ledger.batches.outcomes(0) == {"a": Outcome.REJECTED}


def test_two_who_are_asked_anew_are_not_outvoted_by_those_of_long_ago(loop, tell, close):
    loop.add("a")
    loop.ask("a", shared="a")
    tell("a", "ann=rejected bob=rejected")
    close()
    loop.ask("a", shared="a")
    tell("a", "carl=cat dave=cat", minute=5)
    assert close() == {"a": Outcome.LABELLED}


def test_every_answer_counts_as_hours_and_is_given(loop, tell, close):
    loop.add("ab")
    loop.ask("ab", shared="a")
    tell("a", "ann=cat bob=cat", lead_time_s=1800.0)
    tell("b", "ann=cat", lead_time_s=3600.0)
    close()
    tell("b", "bob=dog", lead_time_s=900.0)
    assert loop.ledger.labels.annotator_hours() == 2.25
    given = [(label.sample_id, label.annotator, cycle) for label, cycle in loop.ledger.labels.given()]
    assert sorted(given, key=str) == [("a", "ann", 0), ("a", "bob", 0), ("b", "ann", 0), ("b", "bob", None)]


def test_a_manifest_gives_no_answers(loop):
    loop.add("a", truth=Content(CAT), truths_are_labels=True)
    assert loop.ledger.labels.given() == ()


def test_samples_of_one_annotator_have_no_verdict(loop, tell, close):
    loop.add("ab")
    loop.ask("ab")
    tell("a", "ann=cat bob=dog")
    tell("b", "ann=unclear")
    close()
    assert loop.ledger.labels.verdicts() == {}
    assert loop.trained(0) == {"a": DOG}


# The firewall, as the database itself holds it


VERDICT = "INSERT INTO verdict VALUES (:project, 0, 'a', :outcome, :content, :answers, NULL)"
SAYS = '{"class": "cat", "boxes": []}'


@pytest.fixture
def execute(loop):
    def executed(statement, **values):
        with loop.ledger.database.write() as session:
            session.execute(text(statement), {"project": loop.ledger.samples._project, **values})

    return executed


@pytest.mark.parametrize(
    "change",
    [
        "outcome = 'skipped'",
        "outcome = 'unclear'",
        "deleted = true",
        "content = NULL",
        "annotator = ''",
    ],
)
def test_the_database_keeps_a_content_for_nothing_but_what_a_person_labelled(loop, execute, change):
    loop.add("a")
    loop.turn("a", loop.label("a"))
    with pytest.raises(IntegrityError):
        execute(f"UPDATE observation SET {change} WHERE project = :project")
    assert loop.trained() == {"a": CAT}


@pytest.mark.parametrize(
    ("outcome", "content", "answers"),
    [("unclear", SAYS, 2), (None, SAYS, 2), ("labelled", None, 2), ("labelled", SAYS, 0)],
)
def test_the_database_keeps_no_verdict_that_nobody_gave(loop, execute, outcome, content, answers):
    loop.add("a")
    loop.ask("a", shared="a")
    with pytest.raises(IntegrityError):
        execute(VERDICT, outcome=outcome, content=content, answers=answers)


def test_the_boxes_that_a_skipped_answer_carries_are_not_even_stored(loop):
    loop.add("a")
    loop.ask("a")
    carried = Content("guess")
    loop.tell(
        loop.outcome("a", Outcome.SKIPPED, content=carried), loop.label("a", "guess", minute=1, deleted=True, ref="2")
    )
    with loop.ledger.database.read() as session:
        query = text("SELECT count(*) FROM observation WHERE project = :project AND content IS NOT NULL")
        assert session.scalar(query, {"project": loop.ledger.samples._project}) == 0
    assert loop.ledger.labels.pending(0) == (1, 1)


def test_a_model_is_no_annotator(loop):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a"))
    loop.close()
    loop.ledger.models.record(loop.begin("retrain"), version(created_at=loop.clock.now()), replicate=0)
    loop.tell(loop.label("a", "dog", minute=9, annotator="v0", ref="predicted"))
    assert loop.ledger.labels.refusals() == (
        ("predicted", "names the model v0 as its annotator; only people's answers are labels"),
    )


def version(*, created_at):
    return ModelVersion("v0", 0, "1" * 64, None, "2" * 64, 10, 7, "scratch", created_at)
