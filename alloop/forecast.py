"""When a cycle will be done: a median, and a bound that is kept nine times in ten. Pure; `now` is an argument.

Labelling is the wide part. Two things are not known of it: when people begin, and how fast they then are. The first answer
is expected when it came before, and who is later than that is taken to be as late again. From then on answers are taken for
a Poisson process while people work, in bursts, whose rate is known as far as a gamma distribution tells: what earlier
batches (or, without any, the budget) let expect counts for some hours, and each answer and each hour since the first one
count for themselves. The time for m more answers is then `shape / rate` times a beta-prime variable with parameters m and
shape, in closed form (Gelman et al., Bayesian Data Analysis, 3rd edition, section 2.6). More answers since the same first
one raise the rate and narrow the bound, so they never make a forecast later. The other stages take what they took before.
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
FIRST_SHAPE = 3.5
"""What is known of a rate before the first answer of a project: the bound is 2.5 times the mean then, about the budget."""
TEAM_SHAPE = 16.0
"""How alike the batches of a team are: their rates differ by a quarter, says this shape (simulated teams, see below)."""
MOST_SHAPE = 30.0
"""However many answers there are, a team's rate changes from day to day: by a sixth or so, says this shape."""
BURSTS_PER_HOUR = 2.0
"""People answer in bursts: what comes within half an hour tells no more of a rate than one answer would. After three batches
the bound was kept 84 to 92 times of 100 by simulated teams with another rate in each hour, without this 72 to 86 times, and 94
to 100 times by those of a steady pace (`tests/benchmarks/bench_forecast.py`, 2026-11)."""
UNKNOWN = 1 / 3
"""The part of the budget that labelling takes, before anything is known: so that the bound fits it."""
UNKNOWN_PICKUP = 1 / 12
"""The part of it that passes before the first answer, before anything is known."""
GUESS_FOR = 1 / 36
"""The part of the budget, an hour of 36, for which that guess counts beside what is seen of this batch: it is only a guess."""
KNOWN_FOR = 1 / 12
"""The same for what earlier batches let expect: three hours."""
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
    """The answers that are wanted, and those that are there.

    `visible_at` is when annotators could see it, if they can; `began_at` is when the first answer came, if one did.
    """

    asked: int
    answered: int = 0
    visible_at: datetime | None = None
    began_at: datetime | None = None


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
    """How fast people answer: a gamma distribution of answers per working hour, by its shape and its mean.

    They come `burst` at a time on average.
    """

    shape: float
    per_hour: float
    burst: float = 1.0

    def hours_for(self, answers: int, *, chance: float) -> float:
        """The working hours within which that many more answers come, with that chance."""
        from scipy.special import betaincinv  # a tenth of a second, and most of alloop never asks

        if answers <= 0:
            return 0.0
        left = float(betaincinv(self.shape, answers / self.burst, 1 - chance))
        return self.shape * self.burst / self.per_hour * (1 - left) / left if left > 0 else float("inf")

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
    hours = labelling_pace(batch, plan, now=now).hours_for(batch.asked - batch.answered, chance=chance)
    if not batch.answered:
        hours += _pickup_left(batch, plan, now=now, chance=chance)
    return plan.hours.after(now, timedelta(hours=min(hours, LONGEST)))


def _pickup_left(batch: Batch, plan: Plan, *, now: datetime, chance: float) -> float:
    """Working hours until the first answer; whoever is late is, in the bound, taken to be as late again."""
    waited = plan.hours.between(batch.visible_at or now, now) / HOUR
    pickups = _pickups(plan)
    return abs(max(pickups) - waited) if chance > MIDDLE else max(median(pickups) - waited, 0.0)


def labelling_pace(batch: Batch, plan: Plan, *, now: datetime) -> Pace:
    """What is known of the rate of answers at `now`: what was expected, and what was seen since the first answer."""
    budget, recent = plan.budgets[LABELLING] * plan.hours.share, len(plan.batches[-RECENT:])
    told = _expected(plan.batches)
    if told is None:
        expected, shape, known_for = max(batch.asked, 1) / (UNKNOWN * budget), FIRST_SHAPE, GUESS_FOR * budget
    else:  # as alike as batches are, and known as well as so many of them tell
        expected, shape, known_for = told, TEAM_SHAPE * recent / (recent + 1), KNOWN_FOR * budget
    known_for = max(known_for, shape / expected)  # as many answers as its shape says it is worth
    after, seen_for = 0, 0.0
    if batch.answered:
        after = batch.answered - 1  # the first one only says when the clock starts
        seen_for = plan.hours.between(batch.began_at or batch.visible_at or now, now) / HOUR
    bursts = seen_for * BURSTS_PER_HOUR
    shape += after * bursts / (after + bursts) if after and bursts else 0.0
    rate = (expected * known_for + after) / (known_for + seen_for)
    return Pace(min(shape, MOST_SHAPE), rate, burst=1 + rate / BURSTS_PER_HOUR)


def _pickups(plan: Plan) -> list[float]:
    """Working hours from the push to the first answer."""
    return [past.pickup_hours for past in plan.batches] or [UNKNOWN_PICKUP * plan.budgets[LABELLING] * plan.hours.share]


def _expected(batches: Sequence[PastBatch]) -> float | None:
    """Answers per working hour in the newest batches, from the first to the last; none when they do not tell."""
    recent = batches[-RECENT:]
    followed = sum(max(batch.answers - 1, 0) for batch in recent)
    return followed / max(sum(batch.hours for batch in recent), AT_ONCE) if followed else None
