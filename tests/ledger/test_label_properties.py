"""What holds for labels whatever annotators say, and in whatever order, how often and in what portions it is told."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloop.nouns import Changes, Content, Label, Outcome

POOL, HELD = "abc", "h"
modest = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def versions(draw, start):
    """Versions of a few annotations; no two of one annotation have the same time."""
    found = []
    for ref in range(draw(st.integers(0, 5))):
        sample = draw(st.sampled_from(POOL + HELD + "?"))
        for minute in draw(st.sets(st.integers(0, 9), min_size=1, max_size=4)):
            outcome = draw(st.sampled_from(Outcome))
            says = Content(draw(st.sampled_from(["human-cat", "human-dog"])))
            found.append(
                Label(
                    sample_id=sample,
                    annotator=draw(st.sampled_from(["ann", "bob", ""])) if ref else "ann",
                    outcome=outcome,
                    ref=f"ref-{ref}",
                    updated_at=start + timedelta(minutes=minute),
                    content=says if outcome is Outcome.LABELLED or draw(st.booleans()) else None,
                    deleted=draw(st.booleans()),
                )
            )
    return found


@st.composite
def deliveries(draw, labels):
    """The labels in any order, some of them twice, in portions of any size."""
    told = draw(st.permutations(labels + draw(st.lists(st.sampled_from(labels), max_size=3)) if labels else []))
    cuts = sorted(draw(st.sets(st.integers(0, len(told)), max_size=4)) | {0, len(told)})
    return [told[low:high] for low, high in pairwise(cuts)]


def outcome_of(loop, portions):
    """What the ledger makes of labels told in these portions."""
    loop.add(POOL)
    loop.add(HELD)
    loop.ledger.holdout.assign({HELD})
    loop.ask(POOL, holdout=HELD)
    for number, portion in enumerate(portions):
        loop.ledger.labels.record("tool", Changes(tuple(portion), str(number)))
    held = loop.ledger.labels.holdout_answers(0)
    loop.close()
    return loop.ledger.labels.training_set(0), dict(loop.ledger.batches.outcomes(0)), held


@modest
@given(data=st.data())
def test_any_order_and_repetition_gives_the_same_standing_labels(url, sqlite_url, open_at, loop_of, clock, data):
    labels = data.draw(versions(clock.now()))
    shuffled = data.draw(deliveries(labels))
    with open_at(sqlite_url) as plain, open_at(url) as ledger:
        assert outcome_of(loop_of(ledger), shuffled) == outcome_of(loop_of(plain), [labels])


@modest
@given(data=st.data())
def test_what_stands_is_the_newest_version_of_the_newest_annotation(sqlite_url, open_at, loop_of, clock, data):
    labels = data.draw(versions(clock.now()))
    with open_at(sqlite_url) as ledger:
        trained, outcomes, held = outcome_of(loop_of(ledger), data.draw(deliveries(labels)))
    usable = [label for label in labels if label.annotator and label.sample_id in POOL + HELD]
    newest = {label.ref: label for label in sorted(usable, key=lambda label: label.updated_at)}
    stands = {x.sample_id: x for x in sorted(newest.values(), key=lambda x: (x.updated_at, x.ref)) if not x.deleted}
    assert outcomes == {key: stands[key].outcome if key in stands else Outcome.EXPIRED for key in POOL + HELD}
    answers = {key: label.content for key, label in stands.items() if label.outcome is Outcome.LABELLED}
    assert {label.sample.id: label.content for label in trained.labels} == {
        k: v for k, v in answers.items() if k != HELD
    }
    assert held == {key: content for key, content in answers.items() if key == HELD}


@modest
@given(data=st.data())
def test_only_what_people_labelled_ever_trains(sqlite_url, open_at, loop_of, clock, data):
    """Every sample has a pre-label, "guess"; machines, other outcomes, other projects and the holdout are in the mix."""
    labels = data.draw(versions(clock.now()))
    with open_at(sqlite_url) as ledger:
        loop = loop_of(ledger)
        trained, _, _ = outcome_of(loop, data.draw(deliveries(labels)))
        items = {item.sample.id: item.prelabel.content.class_name for item in ledger.batches.get(0).items}
    said = {
        (label.sample_id, label.content) for label in labels if label.outcome is Outcome.LABELLED and label.annotator
    }
    assert set(items.values()) == {"guess"}
    for label in trained.labels:
        assert (label.sample.id, label.content) in said
        assert label.sample.id in POOL


@modest
@given(data=st.data())
def test_a_closed_training_set_never_changes_whatever_is_told_later(url, open_at, loop_of, clock, data):
    labels = data.draw(versions(clock.now()))
    early = data.draw(st.lists(st.sampled_from(labels), unique=True)) if labels else []
    with open_at(url) as ledger:
        loop = loop_of(ledger)
        closed, _, _ = outcome_of(loop, [early])
        loop.decide()
        present = data.draw(st.none() | st.frozensets(st.sampled_from(["ref-0", "ref-1"])))
        ledger.labels.record("tool", Changes(tuple(labels), "later", present=present))
        assert ledger.labels.training_set(0) == closed
        loop.add("z")
        loop.turn("z", loop.label("z"))
        assert ledger.labels.training_set(0) == closed
        assert "z" in loop.trained(1)
