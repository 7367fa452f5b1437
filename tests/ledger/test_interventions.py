"""What people ask of a cycle out of turn: paused it begins no step, given up it loses no label."""

from datetime import timedelta

import pytest

from alloop.errors import CycleClosed, LeaseHeld, LeaseLost, LoopError
from alloop.nouns import STEPS, Action, Decision, Evaluation, Lane, ModelVersion, Outcome
from tests.ledger.conftest import START

CANCELLED = Decision(0, Action.CANCEL, "margin", "margin", "cancelled by a person", 1.0)


@pytest.fixture
def asked(loop):
    """Cycle 0 has asked for a, b and c, and nothing is answered; the holdout is frozen."""
    loop.add("abcd")
    loop.ledger.holdout.freeze({}, digest="f" * 64, dropped=0)
    loop.ask("abc")
    return loop


def give_up(loop):
    loop.ledger.interventions.cancel(0)
    loop.ledger.interventions.close(CANCELLED)


# Pausing


def test_a_paused_cycle_begins_no_step(loop):
    loop.open()
    loop.ledger.interventions.pause(0)
    with pytest.raises(
        CycleClosed, match="cycle 0 is paused since 2026-01-05 08:00 UTC; go on with 'alloop cycle resume'"
    ):
        loop.begin("score_pool")


def test_what_was_refused_leaves_no_trace(loop):
    loop.open()
    loop.ledger.interventions.pause(0)
    with pytest.raises(CycleClosed):
        loop.begin("score_pool")
    assert loop.ledger.steps.of(0) == ()


def test_a_step_at_work_finishes(loop):
    loop.open()
    lease = loop.begin("score_pool")
    loop.ledger.interventions.pause(0)
    loop.ledger.batches.record_scores(lease, [])
    assert [stage.finished_at is not None for stage in loop.ledger.steps.of(0)] == [True]


def test_a_finished_step_is_passed_while_paused(loop):
    loop.open()
    loop.finish("score_pool")
    loop.ledger.interventions.pause(0)
    assert loop.begin("score_pool") is None


def test_a_second_pause_keeps_the_time_of_the_first(loop):
    loop.open()
    loop.ledger.interventions.pause(0)
    loop.clock.sleep(3600)
    assert loop.ledger.interventions.pause(0) == START


def test_resumed_steps_begin_again(loop):
    loop.open()
    loop.ledger.interventions.pause(0)
    assert loop.ledger.interventions.resume(0)
    assert loop.ledger.interventions.held_back(0) is None
    assert loop.begin("score_pool") is not None


def test_paused_again_after_a_resumption_it_is_paused_since_then(loop):
    loop.open()
    loop.ledger.interventions.pause(0)
    loop.ledger.interventions.resume(0)
    loop.clock.sleep(3600)
    assert loop.ledger.interventions.pause(0) == START + timedelta(hours=1)


def test_there_is_nothing_to_resume_in_a_cycle_that_runs(loop):
    loop.open()
    assert not loop.ledger.interventions.resume(0)


def test_a_pause_holds_for_its_cycle_only(asked):
    asked.ledger.interventions.pause(0)
    asked.ledger.interventions.resume(0)
    give_up(asked)
    assert asked.open() == 1
    assert asked.begin("score_pool") is not None


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_cycle_that_is_over_is_left_alone(verb, loop):
    loop.add("ab")
    loop.ask("a")
    loop.close()
    loop.decide()
    with pytest.raises(CycleClosed, match="cycle 0 is not open"):
        getattr(loop.ledger.interventions, verb)(0)


# Giving up


def test_what_nobody_answered_is_in_the_pool_again(asked):
    asked.tell(asked.label("a"))
    give_up(asked)
    assert asked.unlabelled() == "bcd"
    assert asked.ledger.batches.outcomes(0) == {
        "a": Outcome.LABELLED,
        "b": Outcome.EXPIRED,
        "c": Outcome.EXPIRED,
    }


def test_answers_join_the_next_batch_that_closes(asked):
    asked.tell(asked.label("a"), asked.outcome("b", Outcome.UNCLEAR))
    give_up(asked)
    asked.turn("d", asked.label("d", "dog"))
    assert asked.trained() == {"a": "cat", "d": "dog"}
    assert asked.ledger.labels.unclear(before=2) == ("b",)


def test_an_answer_after_the_end_joins_too(asked):
    give_up(asked)
    asked.tell(asked.label("c"))
    asked.turn("d", asked.label("d", "dog"))
    assert asked.trained() == {"c": "cat", "d": "dog"}
    assert asked.ledger.batches.outcomes(0)["c"] is Outcome.LABELLED


def test_an_answer_that_was_taken_back_is_none(asked):
    asked.tell(asked.label("a"))
    asked.tell(asked.label("a", minute=1, deleted=True))
    give_up(asked)
    assert asked.unlabelled() == "abcd"


def test_a_shared_sample_with_one_answer_keeps_it(loop):
    loop.add("abcd")
    loop.ledger.holdout.freeze({}, digest="f" * 64, dropped=0)
    loop.ask("ab", shared="ab")
    loop.tell(loop.label("a"))
    give_up(loop)
    loop.turn("d", loop.label("d", "dog"))
    assert loop.trained() == {"a": "cat", "d": "dog"}


def test_disagreement_is_asked_again_after_the_end(loop):
    """a was disputed in cycle 0; cycle 1 asks for one more, and is given up."""
    loop.add("abcd")
    loop.ledger.holdout.freeze({}, digest="f" * 64, dropped=0)
    loop.ask("a", shared="a")
    loop.tell(loop.label("a"), loop.label("a", "dog", annotator="bob", ref="2"))
    loop.close()
    loop.decide()
    loop.ask("b", again="a")
    loop.ledger.interventions.cancel(1)
    loop.ledger.interventions.close(Decision(1, Action.CANCEL, "margin", "margin", "cancelled", 1.0))
    assert loop.ledger.labels.disputed(before=2) == ("a",)
    assert loop.unlabelled() == "bcd"
    assert [item.lane for item in loop.ledger.batches.get(1).items] == [Lane.ACTIVE, Lane.RELABEL]


def test_after_the_batch_closed_outcomes_stay(asked):
    asked.tell(asked.label("a"), asked.outcome("b", Outcome.SKIPPED))
    asked.close()
    before = asked.ledger.batches.outcomes(0)
    give_up(asked)
    assert asked.ledger.batches.outcomes(0) == before
    assert asked.trained() == {"a": "cat"}


def test_the_cycle_ends_with_a_decision_and_the_next_one_opens(asked):
    give_up(asked)
    assert asked.ledger.decisions.all() == (CANCELLED,)
    assert asked.ledger.cycles.get(0).closed_at == asked.clock.now()
    assert asked.open() == 1


def test_no_step_begins_once_it_is_being_cancelled(asked):
    asked.ledger.interventions.cancel(0)
    with pytest.raises(
        CycleClosed, match="being cancelled since 2026-01-05 08:00 UTC; finish that with 'alloop cycle cancel'"
    ):
        asked.begin("wait_for_labels")


def test_no_step_begins_in_a_cycle_that_was_cancelled(asked):
    give_up(asked)
    with pytest.raises(CycleClosed, match="cycle 0 was cancelled"):
        asked.begin("wait_for_labels")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_being_cancelled_is_neither_paused_nor_resumed(verb, asked):
    asked.ledger.interventions.cancel(0)
    with pytest.raises(CycleClosed, match="being cancelled"):
        getattr(asked.ledger.interventions, verb)(0)


def test_a_paused_cycle_can_be_cancelled(asked):
    asked.ledger.interventions.pause(0)
    give_up(asked)
    assert asked.open() == 1


def test_nothing_is_closed_that_was_not_cancelled(asked):
    with pytest.raises(CycleClosed, match="not being cancelled"):
        asked.ledger.interventions.close(CANCELLED)
    assert asked.ledger.cycles.get(0).closed_at is None


def test_without_a_frozen_holdout_the_first_cycle_is_cancelled_like_others(loop):
    loop.add("ab")
    loop.ask("ab")
    give_up(loop)
    assert loop.ledger.holdout.frozen() is None
    assert loop.open() == 1


# Somebody at work


def test_a_step_that_somebody_alive_does_is_not_taken_away(asked):
    asked.begin("wait_for_labels")
    with pytest.raises(LeaseHeld, match="wait_for_labels of cycle 0 is being done by process"):
        asked.ledger.interventions.cancel(0)
    assert asked.ledger.interventions.held_back(0) is None


def test_a_lease_that_ran_out_is_taken_away(asked, wall):
    lease = asked.begin("wait_for_labels")
    wall.sleep(3600)
    asked.ledger.interventions.cancel(0)
    with pytest.raises(LeaseLost), asked.ledger.steps.finishing(lease):
        pass


def test_what_a_dead_process_on_this_machine_held_is_taken_away_at_once(url, ledger, other_process, loop_of):
    loop = loop_of(ledger)
    loop.open()
    loop.ledger.holdout.freeze({}, digest="f" * 64, dropped=0)
    other = other_process(url, ledger.samples._project)
    assert other.answer() == "ready"
    assert other.ask("begin", "score_pool", 3600) == "lease"
    other.process.kill()
    other.process.wait(timeout=30)
    ledger.interventions.cancel(0)
    assert "being cancelled" in ledger.interventions.held_back(0)


# Rolling back


@pytest.fixture
def trained(loop):
    """Two cycles with models v0 and v1, of which v1 is champion."""
    loop.add("abcd")
    loop.ledger.holdout.freeze({}, digest="f" * 64, dropped=0)
    for number, name in enumerate("ab"):
        loop.ask(name)
        loop.tell(loop.label(name))
        loop.close()
        lease = loop.begin("retrain")
        version = ModelVersion(f"v{number}", number, "1" * 64, None, "2" * 64, 1, 1, "scratch", loop.clock.now())
        loop.ledger.models.record(lease, version, replicate=0)
        with loop.ledger.steps.finishing(lease):
            pass
        found = Evaluation(f"v{number}", number, "accuracy", 90.0, 88.5, 91.5, 300, "f" * 64, "r.parquet", "3" * 64)
        lease = loop.begin("holdout_eval")
        loop.ledger.models.record_evaluations(lease, [found], promote=f"v{number}", reason="better")
        loop.decide()
    return loop


def test_an_older_model_is_champion_again(trained):
    assert trained.ledger.interventions.roll_back("v0", reason="rolled back")
    assert trained.ledger.models.champion().name == "v0"


def test_there_and_back_again(trained):
    trained.ledger.interventions.roll_back("v0", reason="rolled back")
    trained.ledger.interventions.roll_back("v1", reason="rolled back")
    assert trained.ledger.models.champion().name == "v1"


def test_the_champion_need_not_be_rolled_back_to(trained):
    assert not trained.ledger.interventions.roll_back("v1", reason="rolled back")


@pytest.mark.parametrize("step", STEPS[:3])
def test_while_a_batch_is_being_chosen_the_champion_stays(step, trained):
    trained.open()
    trained.walk_to(step)
    with pytest.raises(LoopError, match="cycle 2 is being chosen with the present champion"):
        trained.ledger.interventions.roll_back("v0", reason="rolled back")
    assert trained.ledger.models.champion().name == "v1"


def test_once_the_batch_is_pushed_it_goes(trained):
    trained.ask("c")
    assert trained.ledger.interventions.roll_back("v0", reason="rolled back")


def test_before_anything_of_the_cycle_has_begun_it_goes(trained):
    trained.open()
    assert trained.ledger.interventions.roll_back("v0", reason="rolled back")


def test_what_tasks_show_is_the_newest_that_was_noted(asked):
    assert asked.ledger.interventions.shown(0) is None
    asked.ledger.interventions.show(0, "v0")
    asked.ledger.interventions.pause(0)
    asked.ledger.interventions.show(0, "v1")
    assert asked.ledger.interventions.shown(0) == "v1"
    assert "paused" in asked.ledger.interventions.held_back(0)
