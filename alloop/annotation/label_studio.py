"""Label Studio as annotation tool, through its HTTP interface (written for and tested with Community 1.23.2).

One alloop project is one Label Studio project, found again by its title. Annotators enter through "Label All Tasks":
that button, and no deep link, serves the tasks in order.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from alloop.annotation.form import Form, SizeOf
from alloop.annotation.image_urls import SignedUrls
from alloop.annotation.label_studio_changes import poll
from alloop.annotation.label_studio_client import Api, Server
from alloop.annotation.label_studio_images import keep_shown
from alloop.annotation.label_studio_marks import WITHDRAWN, mark
from alloop.annotation.label_studio_people import SEEN, answered_before, open_seats, taken_seats
from alloop.annotation.label_studio_queue import named, newest_cycle, prediction, renew, version_for
from alloop.annotation.label_studio_results import write_results
from alloop.annotation.label_studio_schema import check_labels, differences, labelling_config
from alloop.annotation.label_studio_tasks import (
    AT_ONCE,
    IDLE,
    Record,
    add_tasks,
    chunks,
    listing,
    of_batch,
    task_data,
    where,
)
from alloop.annotation.label_studio_webhook import Webhook, announce
from alloop.errors import BadLabel, ConfigError
from alloop.nouns import Batch, BatchItem, Changes, Lane, Prelabel, Sample

__all__ = ["LabelStudioTool"]

SETTINGS = {
    "sampling": "Uncertainty sampling",  # the only order that alloop can give, see label_studio_queue.py
    "skip_queue": "IGNORE_SKIPPED",  # a skipped task is done: otherwise the batch never is
    "show_collab_predictions": True,  # pre-labels are shown
    "maximum_annotations": 1,  # more would break the order; how many people a task is for, it says by itself
}
SHORTEST = 3
"""Characters of a title that Label Studio takes."""


class LabelStudioTool:
    """An AnnotationTool on a Label Studio server, in its project called `title`.

    `image_url` gives the address from which the annotator's browser loads a sample: http(s) with
    Access-Control-Allow-Origin, a path that Label Studio serves itself, or a data URI. `size_of` gives the (width,
    height) in pixels of samples. `webhook` is told of answers from the next push on. A task's ref is its id there, a
    label's ref that of its annotation.

    ToolUnavailable when the server does not answer; ConfigError when it refuses, or when the project's controls are
    not those of `task` and `labels`.
    """

    name = "label_studio"

    def __init__(
        self,
        server: Server,
        title: str,
        *,
        form: Form,
        image_url: Callable[[Sample], str],
        size_of: SizeOf,
        webhook: Webhook | None = None,
    ) -> None:
        if len(title) < SHORTEST:
            raise ConfigError(f"the project title {title!r} is too short for Label Studio; give it {SHORTEST} letters")
        check_labels(form.labels)
        self._server, self._title, self._form = server, title, form
        self._image_url, self._size_of, self._webhook = image_url, size_of, webhook

    def push(self, batch: Batch) -> Mapping[str, str]:
        """Put the batch into the queue before all older ones, by rank; {sample id: task id}. Twice is once.

        What is there is looked up first, in the server and nowhere else, so it can be cut off anywhere.
        """
        with self._server.open() as api:
            project = self._ensured(api)
            found = of_batch(api, project["id"], batch)
            missing = tuple(item for item in batch.items if item.sample.id not in found)
            version = version_for(batch, project["model_version"])
            add_tasks(api, project["id"], self._rows(api, project["id"], replace(batch, items=missing), version))
            if missing:
                found = of_batch(api, project["id"], batch)
            shared = [found[item.sample.id] for item in batch.items if _needs_seats(item) and item.sample.id in found]
            for some in chunks(shared):
                open_seats(api, list(_with_answers(api, project["id"], some)))
            renew(api, project["id"], version, lambda _: {})
            if self._webhook is not None:
                announce(api, project["id"], self._webhook)
        return {item.sample.id: str(found[item.sample.id]) for item in batch.items if item.sample.id in found}

    def changed_since(self, cursor: str) -> Changes:
        """The answers that are new or changed, and the annotations that are left when some were deleted.

        Whoever looks also keeps the project in order: seats that were closed too early, addresses near their end.
        """
        with self._server.open() as api:
            project = self._found(api)
            if project is None and cursor:
                raise ConfigError(f"Label Studio has no project {self._title!r} any more; restore it, or its title")
            if project is None:
                return Changes((), "")
            changes = poll(api, project, cursor, form=self._form, size_of=self._size_of)
            if not isinstance(self._image_url, SignedUrls):
                return changes
            return replace(changes, cursor=keep_shown(api, project["id"], changes.cursor, urls=self._image_url))

    def withdraw(self, refs: Collection[str]) -> None:
        """Skip these tasks in alloop's own name, where answers are wanted still and nobody began; no label comes of that.

        They are not deleted: who has one open could not submit it then, and a later push would bring it back.
        """
        ids = sorted({int(ref) for ref in refs if ref.isdecimal()})
        with self._server.open() as api, ThreadPoolExecutor(AT_ONCE) as pool:
            project = self._found(api) if ids else None
            if project is None:
                return
            for some in chunks(ids):
                idle = [where("id", "in_list", list(some), "List"), *IDLE]
                tasks = list(listing(api, project["id"], idle, include="data,overlap"))
                ours = [task for task in tasks if "batch_id" in task["data"]]
                list(pool.map(lambda task: self._skip(api, task), ours))

    def publish_model(self, version: str, predictions: Mapping[str, Prelabel]) -> None:
        """Show these pre-labels on the unanswered tasks that were pushed with one; all keep their places."""
        with self._server.open() as api:
            project = self._found(api)
            if project is not None:
                cycle = newest_cycle(project["model_version"]) or 0
                renew(api, project["id"], named(version, cycle), lambda data: self._fresh(data, predictions))

    def _rows(self, api: Api, project: int, missing: Batch, version: str) -> list[Record]:
        """What to import for these items of a batch: data, place in the queue and pre-label, and who is not to be asked."""
        regions = self._regions({item.sample.id: item.shown for item in missing.items if item.shown is not None})
        again = [item.sample.id for item in missing.items if item.lane is Lane.RELABEL]
        before = answered_before(api, project, again)
        rows = []
        for item in missing.items:
            taken = before.get(item.sample.id, ())
            data = task_data(item, missing, image=self._image_url(item.sample), taken=len(taken))
            shown = prediction(data, version, regions.get(item.sample.id, []))
            rows.append({"data": data, "predictions": [shown], "annotations": taken_seats(taken, self._form.task)})
        return rows

    def _fresh(self, data: Sequence[Record], predictions: Mapping[str, Prelabel]) -> Mapping[str, list[Record]]:
        samples = [one["item_id"] for one in data]
        return self._regions({sample: predictions[sample] for sample in samples if sample in predictions})

    def _regions(self, prelabels: Mapping[str, Prelabel]) -> dict[str, list[Record]]:
        """{sample id: regions} of pre-labels; BadLabel, naming the sample, when one cannot be shown."""
        boxed = [sample for sample, prelabel in prelabels.items() if prelabel.content.boxes]
        sizes = self._size_of(boxed) if boxed else {}
        regions = {}
        for sample, prelabel in prelabels.items():
            try:
                regions[sample] = write_results(prelabel, self._form, sizes.get(sample))
            except BadLabel as error:
                raise BadLabel(f"sample {sample}: {error}") from error
        return regions

    def _skip(self, api: Api, task: Record) -> None:
        if task["overlap"] > 1:
            api.patch(f"/api/tasks/{task['id']}/", {"overlap": 1})
        name = f"{self._server.url}/tasks/{task['id']}/{WITHDRAWN}"
        body = mark(WITHDRAWN, self._form.task) | {"unique_id": str(uuid.uuid5(uuid.NAMESPACE_URL, name))}
        api.post(f"/api/tasks/{task['id']}/annotations/", body, ignoring=(404, 409))  # deleted, or withdrawn already

    def _found(self, api: Api) -> Record | None:
        """The project; None when there is none. ConfigError when it is not made for this task and label set."""
        ids = [project["id"] for project in _projects(api, self._title) if project["title"] == self._title]
        if len(ids) > 1:
            raise ConfigError(f"Label Studio has {len(ids)} projects {self._title!r} ({ids}); rename all but one")
        if not ids:
            return None
        project: Record = api.get(f"/api/projects/{ids[0]}")
        apart = differences(project["parsed_label_config"], self._form.task, self._form.labels)
        if apart:
            raise ConfigError(
                f"the Label Studio project {self._title!r} ({ids[0]}) is set up for something else: {'; '.join(apart)}; "
                "change its labelling interface, or give the project in alloop.toml another title"
            )
        return project

    def _ensured(self, api: Api) -> Record:
        """The project, made if it is missing, with the settings that the loop needs."""
        project = self._found(api)
        if project is None:
            config = labelling_config(self._form.task, self._form.labels)
            made: Record = api.post("/api/projects/", {"title": self._title, "label_config": config, **SETTINGS})
            return made
        if any(project[key] != value for key, value in SETTINGS.items()):
            api.patch(f"/api/projects/{project['id']}", SETTINGS)
        return project


def _needs_seats(item: BatchItem) -> bool:
    return item.annotators > 1 or item.lane is Lane.RELABEL


def _with_answers(api: Api, project: int, ids: Sequence[int]) -> Iterator[Record]:
    wanted = [where("id", "in_list", list(ids), "List")]
    return listing(api, project, wanted, include=f"data,overlap,is_labeled,{SEEN}", fields="all")


def _projects(api: Api, title: str) -> list[Any]:
    found: list[Any] = []
    while True:
        page = api.get("/api/projects/", title=title, include="id,title", page_size=100, page=len(found) // 100 + 1)
        found += page["results"]
        if not page["next"]:
            return found
