"""Samples that several annotators were asked about: what their answers came to, each time one of them joined.

How somebody was asked stands in the batches, what they said in the observations; a verdict is written when a batch closes
and never changes. The newest one by a cycle stands for the sample in that cycle's training set.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.ledger.database import Database
from alloop.ledger.observations import by_annotator, label_of, standing
from alloop.ledger.samples import chunks
from alloop.ledger.tables import BatchItemRow, ObservationRow, VerdictRow
from alloop.nouns import Label, Lane, Outcome

if TYPE_CHECKING:
    from alloop.agreement import Verdict

__all__ = ["Judge", "Overlap", "newest_verdicts", "shared_samples", "write_verdicts"]

Judge = Callable[[Sequence[Label], Sequence[Label] | None], "Verdict"]
"""Gives the verdict on answers, one per annotator, the newest last, and those of them given after the sample was asked again."""


@dataclass(frozen=True)
class Overlap:
    """How a sample was asked last: since which cycle, of how many annotators, and since when again as they disagreed."""

    since: int
    annotators: int
    again: int | None = None


def shared_samples(session: Session, project: str, *, by: int) -> Mapping[str, Overlap]:
    """{sample id: how it was asked last} of those that several annotators were asked about, in batches up to a cycle."""
    item = BatchItemRow
    ours = (item.project == project, item.cycle <= by)
    shared = select(item.sample_id).where(*ours, item.annotators > 1)
    query = select(item.sample_id, item.cycle, item.annotators, item.lane).where(*ours, item.sample_id.in_(shared))
    found: dict[str, Overlap] = {}
    for key, cycle, annotators, lane in session.execute(query.order_by(item.cycle)):
        asked = found.get(key)
        if lane == Lane.RELABEL and asked is not None:
            found[key] = replace(asked, again=cycle if asked.again is None else asked.again)
        else:
            found[key] = Overlap(cycle, annotators)
    return found


def write_verdicts(
    session: Session, database: Database, project: str, asked: Mapping[str, Overlap], *, cycle: int, judge: Judge
) -> Mapping[str, str | None]:
    """Judge these samples by what has joined up to a cycle; {sample id: outcome, None where one more is to be asked}."""
    heard = _heard(session, project, asked, by=cycle)
    rows = [_row(heard.get(key, ()), overlap, judge) for key, overlap in asked.items()]
    keys = [{"project": project, "cycle": cycle, "sample_id": key} for key in asked]
    database.insert_new(session, VerdictRow, [key | row for key, row in zip(keys, rows, strict=True)])
    return {key: row["outcome"] for key, row in zip(asked, rows, strict=True)}


def _heard(session: Session, project: str, ids: Collection[str], *, by: int) -> Mapping[str, list[ObservationRow]]:
    query = select(ObservationRow).where(ObservationRow.project == project, ObservationRow.joined_cycle <= by)
    found: dict[str, list[ObservationRow]] = {}
    for some in chunks(sorted(ids)):
        for row in session.scalars(query.where(ObservationRow.sample_id.in_(some))):
            found.setdefault(row.sample_id, []).append(row)
    return found


def _row(heard: Iterable[ObservationRow], asked: Overlap, judge: Judge) -> dict[str, Any]:
    """One annotator's answer stands as everywhere; several are judged; without any the sample is in the pool again."""
    answers = [row for row in by_annotator(heard) if (row.joined_cycle or 0) >= asked.since]
    if asked.annotators == 1:
        answers = list(standing(answers).values())
    if not answers:
        return {"outcome": Outcome.EXPIRED.value, "content": None, "answers": 0, "agreement": None}
    again = [label_of(row) for row in answers if asked.again is not None and (row.joined_cycle or 0) >= asked.again]
    found = judge([label_of(row) for row in answers], None if asked.again is None else again)
    return {
        "outcome": None if found.outcome is None else found.outcome.value,
        "content": found.content,
        "answers": len(answers),
        "agreement": found.agreement,
    }


def newest_verdicts(session: Session, project: str, *, by: int) -> Mapping[str, VerdictRow]:
    """{sample id: the verdict that stands in a cycle}."""
    query = select(VerdictRow).where(VerdictRow.project == project, VerdictRow.cycle <= by).order_by(VerdictRow.cycle)
    return {row.sample_id: row for row in session.scalars(query)}
