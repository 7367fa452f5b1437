"""The row of a project: its task and label set, which may change until something rests on them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.errors import ConfigError
from alloop.ledger.database import Database
from alloop.ledger.tables import CycleRow, ObservationRow, ProjectRow, SampleRow
from alloop.nouns import Task

__all__ = ["Asked", "enter_project"]


@dataclass(frozen=True)
class Asked:
    """A project as alloop.toml has it."""

    name: str
    task: Task
    labels: tuple[str, ...]


def enter_project(database: Database, asked: Asked, now: datetime) -> None:
    """Note a new project, or what has changed of one that has not begun; nothing is written where nothing is new.

    ConfigError when task or labels differ and a cycle, or labels that people gave, rest on them.
    """
    with database.read() as session:
        if _agrees(session.get(ProjectRow, asked.name), asked):
            return
    with database.write() as session:
        row = {"name": asked.name, "task": asked.task.value, "labels": list(asked.labels), "created_at": now}
        database.insert_new(session, ProjectRow, [row])
        there = session.get_one(ProjectRow, asked.name)
        if not _agrees(there, asked):
            _refuse_change(session, there, asked)
            there.task, there.labels = asked.task.value, list(asked.labels)


def _agrees(there: ProjectRow | None, asked: Asked) -> bool:
    return there is not None and (there.task, tuple(there.labels)) == (asked.task.value, asked.labels)


def _refuse_change(session: Session, there: ProjectRow, asked: Asked) -> None:
    because = _what_rests_on(session, there, asked)
    if because:
        raise ConfigError(
            f"alloop.toml and the ledger differ about project '{asked.name}' ({_difference(there, asked)}), and {because}; "
            f'write task = "{there.task}" and labels = {_toml(there.labels)} again, or choose another [project] name'
        )


def _what_rests_on(session: Session, there: ProjectRow, asked: Asked) -> str:
    """Why the project has to stay as it is; nothing when it need not."""
    if session.scalars(select(CycleRow.number).filter_by(project=asked.name).limit(1)).first() is not None:
        return "they stay as they are once a cycle has been opened"
    used = set(_names_used(session, asked.name))
    if asked.task.value != there.task:
        return "its samples have labels for that task" if used else ""
    gone = sorted(used & set(there.labels) - set(asked.labels))
    return f"samples have the label {', '.join(repr(name) for name in gone)}" if gone else ""


def _names_used(session: Session, project: str) -> Iterator[str]:
    """The classes that labels name, hidden ones and those of observations too."""
    for table, column in ((SampleRow, SampleRow.truth), (ObservationRow, ObservationRow.content)):
        query = select(column).where(table.project == project, column.is_not(None))
        for content in session.scalars(query.execution_options(yield_per=1000)):
            if content is not None:
                yield from [content.class_name] if content.class_name else [box.class_name for box in content.boxes]


def _difference(there: ProjectRow, asked: Asked) -> str:
    told = [f"task {asked.task.value}, not {there.task}"] if asked.task.value != there.task else []
    new = [repr(label) for label in asked.labels if label not in there.labels]
    gone = [repr(label) for label in there.labels if label not in asked.labels]
    told += [f"{', '.join(new)} new"] if new else []
    told += [f"{', '.join(gone)} missing"] if gone else []
    if tuple(there.labels) != asked.labels and not (new or gone):
        told.append("the labels are in another order")
    return "; ".join(told)


def _toml(labels: list[str]) -> str:
    return json.dumps(labels, ensure_ascii=False)
