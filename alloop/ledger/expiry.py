"""What a deadline needs of a batch: when people answered, what is still open, and the word to close it early."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.drifts import withdrawn_samples
from alloop.ledger.observations import current
from alloop.ledger.tables import BatchItemRow, EarlyCloseRow, ObservationRow
from alloop.nouns import Lane

__all__ = ["AskedItem", "EarlyClose", "Expiry"]

TIMED = (
    ObservationRow.id,
    ObservationRow.tool,
    ObservationRow.ref,
    ObservationRow.updated_at,
    ObservationRow.deleted,
    ObservationRow.sample_id,
    ObservationRow.annotator,
    ObservationRow.observed_at,
)

ASKED = (BatchItemRow.sample_id, BatchItemRow.lane, BatchItemRow.ref, BatchItemRow.annotators)


@dataclass(frozen=True)
class AskedItem:
    """A sample of a batch as its deadline sees it: the task's ref, how many people are asked, and when each answered."""

    sample_id: str
    lane: Lane
    ref: str | None
    annotators: int
    answered_at: tuple[datetime, ...]

    @property
    def is_answered(self) -> bool:
        """Whether everybody who was asked has answered."""
        return len(self.answered_at) >= self.annotators


@dataclass(frozen=True)
class EarlyClose:
    """That a batch is closed early: how many of its samples were answered then, and when that was decided."""

    answered: int
    asked: int
    at: datetime


class Expiry:
    """The batches of one project against the clock."""

    def __init__(self, database: Database, project: str, clock: Clock) -> None:
        self._database, self._project, self._clock = database, project, clock

    def items(self, cycle: int) -> tuple[AskedItem, ...]:
        """The samples of a batch in order of rank; empty before it was chosen, and without those that were withdrawn.

        An answer counts from its first version, and never from later than when it was read: tools have clocks of their own.
        """
        asked = select(*ASKED).filter_by(project=self._project, cycle=cycle).order_by(BatchItemRow.rank)
        inside = select(BatchItemRow.sample_id).filter_by(project=self._project, cycle=cycle)
        fresh = or_(ObservationRow.joined_cycle.is_(None), ObservationRow.joined_cycle == cycle)
        seen = select(*TIMED).where(ObservationRow.project == self._project, fresh)
        with self._database.read() as session:
            times = _answer_times(session.execute(seen.where(ObservationRow.sample_id.in_(inside))).all())
            gone = withdrawn_samples(session, self._project, cycle)
            items = [
                AskedItem(row.sample_id, Lane(row.lane), row.ref, row.annotators, times.get(row.sample_id, ()))
                for row in session.execute(asked)
            ]
            return tuple(item for item in items if item.is_answered or item.sample_id not in gone)

    def close_early(self, cycle: int, *, answered: int, asked: int) -> EarlyClose:
        """Note that this batch is closed early from now on; the first word stays."""
        with self._database.write() as session:
            row = {"project": self._project, "cycle": cycle, "answered": answered, "asked": asked}
            self._database.insert_new(session, EarlyCloseRow, [row | {"at": self._clock.now()}])
            return _early(session.get_one(EarlyCloseRow, (self._project, cycle)))

    def early(self, cycle: int) -> EarlyClose | None:
        """What was noted about closing this batch early, if anything."""
        with self._database.read() as session:
            row = session.get(EarlyCloseRow, (self._project, cycle))
            return None if row is None else _early(row)


def _early(row: EarlyCloseRow) -> EarlyClose:
    return EarlyClose(row.answered, row.asked, row.at)


def _answer_times(rows: Iterable[Any]) -> dict[str, tuple[datetime, ...]]:
    """{sample id: when each annotator, whose answer was not deleted, first answered}, in order of time."""
    versions = list(rows)
    first: dict[tuple[str, str], datetime] = {}
    for row in versions:
        key = (row.sample_id, row.annotator)
        at = min(row.updated_at, row.observed_at)
        first[key] = min(first.get(key, at), at)
    found: dict[str, set[tuple[datetime, str]]] = {}
    for row in current(versions):
        found.setdefault(row.sample_id, set()).add((first[row.sample_id, row.annotator], row.annotator))
    return {sample: tuple(at for at, _ in sorted(pairs)) for sample, pairs in found.items()}
