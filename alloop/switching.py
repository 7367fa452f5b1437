"""What the loop does next: evidence of this cycle and the decisions before it in, one Decision with its reason out.

Lift under the threshold means that the strategy is not helping. With a holdout of 1,000 the noise of a lift is as large
as a threshold of 1 point (standard deviation 0.6 to 1.2 points, measured 2026-11), so `evidence` asks for an interval
that lies under the threshold (firm), or for two misses within noise in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from alloop.errors import ConfigError
from alloop.nouns import Action, Decision, Lift

__all__ = ["Evidence", "Rules", "decide"]


@dataclass(frozen=True)
class Rules:
    """When a strategy has to go, and when the loop ends.

    Attributes:
        ladder: strategies in the order they are tried; after the last comes the first.
        rule: `evidence`, `strict` (the threshold taken literally), or `off`.
        threshold_points: a lift below it is a miss.
        unclear_bound: a share of unclear answers above it is a reason to switch.
        judged_share: the share of the nominal batch that must be answered before its lift is judged.
        on_exhausted: when every strategy of the ladder has failed in a row, hold, or continue with the next.
        label_budget: labels after which the loop stops; None is never.
        hour_budget: annotator hours after which the loop stops; None is never.

    Raises:
        ConfigError: an empty ladder, or one that names a strategy twice.
    """

    ladder: tuple[str, ...]
    rule: Literal["evidence", "strict", "off"] = "evidence"
    threshold_points: float = 1.0
    unclear_bound: float = 0.15
    judged_share: float = 0.8
    on_exhausted: Literal["hold", "continue"] = "hold"
    label_budget: int | None = None
    hour_budget: float | None = None

    def __post_init__(self) -> None:
        if not self.ladder:
            raise ConfigError("loop.ladder is empty; name at least one strategy, such as 'random'")
        twice = [name for name in self.ladder if self.ladder.count(name) > 1]
        if twice:
            raise ConfigError(f"loop.ladder names '{twice[0]}' twice; name each strategy once")

    def after(self, strategy: str) -> str:
        """The strategy that follows on the ladder, wrapping round; the first for one that is not on it."""
        if strategy not in self.ladder:
            return self.ladder[0]
        return self.ladder[(self.ladder.index(strategy) + 1) % len(self.ladder)]


@dataclass(frozen=True)
class Evidence:
    """What one cycle showed.

    Attributes:
        cycle: its number; 0 is the first.
        strategy: what chose its batch.
        lift: None when there is no earlier challenger to measure from.
        batch_answered: samples of the batch that were labelled or called unclear.
        batch_nominal: the size of batch that was aimed at.
        unclear_rate: share of the answered samples that were called unclear.
        labels_total: labels the loop has by now.
        annotator_hours: hours people have spent by now.
    """

    cycle: int
    strategy: str
    lift: Lift | None
    batch_answered: int
    batch_nominal: int
    unclear_rate: float
    labels_total: int
    annotator_hours: float


@dataclass(frozen=True)
class _Verdict:
    lift: Lift | None  # None: not judged
    miss: bool
    firm: bool
    failed: bool
    because: str


def decide(evidence: Evidence, history: Sequence[Decision], rules: Rules) -> Decision:
    """The decision that closes a cycle: start, keep, switch, hold or stop, with its reason in one sentence.

    Args:
        evidence: what the cycle showed.
        history: the decisions of earlier cycles, in any order.
        rules: when to switch and when to end.

    Returns:
        A Decision whose `strategy` is on the ladder. Its `lift` is None unless it was judged.
    """
    earlier = sorted((past for past in history if past.cycle < evidence.cycle), key=lambda past: past.cycle)
    verdict = _judge(evidence, earlier, rules)
    action, strategy, reason = _choose(evidence, earlier, rules, verdict)
    return Decision(
        cycle=evidence.cycle,
        action=action,
        judged=evidence.strategy,
        strategy=strategy,
        reason=reason,
        threshold_points=rules.threshold_points,
        lift=verdict.lift,
        miss=verdict.miss,
        firm=verdict.firm,
        unclear_rate=evidence.unclear_rate,
    )


def _choose(
    evidence: Evidence, earlier: Sequence[Decision], rules: Rules, verdict: _Verdict
) -> tuple[Action, str, str]:
    spent = _spent(evidence, rules)
    known = evidence.strategy in rules.ladder
    if spent:
        return Action.STOP, evidence.strategy if known else rules.ladder[0], spent
    if evidence.cycle == 0 or not known:
        return Action.START, rules.ladder[0], _start(evidence, rules)
    if not verdict.failed:
        return Action.KEEP, evidence.strategy, f"{verdict.because}, so '{evidence.strategy}' stays"
    following = rules.after(evidence.strategy)
    if not _is_exhausted(evidence, earlier, rules, verdict):
        return Action.SWITCH, following, f"{verdict.because}, so '{following}' follows '{evidence.strategy}'"
    because = (
        f"{verdict.because}, and with that every strategy of the ladder has failed in a row: returns are diminishing"
    )
    if rules.on_exhausted == "continue":
        action = Action.KEEP if following == evidence.strategy else Action.SWITCH
        return action, following, f"{because}; the loop goes on with '{following}'"
    return Action.HOLD, following, f"{because}; the loop holds until 'alloop run --continue'"


def _start(evidence: Evidence, rules: Rules) -> str:
    if evidence.cycle == 0:
        return f"the first labels are in, so the ladder starts with '{rules.ladder[0]}'"
    return f"'{evidence.strategy}' is not on the ladder, so the ladder starts with '{rules.ladder[0]}'"


def _spent(evidence: Evidence, rules: Rules) -> str | None:
    labels, hours = evidence.labels_total, evidence.annotator_hours
    if rules.label_budget is not None and labels >= rules.label_budget:
        return f"the label budget is spent: {labels} of {rules.label_budget} labels; raise budget.labels to go on"
    if rules.hour_budget is not None and hours >= rules.hour_budget:
        return (
            f"the budget of annotator hours is spent: {hours:.1f} of {rules.hour_budget:.1f} hours; "
            "raise budget.annotator_hours to go on"
        )
    return None


def _judge(evidence: Evidence, earlier: Sequence[Decision], rules: Rules) -> _Verdict:
    lift = _judged_lift(evidence, rules)
    miss = lift is not None and min(lift.points, lift.high) < rules.threshold_points
    firm = lift is not None and (lift.high < rules.threshold_points or lift.low >= rules.threshold_points)
    again = miss and not firm and _missed_before(evidence, earlier)
    unclear = evidence.unclear_rate > rules.unclear_bound
    failed = rules.rule != "off" and (unclear or (miss and (firm or again or rules.rule == "strict")))
    because = _unjudged(evidence, rules) if lift is None else _words(lift, rules.threshold_points, firm, again)
    if unclear:
        because += f", and {evidence.unclear_rate:.1%} of the answers were unclear (bound {rules.unclear_bound:.1%})"
    if rules.rule == "off":
        because += ", and switching is off"
    return _Verdict(lift, miss, firm, failed, because)


def _judged_lift(evidence: Evidence, rules: Rules) -> Lift | None:
    if evidence.cycle == 0 or evidence.batch_answered < rules.judged_share * evidence.batch_nominal:
        return None
    return evidence.lift


def _unjudged(evidence: Evidence, rules: Rules) -> str:
    if evidence.lift is None:
        return "there is no lift to judge yet"
    return (
        f"the lift of {evidence.lift.points:.2f} points is not judged, since {evidence.batch_answered} samples "
        f"of a batch of {evidence.batch_nominal} were answered (it takes {rules.judged_share:.0%})"
    )


def _words(lift: Lift, threshold: float, firm: bool, again: bool) -> str:
    side = "under" if min(lift.points, lift.high) < threshold else "at or above"
    sure = "firmly" if firm else "within noise"
    return (
        f"a lift of {lift.points:.2f} points (95% interval {lift.low:.2f} to {lift.high:.2f}) is {sure} {side} "
        f"the threshold of {threshold:.2f}" + (" for the second time in a row" if again else "")
    )


def _missed_before(evidence: Evidence, earlier: Sequence[Decision]) -> bool:
    """Whether the last judged cycle was a miss within noise of the same strategy that led to nothing yet."""
    judged = [past for past in earlier if past.lift is not None]
    if not judged:
        return False
    last = judged[-1]
    return last.judged == evidence.strategy and last.miss and not last.firm and last.action is Action.KEEP


def _is_exhausted(evidence: Evidence, earlier: Sequence[Decision], rules: Rules, verdict: _Verdict) -> bool:
    """Whether every strategy of the ladder was switched away from since the last success, hold or start."""
    if verdict.lift is not None and not verdict.miss:
        return len(rules.ladder) == 1
    failed = {evidence.strategy}
    for past in reversed(earlier):
        if past.action in (Action.HOLD, Action.START) or (past.lift is not None and not past.miss):
            break
        if past.action is Action.SWITCH:
            failed.add(past.judged)
    return failed >= set(rules.ladder)
