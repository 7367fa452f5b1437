"""One cycle as people see it: what stands in the ledger about it, closed or open."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alloop.confidence import Calibration, calibration_of
from alloop.corrections import Corrections
from alloop.effort import Effort, effort_of
from alloop.ledger.drifts import Drift
from alloop.nouns import (
    BatchItem,
    Cycle,
    Decision,
    Evaluation,
    Lane,
    Lift,
    ModelVersion,
    Outcome,
    Stage,
    Task,
)
from alloop.resampling import METRIC_NAMES
from alloop.sla import cycle_age, stage_ages, to_hours
from alloop.workspace import Workspace

__all__ = ["Answers", "Choosing", "CycleRow", "StageRow", "row_of"]

CHOSEN = (Lane.ACTIVE, Lane.CONTROL)
"""The lanes that make a batch what it was meant to be; the others come on top."""


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
    drifts: tuple[Drift, ...]

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


def row_of(
    ws: Workspace, cycle: Cycle, decision: Decision | None, now: datetime, *, annotator_hours: float
) -> CycleRow:
    """What stands in the ledger about a cycle at `now`, with the hours that people spent on the answers that joined it."""
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
        drifts=ledger.drifts.of(number),
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
