"""Model versions, their evaluations, and the champion pointer."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.leases import Lease
from alloop.ledger.steps import Steps
from alloop.ledger.tables import EvaluationRow, ModelVersionRow, PromotionRow
from alloop.nouns import Evaluation, ModelVersion

__all__ = ["Models"]


class Models:
    """The models of one project. Replicate 0 of a cycle is its challenger."""

    def __init__(self, database: Database, project: str, clock: Clock, steps: Steps) -> None:
        self._database, self._project, self._clock, self._steps = database, project, clock, steps

    def record(self, lease: Lease, version: ModelVersion, *, replicate: int) -> None:
        """Note a trained model while retrain is still going on; the first one of a replicate stays."""
        row = {
            "project": self._project,
            "name": version.name,
            "cycle": version.cycle,
            "replicate": replicate,
            "sha256": version.sha256,
            "parent": version.parent,
            "label_set_hash": version.label_set_hash,
            "labels": version.labels,
            "seed": version.seed,
            "mode": version.mode,
            "created_at": version.created_at,
        }
        with self._database.write() as session:
            self._steps.hold(session, lease)
            self._database.insert_new(session, ModelVersionRow, [row])

    def of(self, cycle: int) -> tuple[ModelVersion, ...]:
        """The models of a cycle: the challenger first, then the replicates that measure training noise."""
        with self._database.read() as session:
            query = select(ModelVersionRow).filter_by(project=self._project, cycle=cycle)
            return tuple(_version(row) for row in session.scalars(query.order_by(ModelVersionRow.replicate)))

    def get(self, name: str) -> ModelVersion | None:
        """The model version of that name; none when there is none."""
        with self._database.read() as session:
            row = session.get(ModelVersionRow, (self._project, name))
            return _version(row) if row else None

    def champion(self) -> ModelVersion | None:
        """The model that scores and pre-labels; none before the first promotion."""
        with self._database.read() as session:
            return _champion(session, self._project)

    def record_evaluations(
        self, lease: Lease, evaluations: Sequence[Evaluation], *, promote: str | None, reason: str, **facts: Any
    ) -> None:
        """End holdout_eval: the evaluations, and with `promote` a new champion, in one go; `facts` are kept with it."""
        with self._steps.finishing(lease, reason=reason, promoted=promote, **facts) as session:
            rows = [{"project": self._project, **vars(evaluation)} for evaluation in evaluations]
            self._database.insert_new(session, EvaluationRow, rows)
            champion = _champion(session, self._project)
            if promote is None or (champion is not None and champion.name == promote):
                return
            last = session.scalar(select(func.max(PromotionRow.number)).filter_by(project=self._project))
            number = 0 if last is None else last + 1
            session.add(
                PromotionRow(project=self._project, number=number, name=promote, reason=reason, at=self._clock.now())
            )

    def record_again(self, evaluations: Sequence[Evaluation]) -> None:
        """Note what models that were evaluated before come to on what is left of the holdout; twice is once."""
        rows = [{"project": self._project, **vars(evaluation)} for evaluation in evaluations]
        with self._database.write() as session:
            self._database.insert_new(session, EvaluationRow, rows)

    def evaluation(self, version: str) -> Evaluation | None:
        """A model's newest evaluation on the holdout, which never grows; none when it was not evaluated."""
        with self._database.read() as session:
            query = select(EvaluationRow).filter_by(project=self._project, version=version)
            newest = query.order_by(EvaluationRow.cycle.desc(), EvaluationRow.samples).limit(1)
            row = session.scalars(newest).first()
            return _evaluation(row) if row else None


def _champion(session: Session, project: str) -> ModelVersion | None:
    newest = select(PromotionRow.name).filter_by(project=project).order_by(PromotionRow.number.desc()).limit(1)
    name = session.scalars(newest).first()
    return None if name is None else _version(session.get_one(ModelVersionRow, (project, name)))


def _version(row: ModelVersionRow) -> ModelVersion:
    return ModelVersion(
        name=row.name,
        cycle=row.cycle,
        sha256=row.sha256,
        parent=row.parent,
        label_set_hash=row.label_set_hash,
        labels=row.labels,
        seed=row.seed,
        mode=row.mode,
        created_at=row.created_at,
    )


def _evaluation(row: EvaluationRow) -> Evaluation:
    return Evaluation(
        version=row.version,
        cycle=row.cycle,
        metric=row.metric,
        points=row.points,
        low=row.low,
        high=row.high,
        samples=row.samples,
        holdout_hash=row.holdout_hash,
        results_path=row.results_path,
        results_sha256=row.results_sha256,
    )
