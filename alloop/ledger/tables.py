"""The tables. Every key starts with the project, and every fact has a unique key.

project ── sample ── set_aside          what there is to label, and what was refused
   └── cycle ── step                    the loop: one row a cycle, one row a step with its clock and its lease
         ├── score_file                 where the scores are
         ├── batch_item                 what was chosen, why, and what became of it
         ├── model_version ── evaluation, promotion
         ├── decision ── continuation   what comes next, and a person's word to go on
         ├── attempt                    the deployed runs of a cycle, one after another
         ├── flag ── announcement       what the deadline asked to be told, and who was told
         ├── intervention               what a person asked of it out of turn
         ├── early_close                a batch that was closed before all had answered
         └── drift                      a champion that changed while a batch waited
   └── observation                      every version of every label that a tool told of
   └── verdict                          what the answers of several annotators came to
   └── holdout_item, holdout_freeze     the frozen holdout and its answers
   └── tool_cursor, refusal             how far a tool was read, and what it said that could not be used
   └── hint                             what a tool sent unasked
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from alloop.ledger.label_tables import (
    HintRow,
    HoldoutFreezeRow,
    HoldoutItemRow,
    ObservationRow,
    RefusalRow,
    ToolCursorRow,
    VerdictRow,
)
from alloop.ledger.table_base import Base, of_cycle, of_sample
from alloop.ledger.watch_tables import (
    AnnouncementRow,
    AttemptRow,
    DriftRow,
    EarlyCloseRow,
    FlagRow,
    InterventionRow,
)
from alloop.nouns import Content, Evidence, Prelabel

__all__ = [
    "AnnouncementRow",
    "AttemptRow",
    "Base",
    "BatchItemRow",
    "ContinuationRow",
    "CycleRow",
    "DecisionRow",
    "DriftRow",
    "EarlyCloseRow",
    "EvaluationRow",
    "FlagRow",
    "HintRow",
    "HoldoutFreezeRow",
    "HoldoutItemRow",
    "InterventionRow",
    "ModelVersionRow",
    "ObservationRow",
    "ProjectRow",
    "PromotionRow",
    "RefusalRow",
    "SampleRow",
    "ScoreFileRow",
    "SetAsideRow",
    "StepRow",
    "ToolCursorRow",
    "VerdictRow",
]


class ProjectRow(Base):
    """One loop."""

    __tablename__ = "project"
    name: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str]
    labels: Mapped[list[str]]
    created_at: Mapped[datetime]


class SampleRow(Base):
    """One image; `known` says that its truth came with the manifest as a human label."""

    __tablename__ = "sample"
    __table_args__ = (
        ForeignKeyConstraint(["project"], ["project.name"]),
        UniqueConstraint("project", "uri"),
        Index("ix_sample_split", "project", "split", "id"),
        Index("ix_sample_group", "project", "group"),
    )
    project: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    uri: Mapped[str]
    group: Mapped[str | None]
    split: Mapped[str]
    truth: Mapped[Content | None]
    known: Mapped[bool]
    width: Mapped[int]
    height: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    mtime_ns: Mapped[int | None] = mapped_column(BigInteger)
    added_at: Mapped[datetime]


class SetAsideRow(Base):
    """An image that never became a sample, or left the pool, and why."""

    __tablename__ = "set_aside"
    __table_args__ = (ForeignKeyConstraint(["project"], ["project.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    uri: Mapped[str] = mapped_column(primary_key=True)
    cause: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class CycleRow(Base):
    """One turn of the loop."""

    __tablename__ = "cycle"
    __table_args__ = (ForeignKeyConstraint(["project"], ["project.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    strategy: Mapped[str]
    nominal: Mapped[int]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class StepRow(Base):
    """One step of one cycle: its clock (the loop's time) and its lease (the time of day)."""

    __tablename__ = "step"
    __table_args__ = (of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    work_s: Mapped[float | None]
    facts: Mapped[dict[str, Any]]
    token: Mapped[str | None]
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]


class ScoreFileRow(Base):
    """One shard of scores: a Parquet file and its sha256."""

    __tablename__ = "score_file"
    __table_args__ = (of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    samples: Mapped[int]


class BatchItemRow(Base):
    """One chosen sample, why, its task in the tool (none: intended) and what became of it (none: open)."""

    __tablename__ = "batch_item"
    __table_args__ = (
        of_cycle(),
        of_sample(),
        UniqueConstraint("project", "cycle", "rank"),
        Index("ix_batch_item_sample", "project", "sample_id"),
    )
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sample_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rank: Mapped[int]
    lane: Mapped[str]
    score: Mapped[float | None]
    cluster: Mapped[int]
    distance: Mapped[float | None]
    prelabel: Mapped[Prelabel | None]
    evidence: Mapped[list[Evidence] | None]
    blind: Mapped[bool] = mapped_column(server_default=false())
    annotators: Mapped[int] = mapped_column(server_default="1")
    ref: Mapped[str | None]
    outcome: Mapped[str | None]


class ModelVersionRow(Base):
    """One trained model; replicate 0 is the challenger, others measure the noise of training."""

    __tablename__ = "model_version"
    __table_args__ = (of_cycle(), UniqueConstraint("project", "cycle", "replicate"))
    project: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int]
    replicate: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    parent: Mapped[str | None]
    label_set_hash: Mapped[str] = mapped_column(String(64))
    labels: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    mode: Mapped[str]
    created_at: Mapped[datetime]


class PromotionRow(Base):
    """A model that became champion; the newest row is the champion pointer."""

    __tablename__ = "promotion"
    __table_args__ = (ForeignKeyConstraint(["project", "name"], ["model_version.project", "model_version.name"]),)
    project: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class EvaluationRow(Base):
    """A model on the frozen holdout."""

    __tablename__ = "evaluation"
    __table_args__ = (
        of_cycle(),
        ForeignKeyConstraint(["project", "version"], ["model_version.project", "model_version.name"]),
    )
    project: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    holdout_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    cycle: Mapped[int]
    metric: Mapped[str]
    points: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    samples: Mapped[int]
    results_path: Mapped[str]
    results_sha256: Mapped[str] = mapped_column(String(64))


class DecisionRow(Base):
    """What a cycle ended with."""

    __tablename__ = "decision"
    __table_args__ = (of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    action: Mapped[str]
    judged: Mapped[str]
    strategy: Mapped[str]
    reason: Mapped[str]
    threshold_points: Mapped[float]
    lift_points: Mapped[float | None]
    lift_low: Mapped[float | None]
    lift_high: Mapped[float | None]
    miss: Mapped[bool]
    firm: Mapped[bool]
    unclear_rate: Mapped[float]
    at: Mapped[datetime]


class ContinuationRow(Base):
    """A person's word to go on after a decision to hold."""

    __tablename__ = "continuation"
    __table_args__ = (of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
