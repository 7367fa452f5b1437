"""The tasks of a Label Studio project: what alloop writes into them, and lists of them that a crash cannot spoil."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_schema import IMAGE
from alloop.nouns import Batch, BatchItem

__all__ = [
    "ANNOTATED",
    "CHUNK",
    "UNANSWERED",
    "UNTOUCHED",
    "add_tasks",
    "batch_id",
    "delete_tasks",
    "listing",
    "of_batch",
    "task_data",
    "where",
]

Record = dict[str, Any]
CHUNK = 500
"""Tasks per request: an import of 500 took 0.7 s, and an address that names 1,000 is too long (measured 2026-11)."""


def where(field: str, operator: str, value: Any, kind: str = "Number") -> Record:
    """One condition of a `listing`."""
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


ANNOTATED = (where("annotations_ids", "greater", 0),)
"""Somebody answered, or skipped. Not `empty`: as text that fails in a project without tasks, as a number it is wrong."""
UNANSWERED = (where("total_annotations", "equal", 0), where("cancelled_annotations", "equal", 0))
"""Nobody answered or skipped."""
UNTOUCHED = (*UNANSWERED, where("draft_exists", "equal", value=False, kind="Boolean"))
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
        filters = {"conjunction": "and", "items": [*conditions, where("id", "greater", last)]}
        query = json.dumps({"ordering": ["tasks:id"], "filters": filters})
        found = api.get(
            "/api/tasks", project=project, page_size=CHUNK, fields=fields, include=f"id,{include}", query=query
        )
        yield from found["tasks"]
        if len(found["tasks"]) < CHUNK:
            return
        last = found["tasks"][-1]["id"]


def batch_id(batch: Batch) -> str:
    """What the tasks of a batch have in common."""
    return f"{batch.project}/{batch.cycle}"


def task_data(item: BatchItem, batch: Batch, *, image: str) -> Record:
    """What a task carries: the image's address, and all that says later whose task it is and where it stands."""
    return {
        IMAGE: image,
        "item_id": item.sample.id,
        "batch_id": batch_id(batch),
        "cycle": batch.cycle,
        "rank": item.rank,
        "prelabelled": item.shown is not None,
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
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))
