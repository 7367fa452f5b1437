"""The tasks of a Label Studio project: what alloop writes into them, and lists of them that a crash cannot spoil."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_schema import IMAGE
from alloop.nouns import Batch, BatchItem
from alloop.pieces import in_pieces

__all__ = [
    "ANNOTATED",
    "AT_ONCE",
    "CHUNK",
    "IDLE",
    "OPEN",
    "add_tasks",
    "batch_id",
    "delete_tasks",
    "filtered",
    "listing",
    "of_batch",
    "task_data",
    "where",
]

Record = dict[str, Any]
CHUNK = 500
"""Tasks per request: an import of 500 took 0.7 s, and an address that names 1,000 is too long (measured 2026-11)."""
AT_ONCE = 4
"""Tasks that are changed at a time; more than 8 writers make Label Studio on SQLite fail (measured 2026-11)."""


def where(field: str, operator: str, value: Any, kind: str = "Number") -> Record:
    """One condition of a `listing`."""
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


ANNOTATED = (where("annotations_ids", "greater", 0),)
"""Somebody answered, or skipped. Not `empty`: as text that fails in a project without tasks, as a number it is wrong."""
OPEN = (where("is_labeled", "equal", value=False, kind="Boolean"),)
"""In the queue: not as many people have answered or skipped as are to."""
IDLE = (*OPEN, where("draft_exists", "equal", value=False, kind="Boolean"))
"""In the queue, and nobody has begun."""
UNTOUCHED = (*IDLE, where("total_annotations", "equal", 0), where("cancelled_annotations", "equal", 0))
"""Nobody answered, skipped or began."""


def listing(
    api: Api, project: int, conditions: Sequence[Record], *, include: str, fields: str = "task_only"
) -> Iterator[Record]:
    """The tasks that meet all conditions, by id.

    Each page starts behind the last id instead of at a number, so that tasks which come, change or go meanwhile move
    no other task past a page's edge.
    """
    last = 0
    while True:
        query = filtered([*conditions, where("id", "greater", last)], ordering="tasks:id")
        found = api.get(
            "/api/tasks", project=project, page_size=CHUNK, fields=fields, include=f"id,{include}", query=query
        )
        yield from found["tasks"]
        if len(found["tasks"]) < CHUNK:
            return
        last = found["tasks"][-1]["id"]


def filtered(conditions: Sequence[Record], *, ordering: str) -> str:
    """The `query` of a list of tasks that meet all conditions."""
    return json.dumps({"ordering": [ordering], "filters": {"conjunction": "and", "items": list(conditions)}})


def batch_id(batch: Batch) -> str:
    """What the tasks of a batch have in common."""
    return f"{batch.project}/{batch.cycle}"


def task_data(item: BatchItem, batch: Batch, *, image: str, taken: int = 0) -> Record:
    """What a task carries: the image's address, and all that says later whose task it is and where it stands.

    It has a seat for each annotator it is for, and for each of those who are not to be asked, whose seats are `taken`.
    """
    return {
        IMAGE: image,
        "item_id": item.sample.id,
        "batch_id": batch_id(batch),
        "cycle": batch.cycle,
        "rank": item.rank,
        "prelabelled": item.shown is not None,
        "seats": item.annotators + taken,
    }


def of_batch(api: Api, project: int, batch: Batch) -> dict[str, int]:
    """{sample id: task id} of what is there of a batch.

    A task that is there twice keeps its first: a server can finish an import after its client gave up and tried again.
    The copy goes, unless somebody works on it; its answer counts for the sample as well.
    """
    mine = [where("data.batch_id", "equal", batch_id(batch), "String")]
    tasks: dict[str, int] = {}
    copies = []
    for task in listing(api, project, mine, include="data"):
        if tasks.setdefault(task["data"]["item_id"], task["id"]) != task["id"]:
            copies.append(task["id"])
    for some in chunks(copies):
        idle = listing(api, project, [where("id", "in_list", some, "List"), *UNTOUCHED], include="draft_exists")
        delete_tasks(api, project, [task["id"] for task in idle])
    return tasks


def add_tasks(api: Api, project: int, tasks: Sequence[Record]) -> None:
    """Import tasks with their predictions."""
    for some in chunks(tasks):
        api.post(f"/api/projects/{project}/import", some, return_task_ids="true")


def delete_tasks(api: Api, project: int, ids: Collection[int]) -> None:
    """Delete tasks."""
    if ids:
        chosen = {"selectedItems": {"all": False, "included": sorted(ids)}}
        api.post("/api/dm/actions/", chosen, id="delete_tasks", project=project)


def chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The rows in parts of CHUNK."""
    return in_pieces(rows, CHUNK)
