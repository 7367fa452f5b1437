"""Where a cycle stands against its deadline: its clocks and its forecast, from what the ledger knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from alloop.forecast import Batch, Forecast, PastBatch, Plan, Spell, forecast
from alloop.ledger.expiry import AskedItem
from alloop.nouns import STEPS, Cycle, Stage
from alloop.sla import WHOLE_CYCLE, budgets, cycle_age, handovers, stage_ages, to_hours
from alloop.working_hours import WorkingHours, parse_hours
from alloop.workspace import Workspace

__all__ = ["Outlook", "last_label", "look_ahead", "plan_before", "working_hours"]

LOOK_BACK = 5
"""Closed cycles that a forecast learns from."""


@dataclass(frozen=True)
class Outlook:
    """One cycle at `now`: how many answers of how many wanted are there, its clocks by stage, deadline and forecast.

    `clocks` holds the whole cycle, the stages that have begun, and the handovers of `alloop.sla`.
    """

    cycle: Cycle
    now: datetime
    answered: int
    asked: int
    clocks: Mapping[str, timedelta]
    deadline: datetime
    forecast: Forecast

    @property
    def is_at_risk(self) -> bool:
        """Whether the pessimistic forecast crosses the deadline."""
        return self.forecast.finished_bound > self.deadline


def look_ahead(ws: Workspace, number: int, now: datetime) -> Outlook:
    """The outlook of a cycle at `now` (aware); CycleClosed when there is none of that number."""
    cycle, stages, items = ws.ledger.cycles.get(number), ws.ledger.steps.of(number), ws.ledger.expiry.items(number)
    batch = _batch(cycle, stages, items)
    spells = {stage.step: Spell(stage.started_at, stage.finished_at) for stage in stages}
    return Outlook(
        cycle=cycle,
        now=now,
        answered=batch.answered,
        asked=batch.asked,
        clocks={
            WHOLE_CYCLE: cycle_age(cycle, now),
            **stage_ages(cycle, stages, now),
            **handovers(cycle, stages, now, last_label=last_label(ws, stages, items)),
        },
        deadline=cycle.opened_at + timedelta(hours=ws.limits.cycle_hours),
        forecast=forecast(batch, spells, plan_before(ws, number), now=now),
    )


def last_label(ws: Workspace, stages: Sequence[Stage], items: Sequence[AskedItem]) -> datetime | None:
    """When the last answer of a complete batch came, or the word to close it early; none while people are waited for."""
    times = [at for item in items for at in item.answered_at]
    waited = next((stage for stage in stages if stage.step == "wait_for_labels"), None)
    early = ws.ledger.expiry.early(waited.cycle) if waited else None
    if early is not None:
        return max([early.at, *times])
    is_complete = bool(items) and all(item.is_answered for item in items)
    return max(times) if is_complete and times else None


def working_hours(ws: Workspace) -> WorkingHours:
    """When this project's annotators work."""
    section = ws.config.annotators
    return _parsed(section.hours, section.time_zone)


@lru_cache(maxsize=32)
def _parsed(hours: str, time_zone: str) -> WorkingHours:
    return parse_hours(hours, time_zone)


def plan_before(ws: Workspace, number: int) -> Plan:
    """What the closed cycles before this one taught about how long things take."""
    hours = working_hours(ws)
    past = [cycle for cycle in ws.ledger.cycles.all() if cycle.number < number and cycle.closed_at is not None]
    stages = {cycle.number: ws.ledger.steps.of(cycle.number) for cycle in past[-LOOK_BACK:]}
    batches = [_past_batch(some, ws.ledger.expiry.items(key), hours) for key, some in stages.items()]
    # a cycle that was cancelled leaves a step unfinished
    done = [stage for some in stages.values() for stage in some if stage.finished_at is not None]
    took = {step: [_hours(stage) for stage in done if stage.step == step] for step in STEPS}
    return Plan(budgets(ws.limits), hours, [batch for batch in batches if batch is not None], took)


def _batch(cycle: Cycle, stages: Sequence[Stage], items: Sequence[AskedItem]) -> Batch:
    """Before a batch is chosen, as many as the cycle aims at."""
    if not items:
        return Batch(asked=cycle.nominal)
    answered = sum(min(len(item.answered_at), item.annotators) for item in items)
    began_at = min((at for item in items for at in item.answered_at), default=None)
    return Batch(sum(item.annotators for item in items), answered, _visible_at(stages), began_at)


def _past_batch(stages: Sequence[Stage], items: Sequence[AskedItem], hours: WorkingHours) -> PastBatch | None:
    visible, times = _visible_at(stages), sorted(at for item in items for at in item.answered_at)
    if visible is None or not times:
        return None
    return PastBatch(
        answers=len(times),
        hours=to_hours(hours.between(times[0], times[-1])),
        pickup_hours=to_hours(hours.between(visible, times[0])),
    )


def _visible_at(stages: Sequence[Stage]) -> datetime | None:
    return next((stage.finished_at for stage in stages if stage.step == "push_to_annotation"), None)


def _hours(stage: Stage) -> float:
    return to_hours(max((stage.finished_at or stage.started_at) - stage.started_at, timedelta()))
