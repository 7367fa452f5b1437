"""How many people answer a task, and who is not asked.

Label Studio serves a task until `overlap` different people have answered it, and to nobody twice. alloop sets that for
each task by itself; the project's maximum_annotations stays 1, since above it the queue prefers what somebody has begun
already, at random, to the order of the scores (1.23.2). An import knows no `overlap`: it is set right after it.

Somebody who is not to be asked has a seat that is taken: a skip in their name, see label_studio_marks.py. With it a task
is closed from its import on, until its seats are set, so that no moment is left in which they would be asked.

In the queue nobody sees what others said. The Data Manager shows everything to everybody: Community has no roles.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_marks import ANSWERED, is_mark, is_withdrawn, mark
from alloop.annotation.label_studio_tasks import ANNOTATED, AT_ONCE, CHUNK, Record, filtered, listing, where
from alloop.nouns import Task

__all__ = ["SEEN", "answered_before", "open_seats", "person", "taken_seats"]

SEEN = "annotations,result,was_cancelled,completed_by"
"""What is read of annotations here."""
NAMED = 100
"""Samples that one address names: their ids have 64 characters each, and 16,000 are too many for an address."""


def person(annotation: Record) -> int | None:
    """The id of who gave an annotation; None when that account was deleted."""
    who = annotation["completed_by"]
    found: int | None = who["id"] if isinstance(who, dict) else who
    return found


def answered_before(api: Api, project: int, samples: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """{sample id: ids of who has answered it before}, where one of those who answer in this project now has not.

    Who gave none of the answers to the last 500 tasks is not waited for: an account is no annotator yet.
    """
    if not samples:
        return {}
    members = {user["id"] for user in api.get("/api/users/")}
    active = _people(_newest(api, project)) & members
    before: dict[str, set[int]] = {}
    for start in range(0, len(samples), NAMED):
        some = where("data.item_id", "in_list", list(samples[start : start + NAMED]), "List")
        for task in listing(api, project, [some, *ANNOTATED], include=f"data,{SEEN}", fields="all"):
            before.setdefault(task["data"]["item_id"], set()).update(_people([task]) & members)
    return {sample: sorted(people) for sample, people in before.items() if active - people}


def _newest(api: Api, project: int) -> list[Record]:
    query = filtered(ANNOTATED, ordering="-tasks:updated_at")
    include = f"id,{SEEN}"
    found = api.get("/api/tasks", project=project, page_size=CHUNK, fields="all", include=include, query=query)
    return list(found["tasks"])


def _people(tasks: Iterable[Record]) -> set[int]:
    found = (person(one) for task in tasks for one in task["annotations"] if not is_mark(one))
    return {one for one in found if one is not None}


def taken_seats(people: Iterable[int], task: Task) -> list[Record]:
    """The annotations to import with a task that these people are not to be asked about."""
    return [{**mark(ANSWERED, task), "completed_by": one, "ground_truth": False} for one in people]


def open_seats(api: Api, tasks: Collection[Record]) -> None:
    """Let as many people answer these tasks, given with their annotations, as they were pushed for.

    What was closed too early is opened again: by an answer before the seats were set, or one that was on its way then.
    """
    wrong = [task for task in tasks if _is_wrong(task) and not is_withdrawn(task)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda task: _open(api, task), wrong))


def _is_wrong(task: Record) -> bool:
    seats = _seats(task)
    return seats > 1 and (task["overlap"] != seats or _is_closed_early(task))


def _is_closed_early(task: Record) -> bool:
    return bool(task["is_labeled"]) and len({person(one) for one in task["annotations"]} - {None}) < _seats(task)


def _seats(task: Record) -> int:
    return int(task["data"].get("seats", 1))


def _open(api: Api, task: Record) -> None:
    again = {"is_labeled": False} if _is_closed_early(task) else {}
    api.patch(f"/api/tasks/{task['id']}/", {"overlap": _seats(task), **again})
