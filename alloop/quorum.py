"""The degrade plan: a batch that would miss its deadline is closed at quorum, and the next one is made to fit."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from alloop.forecast import BOUND, Batch, Plan, labelling_pace, stage_range
from alloop.ledger.expiry import AskedItem
from alloop.nouns import STEPS, Lane
from alloop.outlook import look_ahead, plan_before
from alloop.sla import CALM
from alloop.workspace import Workspace

__all__ = ["close_at_quorum", "fitting_answers", "has_quorum", "next_nominal", "should_close"]

LEAST_SHARE = 0.1
"""No batch is made smaller than this part of loop.batch: too few labels move no model, and tell nothing of a strategy."""
LABELLING = STEPS.index("wait_for_labels")


def has_quorum(items: Sequence[AskedItem], share: float) -> bool:
    """Whether that share of a batch is answered, and all of the holdout in it: what measures is never cut short."""
    asked = [item.is_answered for item in items if item.lane is not Lane.HOLDOUT]
    measuring = [item.is_answered for item in items if item.lane is Lane.HOLDOUT]
    return bool(asked) and all(measuring) and sum(asked) >= share * len(asked)


def should_close(ws: Workspace, cycle: int, now: datetime) -> bool:
    """Whether the batch is to be closed with what is answered at `now`.

    It is when `sla.degrade` is on, the share `sla.quorum` is answered, and the pessimistic forecast crosses the deadline;
    and once it was, it stays so: tasks have been withdrawn then that nobody can answer.
    """
    if ws.ledger.expiry.early(cycle) is not None:
        return True
    if not ws.config.sla.degrade or not has_quorum(ws.ledger.expiry.items(cycle), ws.config.sla.quorum):
        return False
    return look_ahead(ws, cycle, now).is_at_risk


def close_at_quorum(ws: Workspace, cycle: int) -> int:
    """Take what is not answered out of the annotators' queue; how many samples stay open, which then expire.

    The intention is noted first: done again after a crash, it goes on. The tool is read a last time, so that an answer
    that came at this moment counts.
    """
    items = ws.ledger.expiry.items(cycle)
    ws.ledger.expiry.close_early(cycle, answered=sum(item.is_answered for item in items), asked=len(items))
    ws.tool.withdraw([item.ref for item in items if not item.is_answered and item.ref is not None])
    ws.ledger.labels.record(ws.tool.name, ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name)))
    return sum(not item.is_answered for item in ws.ledger.expiry.items(cycle))


def next_nominal(ws: Workspace, now: datetime) -> int:
    """The size of a batch opened at `now`: loop.batch, or with `sla.degrade` as many as people can answer in time.

    By the rate of the newest batches, on its pessimistic side; as long as none is known, loop.batch.
    """
    wanted = ws.config.loop.batch
    plan = plan_before(ws, len(ws.ledger.cycles.all()))
    if not ws.config.sla.degrade or not plan.batches:
        return wanted
    answers = fitting_answers(plan, wanted=wanted, hours=ws.limits.cycle_hours, opened_at=now)
    section = ws.config.annotation
    each = 1 + section.overlap_share * (section.overlap - 1)
    return max(math.ceil(LEAST_SHARE * wanted), min(wanted, math.floor(answers / each)))


def fitting_answers(plan: Plan, *, wanted: int, hours: float, opened_at: datetime) -> int:
    """How many answers come in, nine times in ten, during what a cycle of so many hours leaves for labelling, with some calm.

    Where earlier batches tell no rate, the budget is taken to be enough for `wanted`.
    """
    before = sum((stage_range(plan, step).bound for step in STEPS[:LABELLING]), timedelta())
    after = sum((stage_range(plan, step).bound for step in STEPS[LABELLING + 1 :]), timedelta())
    pickup = timedelta(hours=max((batch.pickup_hours for batch in plan.batches), default=0.0))
    begun = plan.hours.after(opened_at + before, pickup)
    deadline = opened_at + timedelta(hours=(1 - CALM) * hours)  # on the bound itself, a breath would put it at risk
    window = plan.hours.between(begun, deadline - after)
    pace = labelling_pace(Batch(asked=wanted), plan, now=opened_at)
    return pace.answers_within(window / timedelta(hours=1), chance=BOUND)
