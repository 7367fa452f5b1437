"""The tables of what people and tools said: labels, what they came to, the frozen holdout, and how far a tool was read."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from alloop.ledger.table_base import Base, of_cycle, of_sample
from alloop.nouns import Content

__all__ = [
    "HintRow",
    "HoldoutFreezeRow",
    "HoldoutItemRow",
    "ObservationRow",
    "RefusalRow",
    "ToolCursorRow",
    "VerdictRow",
]


class ObservationRow(Base):
    """One version of one annotation as a tool told it; a deletion is a version too.

    Only what a person labelled has a content: the boxes of a skipped one are a model's. `joined_cycle` is the cycle whose
    training set it entered first; none while it waits for a batch to close.
    """

    __tablename__ = "observation"
    __table_args__ = (
        of_sample(),
        UniqueConstraint("project", "tool", "ref", "updated_at", "content_hash"),
        Index("ix_observation_sample", "project", "sample_id"),
        Index("ix_observation_joined", "project", "joined_cycle"),
        CheckConstraint("annotator <> ''", name="ck_observation_has_a_human"),
        CheckConstraint(
            "(outcome = 'labelled' AND NOT deleted) = (content IS NOT NULL)", name="ck_observation_content"
        ),
    )
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    project: Mapped[str]
    tool: Mapped[str]
    ref: Mapped[str]
    updated_at: Mapped[datetime]
    content_hash: Mapped[str] = mapped_column(String(64))
    sample_id: Mapped[str] = mapped_column(String(64))
    annotator: Mapped[str]
    outcome: Mapped[str]
    content: Mapped[Content | None]
    lead_time_s: Mapped[float | None]
    deleted: Mapped[bool]
    observed_at: Mapped[datetime]
    joined_cycle: Mapped[int | None]


class VerdictRow(Base):
    """What the answers of several annotators to a sample came to when a batch closed; no outcome: one more is asked.

    It can be found again from the observations that had joined by then; `answers` counts those it was made of.
    """

    __tablename__ = "verdict"
    __table_args__ = (
        of_cycle(),
        of_sample(),
        CheckConstraint(
            "(outcome IS NOT NULL AND outcome = 'labelled') = (content IS NOT NULL)", name="ck_verdict_content"
        ),
        CheckConstraint("outcome <> 'labelled' OR answers > 0", name="ck_verdict_has_a_human"),
    )
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sample_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    outcome: Mapped[str | None]
    content: Mapped[Content | None]
    answers: Mapped[int]
    agreement: Mapped[float | None]


class HoldoutItemRow(Base):
    """One sample of the frozen holdout with the answer it is judged by."""

    __tablename__ = "holdout_item"
    __table_args__ = (of_sample(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    sample_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[Content]


class HoldoutFreezeRow(Base):
    """The moment after which the holdout never changes."""

    __tablename__ = "holdout_freeze"
    __table_args__ = (ForeignKeyConstraint(["project"], ["project.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    samples: Mapped[int]
    dropped: Mapped[int]
    at: Mapped[datetime]


class ToolCursorRow(Base):
    """How far a tool was read."""

    __tablename__ = "tool_cursor"
    __table_args__ = (ForeignKeyConstraint(["project"], ["project.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    tool: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str]
    at: Mapped[datetime]


class RefusalRow(Base):
    """An answer that could not be used, and why."""

    __tablename__ = "refusal"
    __table_args__ = (ForeignKeyConstraint(["project"], ["project.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    tool: Mapped[str] = mapped_column(primary_key=True)
    where: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class HintRow(Base):
    """A webhook that was genuine: its body without secrets, and when the tool was read after it."""

    __tablename__ = "hint"
    __table_args__ = (
        ForeignKeyConstraint(["project"], ["project.name"]),
        UniqueConstraint("project", "key"),
        Index("ix_hint_handled", "project", "handled_at"),
    )
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    project: Mapped[str]
    key: Mapped[str] = mapped_column(String(64))
    tool: Mapped[str]
    event: Mapped[str]
    body: Mapped[str]
    received_at: Mapped[datetime]
    handled_at: Mapped[datetime | None]
