"""Stage clocks: how long a cycle and each of its stages took so far, and what broke its promise. `now` is an argument."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alloop.errors import ConfigError
from alloop.nouns import STEPS, Cycle, Flag, Stage

__all__ = ["BREACHED", "WHOLE_CYCLE", "Limits", "breaches", "cycle_age", "stage_ages", "to_hours"]

BREACHED = "breached"
WHOLE_CYCLE = "cycle"  # what a flag about the cycle itself names as its stage


@dataclass(frozen=True)
class Limits:
    """What was promised: hours from open to decision, and hours per stage where named.

    Raises:
        ConfigError: a stage that is not a step of the loop.
    """

    cycle_hours: float = 48.0
    stage_hours: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stage in self.stage_hours:
            if stage not in STEPS:
                near = difflib.get_close_matches(stage, STEPS, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(STEPS)}"
                raise ConfigError(f"sla.stage_hours names '{stage}', which is no stage; {hint}")


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


def breaches(cycle: Cycle, stages: Sequence[Stage], limits: Limits, now: datetime) -> tuple[Flag, ...]:
    """A flag of kind "breached" for the cycle and for each stage that took longer than promised; exactly as long is kept.

    `now` (aware) is when the flag is raised, and the end of what is still open.
    """
    ages = {WHOLE_CYCLE: cycle_age(cycle, now), **stage_ages(cycle, stages, now)}
    promised = {WHOLE_CYCLE: limits.cycle_hours, **limits.stage_hours}
    return tuple(
        Flag(cycle.number, stage, BREACHED, to_hours(age), now)
        for stage, age in ages.items()
        if stage in promised and age > timedelta(hours=promised[stage])
    )


def _elapsed(start: datetime, end: datetime) -> timedelta:
    # Clocks of two machines can differ by a moment; a stage that seems to end before it began took no time.
    return max(end - start, timedelta())
