"""Stage clocks: how long a cycle and each of its stages took so far, what broke its promise, and what will. `now` is an argument.

at_risk ⇄ recovered        the pessimistic forecast crosses the deadline, or no longer does
either, or none → breached  it took longer than promised; that never heals
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from alloop.errors import ConfigError
from alloop.nouns import STEPS, Cycle, Flag, Stage

__all__ = [
    "AT_RISK",
    "BREACHED",
    "CALM",
    "HANDOVERS",
    "RECOVERED",
    "RETRAINING",
    "VISIBLE",
    "WHOLE_CYCLE",
    "Limits",
    "breaches",
    "budgets",
    "cycle_age",
    "handovers",
    "may_follow",
    "prospects",
    "stage_ages",
    "to_hours",
]

AT_RISK, BREACHED, RECOVERED = "at_risk", "breached", "recovered"
WHOLE_CYCLE = "cycle"  # what a flag about the cycle itself names as its stage
VISIBLE, RETRAINING = "selected_to_visible", "labelled_to_retraining"
HANDOVERS = (VISIBLE, RETRAINING)
"""Clocks between two steps: from a chosen batch to annotators seeing it, and from the last label to the next training."""
SHARES = {
    "score_pool": 2 / 48,
    "diversity_select": 1 / 48,
    "push_to_annotation": 1 / 48,
    "wait_for_labels": 36 / 48,
    "retrain": 6 / 48,
    "holdout_eval": 1 / 48,
    "strategy_switch": 1 / 48,
}
"""The part of the cycle's hours that a stage is taken to need where no budget is named for it."""
CALM = 1 / 12
"""The part of the cycle's hours by which a forecast must be early again before it has recovered: the fewer answers there are,
the more each of them moves the forecast. With 1/48, eight samples of five hours each were at risk six times; with this, four."""


@dataclass(frozen=True)
class Limits:
    """What was promised: hours from open to decision, and hours per stage or handover where named.

    Raises:
        ConfigError: a stage that is neither a step of the loop nor one of HANDOVERS.
    """

    cycle_hours: float = 48.0
    stage_hours: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stage in self.stage_hours:
            if stage not in (*STEPS, *HANDOVERS):
                near = difflib.get_close_matches(stage, (*STEPS, *HANDOVERS), n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join((*STEPS, *HANDOVERS))}"
                raise ConfigError(f"sla.stage_hours names '{stage}', which is no stage; {hint}")


def budgets(limits: Limits) -> dict[str, float]:
    """Hours that each step of the loop may take: as named, or its usual part of the cycle's hours."""
    return {step: limits.stage_hours.get(step, limits.cycle_hours * share) for step, share in SHARES.items()}


def to_hours(time: timedelta) -> float:
    """A duration in hours."""
    return time / timedelta(hours=1)


def cycle_age(cycle: Cycle, now: datetime) -> timedelta:
    """Time from opened to closed, or to `now` (aware) while the cycle is open; never below zero."""
    return _elapsed(cycle.opened_at, cycle.closed_at or now)


def stage_ages(cycle: Cycle, stages: Sequence[Stage], now: datetime) -> dict[str, timedelta]:
    """Time each stage of this cycle took so far, in the order of the loop; a step that stands twice is summed.

    Stages of other cycles are passed over; an unfinished one counts to `now` (aware), or to when the cycle closed.
    """
    ages: dict[str, timedelta] = {}
    for step in STEPS:
        mine = [stage for stage in stages if stage.cycle == cycle.number and stage.step == step]
        if mine:
            ends = [stage.finished_at or cycle.closed_at or now for stage in mine]
            spans = [_elapsed(stage.started_at, end) for stage, end in zip(mine, ends, strict=True)]
            ages[step] = sum(spans, timedelta())
    return ages


def handovers(
    cycle: Cycle, stages: Sequence[Stage], now: datetime, *, last_label: datetime | None = None
) -> dict[str, timedelta]:
    """How long the batch took from chosen to visible, and then from its last label to retraining; running ones to `now`.

    `last_label` is the moment of the last answer that a complete batch was waiting for; none while it waits.
    """
    mine = {stage.step: stage for stage in stages if stage.cycle == cycle.number}
    chosen, pushed, trained = (mine.get(step) for step in ("diversity_select", "push_to_annotation", "retrain"))
    until = cycle.closed_at or now
    clocks = {}
    if chosen is not None and chosen.finished_at is not None:
        clocks[VISIBLE] = _elapsed(chosen.finished_at, pushed.finished_at or until if pushed else until)
    if last_label is not None:
        clocks[RETRAINING] = _elapsed(last_label, trained.started_at if trained else until)
    return clocks


def breaches(
    cycle: Cycle, stages: Sequence[Stage], limits: Limits, now: datetime, *, last_label: datetime | None = None
) -> tuple[Flag, ...]:
    """A flag of kind "breached" for the cycle and for each stage or handover that took longer than promised.

    Exactly as long is kept. `now` (aware) is when the flag is raised, and the end of what is still open.
    """
    ages = {WHOLE_CYCLE: cycle_age(cycle, now), **stage_ages(cycle, stages, now)}
    ages |= handovers(cycle, stages, now, last_label=last_label)
    promised = {WHOLE_CYCLE: limits.cycle_hours, **limits.stage_hours}
    return tuple(
        Flag(cycle.number, stage, BREACHED, to_hours(age), now)
        for stage, age in ages.items()
        if stage in promised and age > timedelta(hours=promised[stage])
    )


def prospects(
    cycle: Cycle, limits: Limits, now: datetime, *, bound: datetime, standing: str | None
) -> tuple[Flag, ...]:
    """The flag that a forecast calls for: at_risk, or recovered, or none.

    `bound` is when the cycle ends by the pessimistic forecast, or did end; `standing` the kind of the last flag about the
    cycle. The flag's hours are those the cycle takes by that forecast.
    """
    promised, taken = timedelta(hours=limits.cycle_hours), _elapsed(cycle.opened_at, cycle.closed_at or bound)
    if standing == BREACHED or cycle_age(cycle, now) > promised:
        return ()
    calm = timedelta() if cycle.closed_at else CALM * promised
    if standing == AT_RISK and taken <= promised - calm:
        return (Flag(cycle.number, WHOLE_CYCLE, RECOVERED, to_hours(taken), now),)
    if standing != AT_RISK and taken > promised:
        return (Flag(cycle.number, WHOLE_CYCLE, AT_RISK, to_hours(taken), now),)
    return ()


def may_follow(standing: str | None, kind: str) -> bool:
    """Whether a flag of this kind is news, after one of kind `standing` about the same stage (none: after none)."""
    if standing in (BREACHED, kind):
        return False
    return kind != RECOVERED or standing == AT_RISK


def _elapsed(start: datetime, end: datetime) -> timedelta:
    # Clocks of two machines can differ by a moment; a stage that seems to end before it began took no time.
    # In UTC, since two times of one zone are subtracted by their faces, also when clocks changed in between.
    return max(end.astimezone(UTC) - start.astimezone(UTC), timedelta())
