"""Column types: aware UTC times, and label contents as JSON."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import JSON, TypeDecorator

from alloop.nouns import Box, Content, Evidence, Prelabel

__all__ = ["ContentJson", "EvidenceJson", "PrelabelJson", "UtcTime", "content_to_json"]


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC on every database; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite has no time zones and gets the bare UTC time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no time zone; pass an aware one")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Back to an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ContentJson(TypeDecorator[Content]):
    """What a label says, as JSON."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Content | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """A dict, or nothing."""
        return None if value is None else content_to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Content | None:  # noqa: ARG002
        """The record again."""
        return None if value is None else _content(value)


class PrelabelJson(TypeDecorator[Prelabel]):
    """What the champion proposed, as JSON."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Prelabel | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """A dict, or nothing."""
        if value is None:
            return None
        return {
            "model_version": value.model_version,
            "confidence": value.confidence,
            "content": content_to_json(value.content),
        }

    def process_result_value(self, value: Any, dialect: Dialect) -> Prelabel | None:  # noqa: ARG002
        """The record again."""
        if value is None:
            return None
        return Prelabel(value["model_version"], _content(value["content"]), value["confidence"])


class EvidenceJson(TypeDecorator[list[Evidence]]):
    """Where a committee disagrees in an image, as JSON."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: list[Evidence] | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """A list of dicts, or nothing."""
        return [asdict(one) for one in value] if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> list[Evidence] | None:  # noqa: ARG002
        """The records again."""
        return None if value is None else [Evidence(**one) for one in value]


def content_to_json(content: Content) -> dict[str, Any]:
    """A content as JSON values; the same content always gives the same dict."""
    boxes = [
        {
            "class": box.class_name,
            "corners": [box.x0, box.y0, box.x1, box.y1],
            "polygon": [list(p) for p in box.polygon],
        }
        for box in content.boxes
    ]
    return {"class": content.class_name, "boxes": boxes}


def _content(value: dict[str, Any]) -> Content:
    boxes = tuple(_box(box["class"], box["corners"], box["polygon"]) for box in value["boxes"])
    return Content(value["class"], boxes)


def _box(class_name: str, corners: list[float], polygon: list[list[float]]) -> Box:
    x0, y0, x1, y1 = corners
    return Box(class_name, x0, y0, x1, y1, tuple((x, y) for x, y in polygon))
