"""Whatever is told, by whomever, of whatever: nothing but what a person labelled is ever trained on."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloop.nouns import Changes, Content, Label, ModelVersion, Outcome

POOL, HELD, KNOWN, STRANGE = "abcd", "h", "m", "?"
CAT, DOG = Content("human-cat"), Content("human-dog")
MACHINE = Content("guess")
"""What models propose: it comes as a pre-label, carried along by skipped and deleted answers, and as an annotation."""
TOOLS = ("tool", "other")


@st.composite
def answers(draw, start, *, annotators):
    """Versions of some annotations of any samples in two tools, in any order; what a machine says is always MACHINE."""
    found = []
    for ref in range(draw(st.integers(0, 8))):
        sample, annotator = draw(st.sampled_from(POOL + HELD + KNOWN + STRANGE)), draw(st.sampled_from(annotators))
        for minute in draw(st.sets(st.integers(0, 30), min_size=1, max_size=2)):
            outcome = draw(st.sampled_from([*[Outcome.LABELLED] * 5, *Outcome]))
            deleted = draw(st.sampled_from([False] * 4 + [True]))
            labelled = outcome is Outcome.LABELLED and not deleted
            human = annotator not in ("", "v0")
            says = draw(st.sampled_from([CAT, DOG, None] if labelled and human else [MACHINE, None]))
            at = start + timedelta(minutes=minute)
            one = f"{annotator}/{sample}{ref}"  # an annotation never moves to another sample
            label = Label(sample, annotator, outcome, one, at, says, 30.0, deleted)
            found.append((draw(st.sampled_from(TOOLS)), label))
    return draw(st.permutations(found))


def people_said(told):
    """{(sample, content)} that people labelled, at any time."""
    return {
        (label.sample_id, label.content)
        for _, label in told
        if label.outcome is Outcome.LABELLED and not label.deleted and label.annotator not in ("", "v0")
    }


def walk_with(loop, data, *, cycles):
    """Cycles over the pool with any answers, some samples for several annotators; what was told, and what trained."""
    told, left, trained = [], POOL, []
    for cycle in range(cycles):
        batch, left = left[:2], left[2:]
        again = "".join(loop.ledger.labels.disputed(before=cycle))
        shared = "".join(data.draw(st.sets(st.sampled_from(batch)))) if batch else ""
        loop.ask(batch, holdout=HELD if cycle == 0 else "", shared=shared, again=again)
        news = data.draw(answers(loop.clock.now(), annotators=["ann", "bob", "carl", "", *(["v0"] if cycle else [])]))
        for number, (tool, label) in enumerate(news):
            loop.ledger.labels.record(tool, Changes((label,), f"{cycle}.{number}"))
        told += news
        loop.close()
        if cycle == 0:
            lease = loop.begin("retrain")
            loop.ledger.models.record(lease, model(loop), replicate=0)
            loop.ledger.steps.release(lease)
        trained.append(loop.ledger.labels.training_set(cycle))
        loop.decide()
    return told, trained


def model(loop):
    return ModelVersion("v0", 0, "1" * 64, None, "2" * 64, 10, 7, "scratch", loop.clock.now())


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_only_what_people_labelled_ever_trains(url, open_at, loop_of, data):
    with open_at(url) as ledger:
        loop = loop_of(ledger)
        loop.add(POOL + HELD, truth=MACHINE)
        loop.add(KNOWN, truth=CAT, truths_are_labels=True)
        ledger.holdout.assign({HELD})
        told, trained = walk_with(loop, data, cycles=3)
        items = [item for cycle in range(3) for item in ledger.batches.get(cycle).items]
        again = [ledger.labels.training_set(cycle) for cycle in range(3)]
    said = people_said(told) | {(KNOWN, CAT)}
    assert {item.prelabel.content.class_name for item in items} == {"guess"}
    for found in trained:
        learnt = [(label.sample.id, label.content) for label in found.labels]
        assert set(learnt) <= said
        assert {sample for sample, _ in learnt} <= set(POOL + KNOWN)
        assert len({sample for sample, _ in learnt}) == len(learnt)
    assert again == trained


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_sample_is_in_the_pool_or_being_asked_or_answered_and_never_two_of_these(sqlite_url, open_at, loop_of, data):
    with open_at(sqlite_url) as ledger:
        loop = loop_of(ledger)
        loop.add(POOL + HELD)
        ledger.holdout.assign({HELD})
        loop.add("z")
        walk_with(loop, data, cycles=2)
        left = set(loop.unlabelled())
        trained = {label.sample.id for label in ledger.labels.training_set(1).labels}
        unclear, disputed = set(ledger.labels.unclear(before=2)), set(ledger.labels.disputed(before=2))
        ends = {key: end for cycle in range(2) for key, end in ledger.batches.outcomes(cycle).items()}
        back = {key for key, end in ends.items() if end in (Outcome.REJECTED, Outcome.EXPIRED)}
    states = [left - back - {"z"}, trained, unclear, disputed, back - {HELD}]
    assert sum(map(len, states)) == len(set().union(*states))
    assert set().union(*states) == set(POOL)
    assert left == back - {HELD} | {"z"}
