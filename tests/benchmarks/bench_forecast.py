"""How often the pessimistic forecast is kept, how early a breach is announced, and how often for nothing.

Simulated teams label a batch of 300 in a cycle of 48 hours whose other stages take next to nothing. A forecast without a past
expects a third of the labelling budget: 12 hours. Teams need half, once, twice and four times as long: 6 to 48 hours, to which
they come two hours or so after the push. Their rate differs by a quarter from batch to batch; that of bursty ones is another
one in every hour as well, with a standard deviation as large as itself, so that every second hour or so is idle.

`kept` is the share of batches that ended before the bound, by when the bound was told. Alarms are those of hourly looks:
`late` cycles broke their promise, `told` of them were announced before that, `lead` is how many hours before; `false` of the
others were announced as well.

python tests/benchmarks/bench_forecast.py --runs 400
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
from numpy.typing import NDArray

from alloop.forecast import Batch, Forecast, PastBatch, Plan, Spell, forecast
from alloop.nouns import STEPS, Cycle
from alloop.sla import AT_RISK, Limits, budgets, prospects

START = datetime(2026, 11, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits()
BUDGETS = budgets(LIMITS)
ASKED = 300
EXPECTED_H = BUDGETS["wait_for_labels"] / 3
PICKUP_H = 2.0
BATCH_SPREAD = 0.25
AFTER_H = 1.0
"""From the last label to the decision."""
PUSHED = {step: Spell(START, START) for step in STEPS[:3]}
TOOK = {step: (AFTER_H if step == "retrain" else 0.0,) * 3 for step in STEPS if step != "wait_for_labels"}
MOMENTS = {"push": 0.0, "first": 1 / ASKED, "5%": 0.05, "1/3": 1 / 3, "2/3": 2 / 3}
FACTORS = (0.5, 1.0, 2.0, 4.0)

Hours = NDArray[np.float64]


@dataclass(frozen=True)
class Team:
    """How long its people need on average, in hours from the first answer, and whether they answer in bursts."""

    needs_h: float
    is_bursty: bool

    def batch(self, dice: np.random.Generator) -> Hours:
        """(ASKED,) float64: when each answer comes, in hours since the push."""
        shape = 1 / BATCH_SPREAD**2
        rate = ASKED / self.needs_h * dice.gamma(shape, 1 / shape)
        times = self._bursts(rate, dice) if self.is_bursty else np.cumsum(dice.exponential(1 / rate, ASKED))
        return times - times[0] + dice.gamma(2, PICKUP_H / 2)

    def _bursts(self, rate: float, dice: np.random.Generator) -> Hours:
        times: list[float] = []
        hour = 0
        while len(times) < ASKED:
            times += sorted(hour + dice.random(dice.poisson(rate * dice.gamma(1, 1))))
            hour += 1
        return np.array(times[:ASKED])


@dataclass
class Seen:
    """What became of the forecasts of some runs."""

    kept: dict[str, list[bool]] = field(default_factory=lambda: {moment: [] for moment in MOMENTS})
    told_before_h: list[float | None] = field(default_factory=list)
    false: list[bool] = field(default_factory=list)


def past_of(team: Team, batches: int, dice: np.random.Generator) -> list[PastBatch]:
    times = [team.batch(dice) for _ in range(batches)]
    return [PastBatch(ASKED, float(some[-1] - some[0]), float(some[0])) for some in times]


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def look(times: Hours, plan: Plan, hours: float) -> Forecast:
    """The forecast so many hours after the push."""
    answered = int(np.searchsorted(times, hours, side="right"))
    began = at(float(times[0])) if answered else None
    return forecast(Batch(ASKED, answered, START, began), PUSHED, plan, now=at(hours))


def first_alarm(times: Hours, plan: Plan) -> float | None:
    """When hourly looks first announce that the cycle is at risk, in hours since it was opened; None for never."""
    cycle = Cycle("bench", 0, "margin", ASKED, START)
    for hour in range(min(int(times[-1]) + 1, int(LIMITS.cycle_hours))):
        bound = look(times, plan, float(hour)).finished_bound
        if any(flag.kind == AT_RISK for flag in prospects(cycle, LIMITS, at(hour), bound=bound, standing=None)):
            return float(hour)
    return None


def simulate(before: Team | None, now: Team, runs: int) -> Seen:
    """Runs of a team's batch, after three batches of the team `before`, or after none."""
    dice, seen = np.random.default_rng(0), Seen()
    for _ in range(runs):
        plan = Plan(BUDGETS, batches=past_of(before, 3, dice) if before else [], took=TOOK)
        times = now.batch(dice)
        for moment, share in MOMENTS.items():
            when = float(times[round(share * ASKED) - 1]) if share else 0.0
            seen.kept[moment].append(look(times, plan, when).labelled_bound >= at(float(times[-1])))
        alarm = first_alarm(times, plan)
        if times[-1] + AFTER_H > LIMITS.cycle_hours:
            seen.told_before_h.append(None if alarm is None else LIMITS.cycle_hours - alarm)
        else:
            seen.false.append(alarm is not None)
    return seen


def line(seen: Seen) -> str:
    kept = " ".join(f"{100 * np.mean(some):5.0f}" for some in seen.kept.values())
    leads = [lead for lead in seen.told_before_h if lead is not None]
    late, runs = len(seen.told_before_h), len(seen.told_before_h) + len(seen.false)
    told = (
        f"{100 * len(leads) / late:4.0f} % {np.median(leads):5.0f} {np.quantile(leads, 0.1):5.0f}"
        if leads
        else " " * 18
    )
    false = f"{100 * np.mean(seen.false):5.0f} %" if seen.false else ""
    return f"{kept} {100 * late / runs:6.0f} % {told} {false}"


def scenes() -> Iterator[tuple[str, Team | None, Team]]:
    """(name, the team of the past if there is one, the team of now)."""
    rhythms: Sequence[tuple[str, bool]] = (("steady", False), ("bursty", True))
    for known, (rhythm, bursty), factor in product((False, True), rhythms, FACTORS):
        team = Team(EXPECTED_H * factor, bursty)
        yield f"{'3 batches' if known else 'no past':10} {rhythm:7} x {factor:g}", team if known else None, team
    for (rhythm, bursty), factor in product(rhythms, (2.0, 4.0)):
        before, now = Team(EXPECTED_H, bursty), Team(EXPECTED_H * factor, bursty)
        yield f"{'were x 1':10} {rhythm:7} x {factor:g}", before, now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400, help="batches for each line")
    runs = parser.parse_args().runs
    heads = " ".join(f"{moment:>5}" for moment in MOMENTS)
    print(f"{'':25} kept %: {heads}    late     told lead h  (10%)   false")
    for name, before, now in scenes():
        print(f"{name:33}{line(simulate(before, now, runs))}", flush=True)


if __name__ == "__main__":
    main()
