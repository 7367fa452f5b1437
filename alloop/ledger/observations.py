"""What many versions of many annotations come to: the standing label of each sample."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from alloop.ledger.tables import ObservationRow
from alloop.ledger.types import content_to_json
from alloop.nouns import Content, Label, Outcome

__all__ = ["PLAIN", "by_annotator", "content_hash", "current", "label_of", "observation", "standing"]

PLAIN = (
    ObservationRow.id,
    ObservationRow.tool,
    ObservationRow.ref,
    ObservationRow.updated_at,
    ObservationRow.deleted,
    ObservationRow.sample_id,
    ObservationRow.outcome,
    ObservationRow.content,
    ObservationRow.lead_time_s,
)
"""What `standing` looks at. Training sets are read several times a cycle, and plain columns take a third of the time."""


def content_hash(outcome: Outcome, content: Content | None, *, deleted: bool) -> str:
    """The sha256 of what an annotation says, whoever says it and whenever."""
    says = [outcome, None if content is None else content_to_json(content), deleted]
    return hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()


def observation(project: str, tool: str, label: Label, *, at: datetime) -> dict[str, Any]:
    """The row of a label as it was told at a time; what was skipped or deleted has no content, whatever came with it."""
    content = label.content if label.outcome is Outcome.LABELLED and not label.deleted else None
    return {
        "project": project,
        "tool": tool,
        "ref": label.ref,
        "updated_at": label.updated_at,
        "content_hash": content_hash(label.outcome, content, deleted=label.deleted),
        "sample_id": label.sample_id,
        "annotator": label.annotator,
        "outcome": label.outcome.value,
        "content": content,
        "lead_time_s": label.lead_time_s,
        "deleted": label.deleted,
        "observed_at": at,
    }


def current(rows: Iterable[Any]) -> list[Any]:
    """The newest version of each annotation that was not deleted; of two versions of one moment, the one told last."""
    newest: dict[tuple[str, str], Any] = {}
    for row in sorted(rows, key=lambda row: (row.updated_at, row.id)):
        newest[row.tool, row.ref] = row
    return [row for row in newest.values() if not row.deleted]


def standing(rows: Iterable[Any]) -> Mapping[str, Any]:
    """{sample id: its newest annotation that was not deleted} of observations, whole or PLAIN; others are missing."""
    return {row.sample_id: row for row in sorted(current(rows), key=_age)}


def by_annotator(rows: Iterable[Any]) -> list[Any]:
    """The newest of each annotator's annotations of one sample that were not deleted, the newest of all last."""
    newest = {row.annotator: row for row in sorted(current(rows), key=_age)}
    return sorted(newest.values(), key=_age)


def label_of(row: Any) -> Label:
    """The record of an observation."""
    return Label(
        sample_id=row.sample_id,
        annotator=row.annotator,
        outcome=Outcome(row.outcome),
        ref=row.ref,
        updated_at=row.updated_at,
        content=row.content,
        lead_time_s=row.lead_time_s,
        deleted=row.deleted,
    )


def _age(row: Any) -> tuple[datetime, str, str]:
    return row.updated_at, row.tool, row.ref  # never the order of arrival: it differs between two runs of one loop
