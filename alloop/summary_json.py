"""The parts of a summary as plain JSON values; `Summary.to_json` says which keys there are."""

from typing import TYPE_CHECKING, Any

from alloop.effort import Effort
from alloop.ledger.drifts import Drift
from alloop.nouns import Evaluation, ModelVersion, Outcome

if TYPE_CHECKING:
    from alloop.cycle_row import CycleRow, StageRow
    from alloop.summary import Counts

__all__ = ["champion_json", "counts_json", "cycle_json"]


def counts_json(counts: "Counts") -> dict[str, Any]:
    """How many samples are where."""
    return {
        "samples": counts.samples,
        "pool": counts.pool,
        "unlabelled": counts.unlabelled,
        "holdout": counts.holdout,
        "holdout_frozen": counts.holdout_is_frozen,
    }


def champion_json(champion: ModelVersion | None, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """The champion and its accuracy; None before there is one."""
    if champion is None:
        return None
    return {
        "version": champion.name,
        "cycle": champion.cycle,
        "labels": champion.labels,
        "sha256": champion.sha256,
        "accuracy": _accuracy_json(evaluation),
    }


def _accuracy_json(evaluation: Evaluation | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    return {name: getattr(evaluation, name) for name in ("points", "low", "high", "samples")}


def _effort_json(effort: Effort | None) -> dict[str, Any] | None:
    if effort is None:
        return None
    pull = effort.anchoring.pull_points if effort.anchoring else None
    return vars(effort.corrections) | {"pull_points": pull}


def _drift_json(drift: Drift) -> dict[str, Any]:
    return {
        "from": drift.chosen_by,
        "to": drift.version,
        "at": drift.at.isoformat(),
        "rescored": drift.rescored,
        "reference": drift.reference,
        "threshold": drift.threshold,
        "withdrawn": len(drift.withdrawn),
        "finished": drift.finished_at is not None,
        "told": drift.told,
    }


def _stage_json(stage: "StageRow") -> dict[str, Any]:
    return {"step": stage.step, "hours": stage.hours, "work_s": stage.work_s, "finished": stage.is_finished}


def cycle_json(row: "CycleRow") -> dict[str, Any]:
    """One cycle with its stages."""
    decision, lift, cycle = row.decision, row.lift, row.cycle
    return {
        "number": cycle.number,
        "strategy": cycle.strategy,
        "opened_at": cycle.opened_at.isoformat(),
        "closed_at": cycle.closed_at.isoformat() if cycle.closed_at else None,
        "nominal": cycle.nominal,
        "batch": row.batch,
        "outcomes": {outcome.value: row.tally.get(outcome, 0) for outcome in Outcome},
        "unclear_rate": row.unclear_rate,
        "labels": row.labels,
        "version": row.challenger.name if row.challenger else None,
        "promoted": row.promoted,
        "metric": row.evaluation.metric if row.evaluation else None,
        "accuracy": _accuracy_json(row.evaluation),
        "calibration": vars(row.calibration).copy() if row.calibration else None,
        "unclear_by_lane": {lane.value: vars(answers).copy() for lane, answers in row.lanes.items()},
        "unclear_predictor": row.choosing.unclear_predictor,
        "committee": None if row.choosing.committee is None else list(row.choosing.committee),
        "committee_s": row.choosing.committee_s,
        "gradient_s": row.choosing.gradient_s,
        "effort": _effort_json(row.effort),
        "drifts": [_drift_json(drift) for drift in row.drifts],
        "shared": row.shared,
        "asked_again": row.asked_again,
        "annotator_hours": row.annotator_hours,
        "lift_per_hour": row.lift_per_hour,
        "lift": vars(lift).copy() if lift else None,
        "action": decision.action.value if decision else None,
        "next_strategy": decision.strategy if decision else None,
        "reason": decision.reason if decision else None,
        "threshold_points": decision.threshold_points if decision else None,
        "firm": decision.firm if decision else None,
        "hours": row.hours,
        "limit_hours": row.limit_hours,
        "overdue": row.is_overdue,
        "stages": [_stage_json(stage) for stage in row.stages],
    }
