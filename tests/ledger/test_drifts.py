"""A champion that changed while a batch waited: what is noted first stays, and who is withdrawn is asked no more."""

from dataclasses import replace

import pytest

from alloop.ledger.drifts import Drift
from alloop.nouns import ModelVersion, Outcome
from tests.ledger.conftest import START
from tests.ledger.test_opening import at_revision, run


@pytest.fixture
def asked(loop):
    """Cycle 1 has asked for a, b and c; v0 and v0.r1 are its models, and nothing is answered."""
    loop.add("abcdx")
    loop.ask("x")
    loop.tell(loop.label("x"))
    loop.close()
    lease = loop.begin("retrain")
    for replicate, name in enumerate(("v0", "v0.r1")):
        version = ModelVersion(name, 0, f"{replicate}" * 64, None, "2" * 64, 1, 1, "scratch", loop.clock.now())
        loop.ledger.models.record(lease, version, replicate=replicate)
    with loop.ledger.steps.finishing(lease):
        pass
    loop.decide()
    loop.ask("abc")
    return loop


def drift(*withdrawn: str, version: str = "v0.r1") -> Drift:
    return Drift(1, "v0", version, 3, 50, 0.5, withdrawn, START)


def withdraw(loop, *samples: str) -> Drift:
    return loop.ledger.drifts.finish(loop.ledger.drifts.note(drift(*samples)), answered=())


def test_what_was_noted_first_stays(asked):
    first = asked.ledger.drifts.note(drift("a"))
    assert asked.ledger.drifts.note(replace(drift("b"), rescored=2)) == first == drift("a")
    assert asked.ledger.drifts.of(1) == (first,)
    assert asked.ledger.drifts.of(0) == ()


def test_each_champion_is_noted_for_itself_and_in_order(asked, clock):
    asked.ledger.drifts.note(drift())
    clock.sleep(60)
    asked.ledger.drifts.note(replace(drift(version="v0"), at=clock.now()))
    assert [one.version for one in asked.ledger.drifts.of(1)] == ["v0.r1", "v0"]


def test_until_it_is_done_people_are_asked(asked):
    asked.ledger.drifts.note(drift("a"))
    assert asked.ledger.labels.pending(1) == (0, 3)
    assert len(asked.ledger.expiry.items(1)) == 3


def test_what_is_withdrawn_is_asked_no_more(asked):
    withdraw(asked, "a", "b")
    assert asked.ledger.labels.pending(1) == (0, 1)
    assert [item.sample_id for item in asked.ledger.expiry.items(1)] == ["c"]


def test_what_was_answered_after_all_is_not_withdrawn(asked, clock):
    noted = asked.ledger.drifts.note(drift("a", "b"))
    clock.sleep(60)
    done = asked.ledger.drifts.finish(noted, answered={"b", "c"})
    assert (done.withdrawn, done.finished_at) == (("a",), clock.now())
    assert asked.ledger.drifts.finish(noted, answered={"a"}) == done


def test_an_answer_that_comes_all_the_same_counts(asked):
    withdraw(asked, "a")
    asked.tell(asked.label("a"), asked.label("c"))
    assert asked.ledger.labels.pending(1) == (2, 3)
    asked.close()
    assert asked.ledger.batches.outcomes(1) == {
        "a": Outcome.LABELLED,
        "b": Outcome.EXPIRED,
        "c": Outcome.LABELLED,
    }
    assert asked.trained() == {"a": "cat", "c": "cat", "x": "cat"}


def test_half_an_answer_to_what_is_withdrawn_is_not_waited_for_and_kept(loop):
    loop.add("abx")
    loop.ask("ab", shared="a")
    loop.ledger.models.record(loop.walk_to("wait_for_labels"), version_of(loop), replicate=0)
    loop.ledger.drifts.finish(loop.ledger.drifts.note(replace(drift("a", version="v0"), cycle=0)), answered=())
    loop.tell(loop.label("a"), loop.label("b"))
    assert loop.ledger.labels.pending(0) == (1, 1)


def version_of(loop) -> ModelVersion:
    return ModelVersion("v0", 0, "1" * 64, None, "2" * 64, 1, 1, "scratch", loop.clock.now())


def test_when_the_batch_closes_it_is_in_the_pool_again(asked):
    withdraw(asked, "a", "b")
    asked.tell(asked.label("c"))
    asked.close()
    assert asked.ledger.batches.tally(1) == {Outcome.EXPIRED: 2, Outcome.LABELLED: 1}
    assert [sample.id for shard in asked.ledger.samples.unlabelled(shard=9) for sample in shard] == ["a", "b", "d"]


def test_the_next_batch_may_ask_for_it_again(asked):
    withdraw(asked, "a", "b")
    asked.tell(asked.label("c"))
    asked.close()
    asked.decide()
    asked.ask("ad")
    assert asked.ledger.labels.pending(2) == (0, 2)


def test_a_ledger_of_before_knows_of_no_drift(fresh_url, open_at):
    at_revision(fresh_url, "0008")
    run(
        fresh_url,
        """INSERT INTO project VALUES ('birds', 'classify', '["cat", "dog"]', '2026-01-01 07:00:00')""",
        "INSERT INTO cycle VALUES ('birds', 0, 'margin', 5, '2026-01-01 07:00:00', NULL)",
    )
    with open_at(fresh_url, project="birds") as ledger:
        assert ledger.drifts.of(0) == ()
        assert ledger.labels.pending(0) == (0, 0)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (replace(drift(), rescored=0, threshold=None), "none of its samples was scored again"),
        (drift(), "scored again, its 3 open samples are worth labelling as before"),
        (drift("a"), "scored again, 1 of its 3 open samples came below a random one and will go back to the pool"),
        (
            replace(drift("a"), finished_at=START),
            "scored again, 1 of its 3 open samples came below a random one and went back to the pool",
        ),
    ],
)
def test_it_is_told_in_a_sentence(found, told):
    changed = "the champion changed from v0 to v0.r1 while the batch of cycle 1 waited"
    assert found.told == f"{changed}; {told}"
