"""The tables of what befell a cycle on its way: its runs, its deadline, and what people and champions did to it."""

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from alloop.ledger.table_base import Base, of_cycle

__all__ = ["AnnouncementRow", "AttemptRow", "DriftRow", "EarlyCloseRow", "FlagRow", "InterventionRow"]


class AttemptRow(Base):
    """A deployed run of a cycle: its name in Prefect, who lives in it, and how often it went to sleep.

    `done` is how many steps were finished when it began. Times are those of the wall, like a lease's.
    """

    __tablename__ = "attempt"
    __table_args__ = (of_cycle(), Index("ix_attempt_run", "project", "run"))
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
    __table_args__ = (of_cycle(),)
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
    __table_args__ = (of_cycle(),)
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
    __table_args__ = (of_cycle(),)
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    version: Mapped[str | None]
    at: Mapped[datetime]


class DriftRow(Base):
    """That another model became champion while a batch waited; noted before anything is withdrawn, and when that was done.

    `withdrawn` holds the ids of the samples that people are not asked for any more.
    """

    __tablename__ = "drift"
    __table_args__ = (
        of_cycle(),
        ForeignKeyConstraint(["project", "version"], ["model_version.project", "model_version.name"]),
    )
    project: Mapped[str] = mapped_column(primary_key=True)
    cycle: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(primary_key=True)
    chosen_by: Mapped[str]
    rescored: Mapped[int]
    reference: Mapped[int]
    threshold: Mapped[float | None]
    withdrawn: Mapped[list[str]]
    at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
