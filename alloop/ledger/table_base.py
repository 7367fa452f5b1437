"""What every table of the ledger has in common."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, Double, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase

from alloop.ledger.types import ContentJson, EvidenceJson, PrelabelJson, UtcTime
from alloop.nouns import Content, Evidence, Prelabel

__all__ = ["Base", "of_cycle", "of_sample"]


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


def of_cycle() -> ForeignKeyConstraint:
    """A row of a cycle."""
    return ForeignKeyConstraint(["project", "cycle"], ["cycle.project", "cycle.number"])


def of_sample() -> ForeignKeyConstraint:
    """A row of a sample, in the column `sample_id`."""
    return ForeignKeyConstraint(["project", "sample_id"], ["sample.project", "sample.id"])
