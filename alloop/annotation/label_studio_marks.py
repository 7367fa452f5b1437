"""Skips that alloop itself sets in a Label Studio project. They stand for no answer, and never become one."""

from typing import Any

from alloop.annotation.label_studio_schema import IMAGE, OUTCOME, UNCLEAR
from alloop.nouns import Task

__all__ = ["ANSWERED", "WITHDRAWN", "is_mark", "is_withdrawn", "mark"]

Record = dict[str, Any]
WITHDRAWN = "alloop-withdrawn"
"""The id of the region in a skip that stands for a withdrawal; it is that of the token's owner."""
ANSWERED = "alloop-answered-before"
"""That of a skip in the name of somebody who has answered the sample before, and is not to be asked again."""


def mark(kind: str, task: Task) -> Record:
    """The body of such a skip, in a project for this task."""
    control = "label" if task is Task.CLASSIFY else OUTCOME
    region = {"id": kind, "from_name": control, "to_name": IMAGE, "type": "choices", "value": {"choices": [UNCLEAR]}}
    return {"result": [region], "was_cancelled": True}


def is_mark(annotation: Record) -> bool:
    """Whether alloop set this annotation."""
    return _carries(annotation, WITHDRAWN) or _carries(annotation, ANSWERED)


def is_withdrawn(task: Record) -> bool:
    """Whether alloop has taken this task out of the queue."""
    return any(_carries(annotation, WITHDRAWN) for annotation in task["annotations"])


def _carries(annotation: Record, kind: str) -> bool:
    return annotation["was_cancelled"] and any(region.get("id") == kind for region in annotation["result"] or [])
