"""Every verb, called twice, leaves what calling it once leaves."""

import inspect
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from alloop.agreement import Rule, judge
from alloop.errors import LeaseHeld, LeaseLost
from alloop.ledger import Ledger
from alloop.ledger.drifts import Drift
from alloop.ledger.hints import Delivery
from alloop.ledger.samples import Refused
from alloop.nouns import Action, Content, Decision, Evaluation, Flag, Lane, Lift, ModelVersion, Outcome, Split, Task

READS_ITS_CLOCK = {"set_aside", "tool_cursor"}
"""Tables that note when something was told last, and not first."""


def add(loop):
    loop.add("cd", group="clip")
    return lambda: loop.add("abcd", truths_are_labels=True, truth=Content("cat"))


def set_aside(loop):
    loop.add("a")
    refused = [Refused("/pool/a.png", "changed", "has changed"), Refused("/x.png", "bad image", "is no image")]
    return lambda: loop.ledger.samples.set_aside(refused)


def drop(loop):
    loop.add("ab")
    return lambda: loop.ledger.samples.drop(["/pool/a.png"], reason="dropped by a person")


def drop_held(loop):
    loop.add("ab", split=Split.HOLDOUT)
    return lambda: loop.ledger.holdout.drop(["/pool/a.png"], reason="dropped by a person")


def assign(loop):
    loop.add("ab", group="clip")
    loop.add("cd")
    return lambda: loop.ledger.holdout.assign({"a", "c"})


def freeze(loop):
    loop.add("ab", split=Split.HOLDOUT)
    contents = {"a": Content("cat"), "b": Content("dog")}
    return lambda: loop.ledger.holdout.freeze(contents, digest="f" * 64, dropped=1)


def open_next(loop):
    return lambda: loop.ledger.cycles.open_next(strategy="margin", nominal=3)


def go_on(loop):
    loop.add("a")
    loop.ask("a")
    loop.close()
    loop.decide(Action.HOLD)
    return loop.ledger.cycles.go_on


def begin(loop):
    loop.open()
    return lambda: loop.begin("score_pool")


def renew(loop):
    loop.open()
    lease = loop.begin("score_pool")
    return lambda: loop.ledger.steps.renew(lease, lease_s=90)


def release(loop):
    loop.open()
    lease = loop.begin("score_pool")
    return lambda: loop.ledger.steps.release(lease)


def finishing(loop):
    loop.open()
    lease = loop.begin("score_pool")

    def finish():
        with loop.ledger.steps.finishing(lease, samples=3):
            pass

    return finish


def working(loop):
    loop.open()

    def work():
        with loop.ledger.steps.working(0, "score_pool") as lease:
            if lease is not None:
                loop.ledger.batches.record_scores(lease, [], samples=3)

    return work


def record_scores(loop):
    loop.open()
    lease = loop.begin("score_pool")
    return lambda: loop.ledger.batches.record_scores(lease, [("0.parquet", "0" * 64, 3)], strategy="margin")


def record_batch(loop):
    loop.add("abc")
    loop.ledger.holdout.assign({"c"})
    loop.open()
    lease = loop.walk_to("diversity_select")
    items = loop.items("ab") + loop.items("c", lane=Lane.HOLDOUT, at=2)
    return lambda: loop.ledger.batches.record(lease, items, samples=3)


def confirm(loop):
    loop.add("abc")
    loop.open()
    loop.ledger.batches.record(loop.walk_to("diversity_select"), loop.items("abc"))
    return lambda: loop.ledger.batches.confirm(0, {"a": "task-1", "b": "task-2"})


def record_labels(loop):
    loop.add("abc")
    loop.ask("abc")
    loop.tell(loop.label("c"))
    labels = (loop.label("a"), loop.outcome("b", Outcome.UNCLEAR), loop.label("stranger"))
    return lambda: loop.tell(*labels, cursor="7", present=frozenset({"task-a/ann", "task-b/ann"}))


def close_batch(loop):
    loop.add("abcd")
    loop.ledger.holdout.assign({"d"})
    loop.ask("abc", holdout="d", shared="ab")
    loop.tell(loop.label("a"), loop.outcome("b", Outcome.SKIPPED), loop.label("d"))
    loop.tell(loop.label("a", "dog", annotator="bob", ref="2"), loop.outcome("b", Outcome.UNCLEAR, ref="3"))
    given = {"judge": partial(judge, rule=Rule(Task.CLASSIFY, 0.6)), "holdout": {"d": Content("cat")}}
    lease = loop.begin("wait_for_labels")
    return lambda: loop.ledger.labels.close_batch(lease, digest="f" * 64, **given)


def version(*, created_at):
    return ModelVersion("v0", 0, "1" * 64, None, "2" * 64, 10, 2**40, "scratch", created_at)


def record_model(loop):
    loop.open()
    lease = loop.walk_to("retrain")
    return lambda: loop.ledger.models.record(lease, version(created_at=loop.clock.now()), replicate=0)


def record_evaluations(loop):
    loop.open()
    lease = loop.walk_to("retrain")
    loop.ledger.models.record(lease, version(created_at=loop.clock.now()), replicate=0)
    with loop.ledger.steps.finishing(lease):
        pass
    evaluation = Evaluation("v0", 0, "accuracy", 90.0, 88.5, 91.5, 300, "f" * 64, "r.parquet", "3" * 64)
    evaluating = loop.begin("holdout_eval")
    return lambda: loop.ledger.models.record_evaluations(evaluating, [evaluation], promote="v0", reason="first")


def record_again(loop):
    record_evaluations(loop)()
    evaluation = Evaluation("v0", 0, "accuracy", 90.0, 88.5, 91.5, 299, "e" * 64, "e.parquet", "3" * 64)
    return lambda: loop.ledger.models.record_again([evaluation])


def record_decision(loop):
    loop.open()
    lease = loop.walk_to("strategy_switch")
    lift = Lift(1.5, -0.5, 3.5)
    made = Decision(0, Action.SWITCH, "margin", "entropy", "lift is small", 1.0, lift, True, False, 0.05)
    return lambda: loop.ledger.decisions.record(lease, made)


def raise_flags(loop):
    loop.open()
    flags = [Flag(0, stage, "breached", 50.5, loop.clock.now()) for stage in ("cycle", "retrain")]
    return lambda: loop.ledger.decisions.raise_flags(flags)


def receive(loop):
    loop.open()
    deliveries = [Delivery("tool", "EDITED", name * 64, "{}") for name in "abb"]
    return lambda: loop.ledger.hints.receive(deliveries)


def handle(loop):
    receive(loop)()
    return lambda: loop.ledger.hints.handle(loop.ledger.hints.newest())


def flagged(loop):
    raise_flags(loop)()
    return loop.ledger.announcements


def claim(loop):
    announcements = flagged(loop)
    return lambda: announcements.claim("log", lease_s=7200)


def told(loop):
    announcements = flagged(loop)
    announcement = announcements.claim("log", lease_s=60)
    return lambda: announcements.told(announcement, "log")


def give_back(loop):
    announcements = flagged(loop)
    announcement = announcements.claim("log", lease_s=60)
    return lambda: announcements.give_back(announcement, "log")


def close_early(loop):
    loop.open()
    return lambda: loop.ledger.expiry.close_early(0, answered=4, asked=5)


def pause(loop):
    loop.open()
    return lambda: loop.ledger.interventions.pause(0)


def resume(loop):
    loop.open()
    loop.ledger.interventions.pause(0)
    return lambda: loop.ledger.interventions.resume(0)


def half_answered(loop):
    """A cycle with a frozen holdout, one answer and one sample open."""
    loop.add("abc")
    loop.ledger.holdout.freeze({}, digest="f" * 64, dropped=0)
    loop.ask("ab")
    loop.tell(loop.label("a"))


def cancel(loop):
    half_answered(loop)
    return lambda: loop.ledger.interventions.cancel(0)


def close(loop):
    half_answered(loop)
    loop.ledger.interventions.cancel(0)
    made = Decision(0, Action.CANCEL, "margin", "margin", "cancelled by a person", 1.0)
    return lambda: loop.ledger.interventions.close(made)


def roll_back(loop):
    loop.open()
    lease = loop.walk_to("retrain")
    for number, name in enumerate(("v1", "v0")):
        loop.ledger.models.record(lease, replace(version(created_at=loop.clock.now()), name=name), replicate=number)
    with loop.ledger.steps.finishing(lease):
        pass
    loop.ledger.models.record_evaluations(loop.begin("holdout_eval"), [], promote="v0", reason="first")
    return lambda: loop.ledger.interventions.roll_back("v1", reason="rolled back by a person from v0")


def show(loop):
    loop.open()
    return lambda: loop.ledger.interventions.show(0, "v0")


def note_drift(loop):
    roll_back(loop)
    return lambda: loop.ledger.drifts.note(Drift(0, "v0", "v1", 3, 50, 0.5, ("a",), loop.clock.now()))


def finish_drift(loop):
    noted = note_drift(loop)()
    return lambda: loop.ledger.drifts.finish(noted, answered=())


def begin_attempt(loop):
    loop.open()
    return lambda: loop.ledger.attempts.begin(0, 1)


def name_attempt(loop):
    begin_attempt(loop)()
    return lambda: loop.ledger.attempts.name(0, 1, "run")


VERBS = {
    "samples.add": add,
    "samples.set_aside": set_aside,
    "samples.drop": drop,
    "holdout.drop": drop_held,
    "holdout.assign": assign,
    "holdout.freeze": freeze,
    "cycles.open_next": open_next,
    "cycles.go_on": go_on,
    "steps.begin": begin,
    "steps.renew": renew,
    "steps.release": release,
    "steps.finishing": finishing,
    "steps.working": working,
    "batches.record_scores": record_scores,
    "batches.record": record_batch,
    "batches.confirm": confirm,
    "labels.record": record_labels,
    "labels.close_batch": close_batch,
    "models.record": record_model,
    "models.record_evaluations": record_evaluations,
    "models.record_again": record_again,
    "decisions.record": record_decision,
    "decisions.raise_flags": raise_flags,
    "hints.receive": receive,
    "hints.handle": handle,
    "announcements.claim": claim,
    "announcements.told": told,
    "announcements.give_back": give_back,
    "expiry.close_early": close_early,
    "attempts.begin": begin_attempt,
    "attempts.name": name_attempt,
    "interventions.pause": pause,
    "interventions.resume": resume,
    "interventions.cancel": cancel,
    "interventions.close": close,
    "interventions.roll_back": roll_back,
    "interventions.show": show,
    "drifts.note": note_drift,
    "drifts.finish": finish_drift,
}
READS = {
    "samples": {"away", "known", "sizes", "aside", "counts", "unlabelled", "everything", "get", "truths"},
    "holdout": {"all", "frozen", "dropped"},
    "cycles": {"get", "all"},
    "steps": {"hold", "of", "facts"},
    "batches": {"score_files", "get", "refs", "outcomes", "tally"},
    "labels": {
        "cursor",
        "pending",
        "holdout_answers",
        "training_set",
        "unclear",
        "disputed",
        "verdicts",
        "given",
        "annotator_hours",
        "refusals",
    },
    "models": {"of", "get", "champion", "evaluation"},
    "decisions": {"all", "flags"},
    "hints": {"newest", "waiting"},
    "announcements": {"untold"},
    "expiry": {"items", "early"},
    "interventions": {"held_back", "shown"},
    "drifts": {"of"},
    # a sleep counts each time, and of living only signs of life are left: see test_attempts.py
    "attempts": {"newest", "of_run", "futile", "sleep", "living"},
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_done_twice_leaves_what_it_leaves_done_once(verb, loop, clock, rows):
    do = VERBS[verb](loop)
    before = rows(loop.ledger)
    do()
    once = rows(loop.ledger)
    clock.sleep(3600)
    with suppress(LeaseHeld, LeaseLost):  # the second one is told that the step is taken, or done
        do()
    twice = rows(loop.ledger)
    unstamped = once.keys() - READS_ITS_CLOCK
    assert {table: twice[table] for table in unstamped} == {table: once[table] for table in unstamped}
    assert [len(twice[table]) for table in READS_ITS_CLOCK] == [len(once[table]) for table in READS_ITS_CLOCK]
    assert once != before


def test_every_verb_of_the_ledger_stands_in_one_of_the_two_lists():
    for part, of in inspect.get_annotations(Ledger).items():
        if part != "database":
            verbs = {name for name, _ in inspect.getmembers(of, inspect.isfunction) if not name.startswith("_")}
            assert {f"{part}.{name}" for name in verbs - READS[part]} == {
                name for name in VERBS if name.startswith(f"{part}.")
            }


def test_a_ledger_opened_twice_is_one_ledger(url, open_at, rows):
    with open_at(url) as first:
        once = rows(first)
        with open_at(url, project=first.samples._project) as second:
            assert rows(second) == once


def test_a_verb_writes_to_its_own_project_only(url, open_at, loop_of, rows):
    with open_at(url) as quiet, open_at(url) as busy:
        before = rows(quiet)
        loop_of(busy).add("ab")
        loop_of(busy).turn("ab", loop_of(busy).label("a"))
        assert rows(quiet) == before


def test_a_finished_step_is_not_begun_again(loop):
    loop.open()
    loop.finish("score_pool", samples=3)
    assert loop.begin("score_pool") is None
    assert loop.ledger.steps.facts(0, "score_pool") == {"samples": 3}
