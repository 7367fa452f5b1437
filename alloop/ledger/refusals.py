"""The answers that cannot be used, each with the reason, for as long as that is so."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.ledger.database import Database
from alloop.ledger.tables import RefusalRow
from alloop.nouns import Changes

__all__ = ["refusals_of", "renew_refusals"]

WHERE, REASON = 200, 400
"""Characters kept of a refusal: it is a key, and Postgres indexes no more than 2,704 bytes."""


def renew_refusals(
    session: Session, database: Database, changes: Changes, *, faults: Mapping[str, str | None], key: Mapping[str, Any]
) -> None:
    """Note what cannot be used of these changes, and forget the refusals that were mended since.

    `faults` has why each of their labels cannot be used {ref: reason, None for good ones}, `key` the project, the tool
    and the time (`at`) of the reading.
    """
    refused = [(ref, fault) for ref, fault in faults.items() if fault is not None]
    refused += [(refusal.where, refusal.reason) for refusal in changes.refused]
    noted = {(where[:WHERE], reason[:REASON]) for where, reason in refused}
    told, held = ({ref[:WHERE] for ref in refs} for refs in (faults, changes.present or ()))
    known = session.scalars(select(RefusalRow).filter_by(project=key["project"], tool=key["tool"]))
    for row in known.all():
        is_told_anew = row.where in told or (row.where not in held and changes.is_mended(row.where))
        if is_told_anew and (row.where, row.reason) not in noted:
            session.delete(row)
    session.flush()
    fresh = [{**key, "where": where, "reason": reason} for where, reason in sorted(noted)]
    database.insert_new(session, RefusalRow, fresh)


def refusals_of(session: Session, project: str) -> tuple[tuple[str, str], ...]:
    """(where, reason) of every answer of a project that cannot be used, in the order of their batches and lines."""
    query = select(RefusalRow.where, RefusalRow.reason).filter_by(project=project)
    return tuple(sorted(((where, reason) for where, reason in session.execute(query)), key=_in_order))


def _in_order(refusal: tuple[str, str]) -> tuple[str, int, str]:
    """Line 10 comes after line 9."""
    where, reason = refusal
    place, _, line = where.rpartition(":")
    return (place, int(line), reason) if line.isdecimal() else (where, 0, reason)
