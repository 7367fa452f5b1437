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
         └── early_close                a batch that was closed before all had answered
   └── observation                      every version of every label that a tool told of
   └── verdict                          what the answers of several annotators came to
   └── holdout_item, holdout_freeze     the frozen holdout and its answers
   └── tool_cursor, refusal             how far a tool was read, and what it said that could not be used
   └── hint                             what a tool sent unasked
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from alloop.ledger.types import ContentJson, EvidenceJson, PrelabelJson, UtcTime
from alloop.nouns import Content, Evidence, Prelabel

__all__ = [
    "AnnouncementRow",
    "AttemptRow",
    "Base",
    "BatchItemRow",
    "ContinuationRow",
    "CycleRow",
    "DecisionRow",
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


class Base(DeclarativeBase):
    """The metadata that the migrations are compared with."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime,
        float: Double,
        Content: ContentJson,
        Prelabel: PrelabelJson,
        list[Evidence]: EvidenceJson,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


def _of_cycle() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["project", "cycle"], ["cycle.project", "cycle.number"])


def _of_sample() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["project", "sample_id"], ["sample.project", "sample.id"])


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
    __table_args__ = (_of_cycle(),)
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
    __table_args__ = (_of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    samples: Mapped[int]


class BatchItemRow(Base):
    """One chosen sample, why, its task in the tool (none: intended) and what became of it (none: open)."""

    __tablename__ = "batch_item"
    __table_args__ = (
        _of_cycle(),
        _of_sample(),
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


class ObservationRow(Base):
    """One version of one annotation as a tool told it; a deletion is a version too.

    Only what a person labelled has a content: the boxes of a skipped one are a model's. `joined_cycle` is the cycle whose
    training set it entered first; none while it waits for a batch to close.
    """

    __tablename__ = "observation"
    __table_args__ = (
        _of_sample(),
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
        _of_cycle(),
        _of_sample(),
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
    __table_args__ = (_of_sample(),)
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


class ModelVersionRow(Base):
    """One trained model; replicate 0 is the challenger, others measure the noise of training."""

    __tablename__ = "model_version"
    __table_args__ = (_of_cycle(), UniqueConstraint("project", "cycle", "replicate"))
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
        _of_cycle(),
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
    __table_args__ = (_of_cycle(),)
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
    __table_args__ = (_of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]


class AttemptRow(Base):
    """A deployed run of a cycle: its name in Prefect, who lives in it, and how often it went to sleep.

    `done` is how many steps were finished when it began. Times are those of the wall, like a lease's.
    """

    __tablename__ = "attempt"
    __table_args__ = (_of_cycle(), Index("ix_attempt_run", "project", "run"))
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run: Mapped[str | None]
    done: Mapped[int]
    sleeps: Mapped[int]
    began_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    token: Mapped[str | None]
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]


class FlagRow(Base):
    """What the deadline asked to be told of a stage, numbered in order: at_risk, recovered and at_risk again are three."""

    __tablename__ = "flag"
    __table_args__ = (_of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    hours: Mapped[float]
    at: Mapped[datetime]


class AnnouncementRow(Base):
    """A flag on one channel: who tells it now (the time of day until which), how often it was tried, and when it was told."""

    __tablename__ = "announcement"
    __table_args__ = (
        ForeignKeyConstraint(
            ["project", "cycle", "stage", "number"], ["flag.project", "flag.cycle", "flag.stage", "flag.number"]
        ),
    )
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    channel: Mapped[str] = mapped_column(primary_key=True)
    tries: Mapped[int]
    claimed_until: Mapped[datetime | None]
    told_at: Mapped[datetime | None]


class EarlyCloseRow(Base):
    """The intention to close a batch before all had answered: noted before anything is withdrawn."""

    __tablename__ = "early_close"
    __table_args__ = (_of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    answered: Mapped[int]
    asked: Mapped[int]
    at: Mapped[datetime]


class InterventionRow(Base):
    """What a person asked of a cycle, numbered in order: pause, resume or cancel; or `shown`, whose pre-labels tasks show.

    `version` is that of the pre-labels.
    """

    __tablename__ = "intervention"
    __table_args__ = (_of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    version: Mapped[str | None]
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
