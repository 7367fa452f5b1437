from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.errors import ConfigError
from alloop.nouns import Action, Decision, Lift
from alloop.switching import Evidence, Rules, decide

LADDER = ("margin", "entropy", "random")
RULES = Rules(LADDER)

GOOD = Lift(3.0, 2.0, 4.0)
NOISE = Lift(0.5, -0.5, 1.5)
FIRM = Lift(0.2, -0.3, 0.7)


def evidence(cycle: int = 1, strategy: str = "margin", lift: Lift | None = GOOD, **more: Any) -> Evidence:
    facts = {"batch_answered": 500, "batch_nominal": 500, "unclear_rate": 0.0, "labels_total": 0, "annotator_hours": 0}
    return Evidence(cycle, strategy, lift, **{**facts, **more})


def walk(lifts: list[Lift | None], rules: Rules = RULES, **more: Any) -> list[Decision]:
    """The decisions of a loop that follows them."""
    history = [decide(evidence(0, "clustered-start", None), [], rules)]
    for cycle, lift in enumerate(lifts, start=1):
        history.append(decide(evidence(cycle, history[-1].strategy, lift, **more), history, rules))
    return history


def path(history: list[Decision]) -> list[str]:
    return [f"{decision.action} {decision.strategy}" for decision in history[1:]]


def test_cycle_0_starts_the_ladder_and_judges_nothing() -> None:
    decision = decide(evidence(0, "clustered-start", FIRM), [], RULES)
    assert (decision.action, decision.strategy, decision.judged) == (Action.START, "margin", "clustered-start")
    assert (decision.lift, decision.miss) == (None, False)
    assert decision.reason == "the first labels are in, so the ladder starts with 'margin'"


def test_a_lift_above_the_threshold_keeps_the_strategy() -> None:
    decision = decide(evidence(), [], RULES)
    assert (decision.action, decision.strategy, decision.miss, decision.firm) == (Action.KEEP, "margin", False, True)
    assert decision.lift == GOOD
    assert decision.reason == (
        "a lift of 3.00 points (95% interval 2.00 to 4.00) is firmly at or above the threshold of 1.00, so 'margin' stays"
    )


def test_a_lift_exactly_at_the_threshold_is_no_miss() -> None:
    assert not decide(evidence(lift=Lift(1.0, 0.5, 1.5)), [], RULES).miss


def test_a_firm_miss_switches_at_once() -> None:
    decision = decide(evidence(lift=FIRM), [], RULES)
    assert (decision.action, decision.strategy, decision.miss, decision.firm) == (Action.SWITCH, "entropy", True, True)
    assert decision.reason == (
        "a lift of 0.20 points (95% interval -0.30 to 0.70) is firmly under the threshold of 1.00, "
        "so 'entropy' follows 'margin'"
    )


def test_an_interval_that_touches_the_threshold_is_not_firm() -> None:
    assert not decide(evidence(lift=Lift(0.5, 0.0, 1.0)), [], RULES).firm


def test_a_single_miss_within_noise_is_recorded_and_keeps_the_strategy() -> None:
    decision = decide(evidence(lift=NOISE), [], RULES)
    assert (decision.action, decision.strategy, decision.miss, decision.firm) == (Action.KEEP, "margin", True, False)
    assert "is within noise under the threshold of 1.00, so 'margin' stays" in decision.reason


def test_two_misses_within_noise_in_a_row_switch() -> None:
    history = walk([NOISE, NOISE])
    assert path(history) == ["keep margin", "switch entropy"]
    assert "for the second time in a row, so 'entropy' follows 'margin'" in history[-1].reason


def test_a_success_between_two_misses_within_noise_forgives_the_first() -> None:
    assert path(walk([NOISE, GOOD, NOISE])) == ["keep margin", "keep margin", "keep margin"]


def test_a_cycle_that_is_not_judged_stands_between_no_two_misses() -> None:
    assert path(walk([NOISE, None, NOISE])) == ["keep margin", "keep margin", "switch entropy"]


def test_the_miss_of_another_strategy_does_not_count_as_the_first_of_two() -> None:
    assert path(walk([NOISE, NOISE, NOISE])) == ["keep margin", "switch entropy", "keep entropy"]


def test_a_miss_that_led_to_a_hold_does_not_count_again() -> None:
    rules = Rules(("margin",))
    assert path(walk([NOISE, NOISE, NOISE], rules)) == ["keep margin", "hold margin", "keep margin"]


def test_without_an_earlier_challenger_there_is_nothing_to_judge() -> None:
    decision = decide(evidence(lift=None), [], RULES)
    assert (decision.action, decision.miss) == (Action.KEEP, False)
    assert decision.reason == "there is no lift to judge yet, so 'margin' stays"


@pytest.mark.parametrize(("answered", "action"), [(399, Action.KEEP), (400, Action.SWITCH)])
def test_a_lift_is_judged_from_80_percent_of_the_batch(answered: int, action: Action) -> None:
    decision = decide(evidence(lift=FIRM, batch_answered=answered), [], RULES)
    assert decision.action is action
    assert (decision.lift is None) == (action is Action.KEEP)


def test_a_lift_that_is_not_judged_is_told_in_the_reason() -> None:
    assert decide(evidence(lift=FIRM, batch_answered=100), [], RULES).reason == (
        "the lift of 0.20 points is not judged, since 100 samples of a batch of 500 were answered (it takes 80%), "
        "so 'margin' stays"
    )


def test_strict_takes_the_threshold_literally() -> None:
    decision = decide(evidence(lift=NOISE), [], Rules(LADDER, rule="strict"))
    assert (decision.action, decision.strategy, decision.firm) == (Action.SWITCH, "entropy", False)


def test_off_never_switches_and_still_records_the_miss() -> None:
    decision = decide(evidence(lift=FIRM, unclear_rate=0.9), [], Rules(LADDER, rule="off"))
    assert (decision.action, decision.strategy, decision.miss) == (Action.KEEP, "margin", True)
    assert decision.reason.endswith("and switching is off, so 'margin' stays")


@pytest.mark.parametrize("rule", ["evidence", "strict"])
@pytest.mark.parametrize(("rate", "action"), [(0.15, Action.KEEP), (0.16, Action.SWITCH)])
def test_too_many_unclear_answers_switch(rule: Any, rate: float, action: Action) -> None:
    decision = decide(evidence(unclear_rate=rate), [], Rules(LADDER, rule=rule))
    assert (decision.action, decision.miss, decision.unclear_rate) == (action, False, rate)


def test_unclear_answers_are_counted_in_the_reason() -> None:
    reason = decide(evidence(lift=None, unclear_rate=0.2), [], RULES).reason
    assert "and 20.0% of the answers were unclear (bound 15.0%), so 'entropy' follows 'margin'" in reason


def test_the_ladder_wraps_round_after_a_success() -> None:
    assert path(walk([FIRM, FIRM, GOOD, FIRM])) == ["switch entropy", "switch random", "keep random", "switch margin"]


def test_the_loop_holds_when_every_strategy_failed_in_a_row() -> None:
    history = walk([FIRM, FIRM, FIRM])
    assert path(history) == ["switch entropy", "switch random", "hold margin"]
    assert "every strategy of the ladder has failed in a row: returns are diminishing" in history[-1].reason
    assert history[-1].reason.endswith("the loop holds until 'alloop run --continue'")


def test_a_miss_within_noise_that_was_kept_is_neither_failure_nor_success() -> None:
    steps = ["switch entropy", "keep entropy", "switch random", "keep random", "hold margin"]
    assert path(walk([FIRM, NOISE, FIRM, NOISE, FIRM])) == steps


def test_after_a_hold_every_strategy_has_its_chance_again() -> None:
    steps = ["switch entropy", "switch random", "hold margin", "switch entropy", "switch random", "hold margin"]
    assert path(walk([FIRM] * 6)) == steps


def test_continue_goes_on_and_says_so() -> None:
    history = walk([FIRM] * 4, Rules(LADDER, on_exhausted="continue"))
    assert path(history) == ["switch entropy", "switch random", "switch margin", "switch entropy"]
    assert "returns are diminishing; the loop goes on with 'margin'" in history[3].reason


def test_a_ladder_of_one_is_exhausted_by_one_failure() -> None:
    assert path(walk([FIRM], Rules(("margin",)))) == ["hold margin"]
    assert path(walk([GOOD], Rules(("margin",)), unclear_rate=0.5)) == ["hold margin"]


def test_unclear_answers_with_a_good_lift_are_no_diminishing_returns() -> None:
    assert not any("hold" in step for step in path(walk([GOOD] * 9, unclear_rate=0.5)))


@pytest.mark.parametrize("rule", ["evidence", "strict", "off"])
def test_the_label_budget_stops_the_loop(rule: Any) -> None:
    decision = decide(evidence(labels_total=3000), [], Rules(LADDER, rule=rule, label_budget=3000))
    assert (decision.action, decision.strategy, decision.lift) == (Action.STOP, "margin", GOOD)
    assert decision.reason == "the label budget is spent: 3000 of 3000 labels; raise budget.labels to go on"


def test_the_hour_budget_stops_the_loop() -> None:
    decision = decide(evidence(annotator_hours=20.04), [], Rules(LADDER, hour_budget=20))
    assert decision.action is Action.STOP
    assert "20.0 of 20.0 hours; raise budget.annotator_hours" in decision.reason


def test_a_budget_that_is_not_spent_stops_nothing() -> None:
    rules = Rules(LADDER, label_budget=3000, hour_budget=20)
    assert decide(evidence(labels_total=2999, annotator_hours=19.9), [], rules).action is Action.KEEP


def test_a_strategy_that_left_the_ladder_is_followed_by_its_first() -> None:
    decision = decide(evidence(strategy="badge"), [], Rules(LADDER, rule="off"))
    assert (decision.action, decision.strategy) == (Action.START, "margin")
    assert decision.reason == "'badge' is not on the ladder, so the ladder starts with 'margin'"


@pytest.mark.parametrize(
    ("ladder", "sentence"), [((), "ladder is empty"), (("a", "b", "a"), "names 'a' twice; name each strategy once")]
)
def test_a_ladder_that_cannot_be_climbed_is_refused(ladder: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Rules(ladder)


points = st.floats(-5, 5)
lifts = st.none() | st.builds(
    lambda low, a, b: Lift(low + a, low, low + a + b), points, st.floats(0, 3), st.floats(0, 3)
)
rules = st.builds(
    Rules,
    ladder=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, unique=True).map(tuple),
    rule=st.sampled_from(["evidence", "strict", "off"]),
    threshold_points=st.floats(-1, 2),
    on_exhausted=st.sampled_from(["hold", "continue"]),
    label_budget=st.none() | st.integers(1, 20),
)
cycles = st.lists(st.tuples(lifts, st.integers(300, 500), st.floats(0, 0.4)), max_size=14)


def follow(rules: Rules, cycles: list[tuple[Lift | None, int, float]]) -> list[Decision]:
    history: list[Decision] = []
    for cycle, (lift, answered, unclear) in enumerate(cycles):
        strategy = history[-1].strategy if history else "clustered-start"
        shown = evidence(cycle, strategy, lift, batch_answered=answered, unclear_rate=unclear, labels_total=cycle)
        history.append(decide(shown, history, rules))
    return history


@given(rules=rules, cycles=cycles)
def test_every_strategy_chosen_is_on_the_ladder(rules: Rules, cycles: Any) -> None:
    assert {decision.strategy for decision in follow(rules, cycles)} <= set(rules.ladder)


@given(rules=rules, cycles=cycles)
def test_off_keeps_the_first_strategy_for_good(rules: Rules, cycles: Any) -> None:
    history = follow(Rules(rules.ladder, rule="off"), cycles)
    assert {decision.strategy for decision in history} <= {rules.ladder[0]}


@given(rules=rules, cycles=cycles)
def test_a_switch_leads_to_the_next_on_the_ladder(rules: Rules, cycles: Any) -> None:
    for decision in follow(rules, cycles):
        if decision.action in (Action.SWITCH, Action.HOLD):
            assert decision.strategy == rules.after(decision.judged)


@given(rules=rules, cycles=cycles)
def test_a_hold_comes_only_after_every_strategy_failed_since_the_last(rules: Rules, cycles: Any) -> None:
    left: set[str] = set()
    for decision in follow(rules, cycles):
        if decision.lift is not None and not decision.miss:
            left = set()
        if decision.action is Action.SWITCH:
            left.add(decision.judged)
        if decision.action is Action.HOLD:
            assert left | {decision.judged} >= set(rules.ladder)
            left = set()


@given(rules=rules, cycles=cycles, seed=st.randoms(use_true_random=False))
def test_a_decision_depends_on_the_history_and_not_on_its_order(rules: Rules, cycles: Any, seed: Any) -> None:
    history = follow(rules, cycles)
    shuffled = history[:]
    seed.shuffle(shuffled)
    shown = evidence(len(history), "a", FIRM)
    assert decide(shown, shuffled, rules) == decide(shown, history, rules)
