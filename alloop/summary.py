"""Where a project stands, as one frozen record: what status, the table, the Prefect artifact and the report all show."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alloop.clock import VirtualClock
from alloop.cycle_row import Answers, Choosing, CycleRow, row_of
from alloop.effort import Annotator, annotators_of, hours_by_cycle
from alloop.ledger.samples import Refused
from alloop.nouns import STEPS, Action, Evaluation, Flag, ModelVersion, Refusal, Task
from alloop.summary_json import champion_json, counts_json, cycle_json
from alloop.workspace import Workspace

__all__ = ["Answers", "Choosing", "Counts", "CycleRow", "OpenCycle", "Summary", "summarise"]


@dataclass(frozen=True)
class Counts:
    """How many samples are where; `holdout` counts the frozen ones, once it is frozen."""

    samples: int
    pool: int
    unlabelled: int
    holdout: int
    holdout_is_frozen: bool


@dataclass(frozen=True)
class OpenCycle:
    """The cycle at work: the step it is in, and how many of the samples that people were asked they have answered.

    `held` is why no step of it may begin, in a sentence, and None unless a person holds it back.
    """

    number: int
    strategy: str
    step: str
    answered: int
    asked: int
    held: str | None = None


@dataclass(frozen=True)
class Summary:
    """Where a project stands at `now`. With `is_simulated` annotators and answers are made up, with `is_virtual` hours too."""

    project: str
    task: Task
    now: datetime
    is_simulated: bool
    is_virtual: bool
    counts: Counts
    cycles: tuple[CycleRow, ...]
    open_cycle: OpenCycle | None
    champion: ModelVersion | None
    champion_evaluation: Evaluation | None
    set_aside: tuple[Refused, ...]
    refusals: tuple[Refusal, ...]
    flags: tuple[Flag, ...]
    annotator_hours: float
    limit_hours: float
    annotators: tuple[Annotator, ...]

    @property
    def labels(self) -> int:
        """Labels that the newest trained model learnt from; 0 before there is one."""
        return next((row.labels for row in reversed(self.cycles) if row.labels is not None), 0)

    @property
    def unclear(self) -> int:
        """Answers of all cycles that were unclear or skipped; they cost people as much as labels."""
        return sum(row.unclear for row in self.cycles)

    @property
    def set_aside_by_cause(self) -> Mapping[str, int]:
        """{cause: images}, the commonest first."""
        return dict(Counter(refused.cause for refused in self.set_aside).most_common())

    @property
    def standing(self) -> str:
        """What the loop is doing now, as a sentence without a full stop."""
        if self.open_cycle is not None:
            at = self.open_cycle
            if at.held is not None:
                return at.held
            waits = f", {at.answered} of {at.asked} samples are answered" if at.step == "wait_for_labels" else ""
            return f"cycle {at.number} ('{at.strategy}') is at {at.step}{waits}"
        last = self.cycles[-1].decision if self.cycles else None
        if last is None:
            return "no cycle has been opened yet"
        if last.action in (Action.HOLD, Action.STOP):
            return "the loop is on hold" if last.action is Action.HOLD else "the loop has ended"
        return f"no cycle is open; the next one uses '{last.strategy}'"

    def to_json(self) -> dict[str, Any]:
        """The summary as plain JSON values: `alloop status --json`. Keys are stable; times are ISO 8601 in UTC.

        `project, task, now, simulated, standing, labels, unclear, annotator_hours, limit_hours`; `counts` {samples, pool,
        unlabelled, holdout, holdout_frozen}; `set_aside` {cause: images}; `champion` {version, cycle, labels, sha256,
        accuracy} or null; `open_cycle` {number, strategy, step, answered, asked, held} or null; `cycles`, a list of {number,
        strategy, opened_at, closed_at, nominal, batch, outcomes {outcome: samples}, unclear_rate, labels, version,
        promoted, metric, accuracy, calibration, unclear_by_lane {lane: {unclear, answered}}, unclear_predictor, committee [version],
        committee_s, gradient_s, effort, drifts, shared, asked_again, annotator_hours, lift_per_hour, lift, action, next_strategy, reason, threshold_points, firm, hours, limit_hours, overdue,
        stages [{step, hours, work_s, finished}]}; `flags` [{cycle, stage, kind, hours, at}]; present `refusals` [{where,
        reason}]. `accuracy` is {points, low, high, samples} or null, of whatever `metric` names, `lift` {points, low, high} or null, `calibration`
        {error, scaled_error, temperature, fitted_on} or null: expected calibration error from 0 to 1. `unclear_predictor`,
        `committee`, `committee_s` and `gradient_s` are null where the strategy makes no use of them. `effort` is {kept,
        corrected, drawn, deleted, pull_points} or null; `pull_points` is null without a control lane. `shared` samples were
        for several annotators, `asked_again` are those on which some had disagreed; `lift_per_hour` is in points and null
        without a lift. `drifts` is a list of {from, to, at, rescored, reference, threshold, withdrawn, finished, told}, one for each
        other model that became champion while the batch waited. `annotators` is a list of {name, answers, median_lead_s, hours, shared, agreed, agreement}: of the
        answers to shared samples, those that agree with what stands.
        """
        return {
            "project": self.project,
            "task": self.task.value,
            "now": self.now.isoformat(),
            "simulated": self.is_simulated,
            "standing": self.standing,
            "labels": self.labels,
            "unclear": self.unclear,
            "annotator_hours": self.annotator_hours,
            "limit_hours": self.limit_hours,
            "annotators": [vars(one) | {"agreement": one.agreement} for one in self.annotators],
            "counts": counts_json(self.counts),
            "set_aside": dict(self.set_aside_by_cause),
            "champion": champion_json(self.champion, self.champion_evaluation),
            "open_cycle": vars(self.open_cycle).copy() if self.open_cycle else None,
            "cycles": [cycle_json(row) for row in self.cycles],
            "flags": [vars(flag) | {"at": flag.at.isoformat()} for flag in self.flags],
            "refusals": [{"where": refusal.where, "reason": refusal.reason} for refusal in self.refusals],
        }


def summarise(ws: Workspace) -> Summary:
    """Where the project stands now, read from its ledger."""
    ledger, now = ws.ledger, ws.clock.now()
    decisions = {decision.cycle: decision for decision in ledger.decisions.all()}
    given = ledger.labels.given()
    hours = hours_by_cycle(given)
    cycles = tuple(
        row_of(ws, cycle, decisions.get(cycle.number), now, annotator_hours=hours.get(cycle.number, 0.0))
        for cycle in ledger.cycles.all()
    )
    champion = ledger.models.champion()
    return Summary(
        project=ws.config.project.name,
        task=ws.config.project.task,
        now=now,
        is_simulated=ws.is_simulated,
        is_virtual=isinstance(ws.clock, VirtualClock),
        counts=_counts(ws),
        cycles=cycles,
        open_cycle=_open_cycle(ws, cycles),
        champion=champion,
        champion_evaluation=ledger.models.evaluation(champion.name) if champion else None,
        set_aside=ledger.samples.aside(),
        refusals=tuple(Refusal(where, reason) for where, reason in ledger.labels.refusals()),
        flags=ledger.decisions.flags(),
        annotator_hours=ledger.labels.annotator_hours(),
        limit_hours=ws.limits.cycle_hours,
        annotators=annotators_of(ws, given),
    )


def _counts(ws: Workspace) -> Counts:
    counts, frozen = ws.ledger.samples.counts(), ws.ledger.holdout.frozen()
    return Counts(
        samples=counts["samples"],
        pool=counts.get("pool", 0),
        unlabelled=counts["unlabelled"],
        holdout=len(frozen[1]) if frozen else counts.get("holdout", 0),
        holdout_is_frozen=frozen is not None,
    )


def _open_cycle(ws: Workspace, cycles: tuple[CycleRow, ...]) -> OpenCycle | None:
    if not cycles or cycles[-1].cycle.closed_at is not None:
        return None
    last = cycles[-1]
    done = {stage.step for stage in last.stages if stage.is_finished}
    answered, asked = ws.ledger.labels.pending(last.number)
    step = next((step for step in STEPS if step not in done), STEPS[-1])
    held = ws.ledger.interventions.held_back(last.number)
    return OpenCycle(last.number, last.cycle.strategy, step, answered, asked, held)
