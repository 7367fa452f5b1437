"""When a cycle will be done: a median, and a bound that is kept nine times in ten. Pure; `now` is an argument.

Labelling is the wide part. Answers are taken for a Poisson process while people work, whose rate is known as far as a
gamma distribution tells: what earlier batches (or, without any, the budget) let expect counts as an eighth of the
budget, and each answer and each hour of this batch count for themselves. The time for m more answers is then
`shape / rate` times a beta-prime variable with parameters m and shape, in closed form (Gelman et al., Bayesian Data
Analysis, 3rd edition, section 2.6). More answers by the same moment raise the rate and narrow the bound, so they never
make a forecast later. The other stages take what they took before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median

from alloop.nouns import STEPS
from alloop.working_hours import WorkingHours

__all__ = [
    "BOUND",
    "Batch",
    "Forecast",
    "Pace",
    "PastBatch",
    "Plan",
    "Range",
    "Spell",
    "forecast",
    "labelling_pace",
    "stage_range",
]

LABELLING = "wait_for_labels"
HOUR = timedelta(hours=1)
MIDDLE = 0.5
BOUND = 0.9
"""The pessimistic forecast is kept this often."""
FIRST_SHAPE = 8.0
"""What is known before the first answer of a project: the bound is 1.7 times the median then."""
PER_BATCH = 8.0
"""What each earlier batch adds to that; with five of them the bound is 1.2 times the median."""
MOST_SHAPE = 30.0
"""However many answers there are, a team's rate changes from day to day: by a sixth or so, says this shape."""
UNKNOWN = 1 / 3
"""The part of the budget that labelling takes, before anything is known: so that the bound fits it, and waiting for the
first answer does too for a while."""
UNKNOWN_PICKUP = 1 / 12
"""The part of it that passes before the first answer, before anything is known."""
KNOWN_FOR = 1 / 8
"""The part of the budget for which an expectation counts beside what is seen. It is hours and not answers, since people
answer in bursts, and one silent hour must not outweigh it. With this and MOST_SHAPE the bound was kept 86 to 98 times of
100 by simulated teams with a rate that differs by a quarter from batch to batch, 77 to 84 times by those whose rate is also
another one every hour; in a project without a past, by teams that need 30 hours where a third of the budget was expected, 1
to 70 and 13 to 63 times (2026-11)."""
RECENT = 3
"""Batches that an expected rate is taken from; people come and go."""
AT_ONCE = 0.1
"""Hours that answers take at least which all came in one moment, as they do from a file."""
LONGEST = 10 * 365 * 24.0
"""Hours; nothing is forecast further ahead."""


@dataclass(frozen=True)
class Range:
    """A duration: its median, and its pessimistic bound."""

    median: timedelta
    bound: timedelta


@dataclass(frozen=True)
class PastBatch:
    """An earlier batch: its answers, the working hours from the first to the last, and those from the push to the first."""

    answers: int
    hours: float
    pickup_hours: float


@dataclass(frozen=True)
class Batch:
    """The answers that are wanted, and those that are there; `visible_at` is when annotators could see it, if they can."""

    asked: int
    answered: int = 0
    visible_at: datetime | None = None


@dataclass(frozen=True)
class Spell:
    """A step that has begun, and its end if it has ended."""

    started_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """What a forecast goes by.

    Attributes:
        budgets: hours for each step of the loop.
        hours: when annotators work.
        batches: earlier batches, the newest last.
        took: how long earlier cycles took for each step, in hours.
    """

    budgets: Mapping[str, float]
    hours: WorkingHours = field(default_factory=WorkingHours)
    batches: Sequence[PastBatch] = ()
    took: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """When the batch will be labelled, and the cycle decided: each a median and a pessimistic bound, in UTC.

    `answers_per_hour` is the rate that people are expected to answer at while they work, by what is known now.
    """

    labelled: datetime
    labelled_bound: datetime
    finished: datetime
    finished_bound: datetime
    answers_per_hour: float


@dataclass(frozen=True)
class Pace:
    """How fast people answer: a gamma distribution of answers per working hour, by its shape and its mean."""

    shape: float
    per_hour: float

    def hours_for(self, answers: int, *, chance: float) -> float:
        """The working hours within which that many more answers come, with that chance."""
        from scipy.special import betaincinv  # a tenth of a second, and most of alloop never asks

        if answers <= 0:
            return 0.0
        left = float(betaincinv(self.shape, answers, 1 - chance))
        return self.shape / self.per_hour * (1 - left) / left if left > 0 else float("inf")

    def answers_within(self, hours: float, *, chance: float) -> int:
        """The most answers that come within those working hours, with that chance."""
        low, high = 0, 1
        while self.hours_for(high, chance=chance) <= hours and high < 10**9:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.hours_for(middle, chance=chance) <= hours else (low, middle)
        return low


def forecast(batch: Batch, spells: Mapping[str, Spell], plan: Plan, *, now: datetime) -> Forecast:
    """When this batch and its cycle will be done, by what is known at `now` (aware); never before that.

    `spells` are the steps that have begun. A step that has ended takes no more time.
    """
    now = now.astimezone(UTC)
    labelled, finished = _ends(batch, spells, plan, now, MIDDLE)
    labelled_bound, finished_bound = _ends(batch, spells, plan, now, BOUND)
    pace = labelling_pace(batch, plan, now=now)
    return Forecast(labelled, labelled_bound, finished, finished_bound, pace.per_hour)


def _ends(
    batch: Batch, spells: Mapping[str, Spell], plan: Plan, now: datetime, chance: float
) -> tuple[datetime, datetime]:
    """When labelling and the cycle end, with that chance; `now` when labelling has ended already."""
    end = labelled = now
    for step in STEPS:
        spell = spells.get(step)
        if spell is not None and spell.finished_at is not None:
            continue
        if step == LABELLING:
            end = labelled = _labelled(batch, plan, now=end, chance=chance)
        else:
            left = stage_range(plan, step, elapsed=now - spell.started_at if spell else timedelta())
            end += left.bound if chance > MIDDLE else left.median
    return labelled, end


def stage_range(plan: Plan, step: str, *, elapsed: timedelta = timedelta()) -> Range:
    """How much longer a step takes that has taken `elapsed`: by what it took before, or else by its budget.

    Without a past the median is half the budget, and the bound all of it. What takes longer than the bound is taken to
    last as long again as it is late: a step that hangs does not end in the next moment for ever.
    """
    took = plan.took.get(step)
    middle, most = (
        (median(took), max(took) * (1 + 1 / len(took))) if took else (plan.budgets[step] / 2, plan.budgets[step])
    )
    late = elapsed - timedelta(hours=most)
    return Range(max(timedelta(hours=middle) - elapsed, timedelta()), abs(late))


def _labelled(batch: Batch, plan: Plan, *, now: datetime, chance: float) -> datetime:
    if batch.answered >= batch.asked:
        return now
    visible = batch.visible_at or now
    begun = now
    if not batch.answered:
        pickups = _pickups(plan)
        pickup = max(pickups) if chance > MIDDLE else median(pickups)
        begun = max(now, plan.hours.after(visible, timedelta(hours=pickup)))
    hours = labelling_pace(batch, plan, now=now).hours_for(batch.asked - batch.answered, chance=chance)
    return plan.hours.after(begun, timedelta(hours=min(hours, LONGEST)))


def labelling_pace(batch: Batch, plan: Plan, *, now: datetime) -> Pace:
    """What is known of the rate of answers at `now`: what was expected, and what was seen since people could begin."""
    budget = plan.budgets[LABELLING] * plan.hours.share
    expected, known_for = _expected(plan.batches) or max(batch.asked, 1) / (UNKNOWN * budget), KNOWN_FOR * budget
    seen_for = 0.0
    if batch.visible_at is not None:
        seen_for = max(plan.hours.between(batch.visible_at, now) / HOUR - median(_pickups(plan)), 0.0)
    shape = min(FIRST_SHAPE + PER_BATCH * len(plan.batches) + batch.answered, MOST_SHAPE)
    return Pace(shape, (expected * known_for + batch.answered) / (known_for + seen_for))


def _pickups(plan: Plan) -> list[float]:
    """Working hours from the push to the first answer."""
    return [past.pickup_hours for past in plan.batches] or [UNKNOWN_PICKUP * plan.budgets[LABELLING] * plan.hours.share]


def _expected(batches: Sequence[PastBatch]) -> float | None:
    """Answers per working hour in the newest batches, from the first to the last; none when they do not tell."""
    recent = batches[-RECENT:]
    followed = sum(max(batch.answers - 1, 0) for batch in recent)
    return followed / max(sum(batch.hours for batch in recent), AT_ONCE) if followed else None
