"""Samples that a person dropped by hand: noted beside what was set aside, and unlike that for good."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.ledger.tables import BatchItemRow, SampleRow, SetAsideRow
from alloop.nouns import Split

__all__ = ["DROPPED", "dropped_from_holdout", "dropped_in_batch", "note_dropped"]

DROPPED = "dropped"
"""The cause, in one word."""


def note_dropped(session: Session, project: str, uris: Collection[str], *, reason: str, at: datetime) -> None:
    """Note within a transaction that these were dropped; the first time stays, whatever else is wrong with them."""
    for uri in uris:
        row = session.get(SetAsideRow, (project, uri))
        if row is None or row.cause != DROPPED:
            session.merge(SetAsideRow(project=project, uri=uri, cause=DROPPED, reason=reason, at=at))


def dropped_from_holdout(session: Session, project: str) -> frozenset[str]:
    """The ids of samples of the holdout that measure nothing any more."""
    uris = select(SetAsideRow.uri).filter_by(project=project, cause=DROPPED)
    held = select(SampleRow.id).filter_by(project=project, split=Split.HOLDOUT)
    return frozenset(session.scalars(held.where(SampleRow.uri.in_(uris))))


def dropped_in_batch(session: Session, project: str, cycle: int) -> frozenset[str]:
    """The ids of samples of a batch that were dropped."""
    uris = select(SetAsideRow.uri).filter_by(project=project, cause=DROPPED)
    asked = select(BatchItemRow.sample_id).filter_by(project=project, cycle=cycle)
    found = select(SampleRow.id).filter_by(project=project).where(SampleRow.uri.in_(uris))
    return frozenset(session.scalars(found.where(SampleRow.id.in_(asked))))
