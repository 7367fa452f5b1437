"""Batches whose champion changed while people were answering them: what was scored again, and what was withdrawn."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.dropped import dropped_in_batch
from alloop.ledger.tables import DriftRow

__all__ = ["Drift", "Drifts", "withdrawn_samples"]


@dataclass(frozen=True)
class Drift:
    """That `version` became champion while a batch waited which was chosen by another model.

    Of its open samples `rescored` were scored again, beside `reference` random samples of the pool. Those `withdrawn` are
    sample ids; they had come below `threshold`, the reference's median score (None: nothing was scored). They are out of
    the annotators' queue from `finished_at` on.
    """

    cycle: int
    chosen_by: str
    version: str
    rescored: int
    reference: int
    threshold: float | None
    withdrawn: tuple[str, ...]
    at: datetime
    finished_at: datetime | None = None

    @property
    def told(self) -> str:
        """What happened, as a sentence without a full stop."""
        changed = (
            f"the champion changed from {self.chosen_by} to {self.version} while the batch of cycle {self.cycle} waited"
        )
        if not self.rescored:
            return f"{changed}; none of its samples was scored again"
        if not self.withdrawn:
            return f"{changed}; scored again, its {self.rescored} open samples are worth labelling as before"
        went = "will go" if self.finished_at is None else "went"
        return (
            f"{changed}; scored again, {len(self.withdrawn)} of its {self.rescored} open samples came below a random one and "
            f"{went} back to the pool"
        )


class Drifts:
    """The changes of champion that the batches of one project met with."""

    def __init__(self, database: Database, project: str, clock: Clock) -> None:
        self._database, self._project, self._clock = database, project, clock

    def of(self, cycle: int) -> tuple[Drift, ...]:
        """Those of a cycle, the first one first."""
        with self._database.read() as session:
            query = select(DriftRow).filter_by(project=self._project, cycle=cycle)
            return tuple(_drift(row) for row in session.scalars(query.order_by(DriftRow.at, DriftRow.version)))

    def note(self, found: Drift) -> Drift:
        """Note what was found before anything is withdrawn; what was noted first of a cycle and version stays."""
        row = vars(found) | {"project": self._project, "withdrawn": list(found.withdrawn)}
        with self._database.write() as session:
            self._database.insert_new(session, DriftRow, [row])
            return _drift(session.get_one(DriftRow, (self._project, found.cycle, found.version)))

    def finish(self, noted: Drift, *, answered: Collection[str]) -> Drift:
        """Note that the tool does not ask for these samples any more, except for those that are `answered` after all.

        From now on the batch is complete without them. The first time stays.
        """
        with self._database.write() as session:
            key = (self._project, noted.cycle, noted.version)
            row = session.get_one(DriftRow, key, with_for_update=True)
            if row.finished_at is None:
                row.withdrawn = [sample for sample in row.withdrawn if sample not in answered]
                row.finished_at = self._clock.now()
            return _drift(row)


def withdrawn_samples(session: Session, project: str, cycle: int) -> frozenset[str]:
    """The ids of the samples of a batch that people are not asked for any more, within a transaction."""
    query = select(DriftRow.withdrawn).filter_by(project=project, cycle=cycle).where(DriftRow.finished_at.is_not(None))
    drifted = frozenset(sample for samples in session.scalars(query) for sample in samples)
    return drifted | dropped_in_batch(session, project, cycle)


def _drift(row: DriftRow) -> Drift:
    return Drift(
        cycle=row.cycle,
        chosen_by=row.chosen_by,
        version=row.version,
        rescored=row.rescored,
        reference=row.reference,
        threshold=row.threshold,
        withdrawn=tuple(row.withdrawn),
        at=row.at,
        finished_at=row.finished_at,
    )
