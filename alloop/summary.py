"""Where a project stands, as one frozen record: what status, the table, the Prefect artifact and the report all show."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alloop.confidence import Calibration, calibration_of
from alloop.corrections import Corrections
from alloop.effort import Annotator, Effort, annotators_of, effort_of, hours_by_cycle
from alloop.ledger.samples import Refused
from alloop.nouns import (
    STEPS,
    Action,
    BatchItem,
    Cycle,
    Decision,
    Evaluation,
    Flag,
    Lane,
    Lift,
    ModelVersion,
    Outcome,
    Refusal,
    Stage,
    Task,
)
from alloop.resampling import METRIC_NAMES
from alloop.sla import cycle_age, stage_ages, to_hours
from alloop.summary_json import champion_json, counts_json, cycle_json
from alloop.workspace import Workspace

__all__ = ["Answers", "Choosing", "Counts", "CycleRow", "OpenCycle", "StageRow", "Summary", "summarise"]

CHOSEN = (Lane.ACTIVE, Lane.CONTROL)
"""The lanes that make a batch what it was meant to be; the others come on top."""


@dataclass(frozen=True)
class Counts:
    """How many samples are where; `holdout` counts the frozen ones, once it is frozen."""

    samples: int
    pool: int
    unlabelled: int
    holdout: int
    holdout_is_frozen: bool


@dataclass(frozen=True)
class StageRow:
    """The clock of one step: hours on the project's clock, and seconds that the processor worked (None: unfinished)."""

    step: str
    hours: float
    work_s: float | None
    is_finished: bool


@dataclass(frozen=True)
class Answers:
    """The answers to one lane of a batch, and how many of them were unclear or skipped: slots wasted."""

    unclear: int
    answered: int

    @property
    def share(self) -> float:
        """The share of the answers that was unclear; 0 of none."""
        return self.unclear / self.answered if self.answered else 0.0


@dataclass(frozen=True)
class Choosing:
    """How a batch was chosen, None for what its strategy makes no use of.

    Seconds for gradients, the models of the committee and the seconds they took, and whether the predictor of unclear answers was on.
    """

    gradient_s: float | None = None
    committee: tuple[str, ...] | None = None
    committee_s: float | None = None
    unclear_predictor: bool | None = None


@dataclass(frozen=True)
class CycleRow:
    """One cycle, closed or open: what stands in the ledger already, None for what does not.

    `tally` and `batch` leave out the samples of a holdout to be, and the `asked_again` on which people had disagreed;
    `shared` counts the samples for several annotators, and `annotator_hours` what all answers that joined took. `evaluation` is the challenger's, and `promoted` says
    whether the challenger became champion then. `lanes` holds the active and the control lane once they have answers.
    """

    cycle: Cycle
    batch: int
    tally: Mapping[Outcome, int]
    challenger: ModelVersion | None
    evaluation: Evaluation | None
    decision: Decision | None
    promoted: bool
    stages: tuple[StageRow, ...]
    hours: float
    limit_hours: float
    lanes: Mapping[Lane, Answers]
    choosing: Choosing
    calibration: Calibration | None
    effort: Effort | None
    shared: int
    asked_again: int
    annotator_hours: float

    @property
    def lift_per_hour(self) -> float | None:
        """Points of lift for each hour that people spent in the cycle; None where either is not known."""
        return self.lift.points / self.annotator_hours if self.lift and self.annotator_hours else None

    @property
    def corrections(self) -> Corrections | None:
        """What people did to the boxes that were proposed; None for a classifier, and before the model was trained."""
        is_boxes = self.evaluation is not None and self.evaluation.metric != METRIC_NAMES[Task.CLASSIFY]
        return self.effort.corrections if self.effort and is_boxes else None

    @property
    def number(self) -> int:
        """The cycle's number."""
        return self.cycle.number

    @property
    def labels(self) -> int | None:
        """The size of the training set, all cycles so far together."""
        return self.challenger.labels if self.challenger else None

    @property
    def lift(self) -> Lift | None:
        """The lift that was judged; None when there was none to judge."""
        return self.decision.lift if self.decision else None

    @property
    def unclear(self) -> int:
        """Answers that were unclear or skipped."""
        return self.tally.get(Outcome.UNCLEAR, 0) + self.tally.get(Outcome.SKIPPED, 0)

    @property
    def unclear_rate(self) -> float | None:
        """Share of the answers that were unclear or skipped; None before the batch is closed."""
        answered = self.tally.get(Outcome.LABELLED, 0) + self.unclear
        return self.unclear / answered if answered else None

    @property
    def is_overdue(self) -> bool:
        """Whether it takes, or took, longer than promised."""
        return self.hours > self.limit_hours


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
    """Where a project stands at `now`. With `is_simulated` the annotators, their answers and all hours are made up."""

    project: str
    task: Task
    now: datetime
    is_simulated: bool
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
        committee_s, gradient_s, effort, shared, asked_again, annotator_hours, lift_per_hour, lift, action, next_strategy, reason, threshold_points, firm, hours, limit_hours, overdue,
        stages [{step, hours, work_s, finished}]}; `flags` [{cycle, stage, kind, hours, at}]; `refusals` [{where,
        reason}]. `accuracy` is {points, low, high, samples} or null, of whatever `metric` names, `lift` {points, low, high} or null, `calibration`
        {error, scaled_error, temperature, fitted_on} or null: expected calibration error from 0 to 1. `unclear_predictor`,
        `committee`, `committee_s` and `gradient_s` are null where the strategy makes no use of them. `effort` is {kept,
        corrected, drawn, deleted, pull_points} or null; `pull_points` is null without a control lane. `shared` samples were
        for several annotators, `asked_again` are those on which some had disagreed; `lift_per_hour` is in points and null
        without a lift. `annotators` is a list of {name, answers, median_lead_s, hours, shared, agreed, agreement}: of the
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
        _row(ws, cycle, decisions.get(cycle.number), now, annotator_hours=hours.get(cycle.number, 0.0))
        for cycle in ledger.cycles.all()
    )
    champion = ledger.models.champion()
    return Summary(
        project=ws.config.project.name,
        task=ws.config.project.task,
        now=now,
        is_simulated=ws.is_simulated,
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


def _row(ws: Workspace, cycle: Cycle, decision: Decision | None, now: datetime, *, annotator_hours: float) -> CycleRow:
    ledger, number = ws.ledger, cycle.number
    stages, tally = ledger.steps.of(number), ledger.batches.tally(number)
    challenger, items = next(iter(ledger.models.of(number)), None), ledger.batches.get(number).items
    promoted = next((stage.facts.get("promoted") for stage in stages if stage.step == "holdout_eval"), None)
    return CycleRow(
        cycle=cycle,
        batch=sum(item.lane in CHOSEN for item in items),
        tally={outcome: tally[outcome] for outcome in Outcome if outcome in tally},
        challenger=challenger,
        evaluation=ledger.models.evaluation(challenger.name) if challenger else None,
        decision=decision,
        promoted=promoted is not None,
        stages=_stage_rows(cycle, stages, now),
        hours=to_hours(cycle_age(cycle, now)),
        limit_hours=ws.limits.cycle_hours,
        lanes=_lanes(items, ledger.batches.outcomes(number)),
        choosing=_choosing(ledger.steps.facts(number, "diversity_select")),
        calibration=calibration_of(ledger, number),
        effort=effort_of(ledger, number),
        shared=sum(item.annotators > 1 for item in items),
        asked_again=sum(item.lane is Lane.RELABEL for item in items),
        annotator_hours=annotator_hours,
    )


def _lanes(items: tuple[BatchItem, ...], outcomes: Mapping[str, Outcome]) -> Mapping[Lane, Answers]:
    """The lanes that tell of waste: what the strategy chose, and what chance did."""
    found = {}
    for lane in CHOSEN:
        ended = Counter(outcomes.get(item.sample.id) for item in items if item.lane is lane)
        unclear = ended[Outcome.UNCLEAR] + ended[Outcome.SKIPPED]
        if unclear + ended[Outcome.LABELLED]:
            found[lane] = Answers(unclear, unclear + ended[Outcome.LABELLED])
    return found


def _choosing(facts: Mapping[str, Any]) -> Choosing:
    committee = facts.get("committee")
    members = None if committee is None else tuple(committee)
    return Choosing(facts.get("gradient_s"), members, facts.get("committee_s"), facts.get("unclear_predictor"))


def _stage_rows(cycle: Cycle, stages: tuple[Stage, ...], now: datetime) -> tuple[StageRow, ...]:
    ages = stage_ages(cycle, stages, now)
    return tuple(StageRow(x.step, to_hours(ages[x.step]), x.work_s, x.finished_at is not None) for x in stages)


def _open_cycle(ws: Workspace, cycles: tuple[CycleRow, ...]) -> OpenCycle | None:
    if not cycles or cycles[-1].cycle.closed_at is not None:
        return None
    last = cycles[-1]
    done = {stage.step for stage in last.stages if stage.is_finished}
    answered, asked = ws.ledger.labels.pending(last.number)
    step = next((step for step in STEPS if step not in done), STEPS[-1])
    held = ws.ledger.interventions.held_back(last.number)
    return OpenCycle(last.number, last.cycle.strategy, step, answered, asked, held)
