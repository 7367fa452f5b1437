"""CVAT as annotation tool, through cvat-sdk (written for 2.80, and tested with a fake server only).

One alloop project is one CVAT project, found again by its name; a batch is a task in it, in order of rank, cut into jobs.
CVAT keeps pre-labels as annotations: what nobody touched in a job that its annotator completed is that annotator's answer.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from alloop.annotation.cvat_changes import STAGES, Reading, poll
from alloop.annotation.cvat_client import Api, Record, Server
from alloop.annotation.cvat_queue import Queue
from alloop.annotation.cvat_schema import check_labels, ensured_project, found_project, label_names
from alloop.annotation.cvat_shapes import check_prelabel
from alloop.annotation.cvat_tasks import (
    Frame,
    attach,
    attached,
    check_address,
    finish,
    frames,
    is_finished,
    is_untouched,
    jobs_of,
    make,
    of_batch,
    ours,
    working_jobs,
)
from alloop.annotation.form import Form, SizeOf
from alloop.errors import BadLabel, ConfigError
from alloop.nouns import Batch, BatchItem, Changes, Prelabel, Sample

__all__ = ["CvatTool", "Place"]

REF = re.compile(r"([0-9]{1,18}):([0-9]{1,9})", re.ASCII)
"""A task's id and the number of a frame in it."""


@dataclass(frozen=True)
class Place:
    """Where batches go: the CVAT project `title`, as tasks named after the alloop project `name`.

    Jobs have `job_size` images; one is done when it is completed in the stage `done`.
    """

    title: str
    name: str
    job_size: int = 25
    done: str = STAGES[0]


class CvatTool:
    """An AnnotationTool on a CVAT server.

    `image_url` gives the address from which CVAT's server fetches a sample, ending in the sample's id and the suffix of
    an image. `size_of` gives the (width, height) in pixels of samples. A ref is task:frame, that of a label job:frame.

    ToolUnavailable when the server does not answer; ConfigError when it refuses, or when the project's labels are not
    those of `form`.
    """

    name = "cvat"

    def __init__(
        self, server: Server, place: Place, *, form: Form, image_url: Callable[[Sample], str], size_of: SizeOf
    ) -> None:
        if place.done not in STAGES:
            raise ConfigError(f"CVAT has no stage {place.done!r}; use {', '.join(STAGES)}")
        check_labels(form.labels)
        self._server, self._place, self._form, self._image_url = server, place, form, image_url
        self._reading = Reading(place.name, form, place.done, size_of)

    def push(self, batch: Batch) -> Mapping[str, str]:
        """Put the batch into CVAT; {sample id: task:frame}. Twice is once.

        Images that several people are to answer go into a task of their own, with replicas of its jobs; so does whatever
        is added to a batch, since CVAT adds no images to a task. What is there is looked up first, in the server and
        nowhere else, so it can be cut off anywhere.
        """
        for item in batch.items:
            _check(item, self._form)
        with self._server.open() as api:
            project = ensured_project(api, self._place.title, self._form)
            names = label_names(api, project)
            found: dict[str, str] = {}
            for task in of_batch(ours(api, project, batch.project), batch):
                found |= self._taken_up(api, task, batch, names=names)
            for people, items in _by_people(item for item in batch.items if item.sample.id not in found):
                urls = [check_address(item, self._image_url(item.sample)) for item in items]
                task = make(api, project, batch, people=people, job_size=self._place.job_size)
                attach(api, task, urls)
                found |= self._taken_up(api, task, batch, names=names)
        lost = [item.sample.id for item in batch.items if item.sample.id not in found]
        if lost:
            raise ConfigError(
                f"CVAT shows no frame for {len(lost)} samples ({lost[0]}, ...); delete the batch's tasks there"
            )
        return {item.sample.id: found[item.sample.id] for item in batch.items}

    def changed_since(self, cursor: str) -> Changes:
        """The answers of finished jobs that are new or changed."""
        with self._server.open() as api:
            project = found_project(api, self._place.title, self._form)
            if project is None and cursor:
                raise ConfigError(f"CVAT has no project {self._place.title!r} any more; restore it, or its name")
            return Changes((), "") if project is None else poll(api, project, cursor, reading=self._reading)

    def withdraw(self, refs: Collection[str]) -> None:
        """Delete these frames from their task, where nobody answered or began; no label comes of that."""
        wanted: dict[int, set[int]] = defaultdict(set)
        for found in filter(None, map(REF.fullmatch, refs)):
            wanted[int(found[1])].add(int(found[2]))
        with self._server.open() as api:
            project = found_project(api, self._place.title, self._form) if wanted else None
            if project is None:
                return
            names = label_names(api, project)
            for task in ours(api, project, self._place.name):
                if task["id"] in wanted:
                    queue = self._queue(api, frames(api, task["id"]), names)
                    queue.withdraw(_working(api, task), wanted[task["id"]])

    def publish_model(self, version: str, predictions: Mapping[str, Prelabel]) -> None:  # noqa: ARG002 - CVAT keeps none
        """Show these pre-labels in the jobs that nobody has begun, on the frames that show some now."""
        for sample, prelabel in predictions.items():
            _check_prelabel(sample, prelabel, self._form)
        with self._server.open() as api:
            project = found_project(api, self._place.title, self._form)
            if project is None or not predictions:
                return
            names = label_names(api, project)
            for task in ours(api, project, self._place.name):
                untouched = [job for job in _working(api, task) if is_untouched(job)]
                queue = self._queue(api, frames(api, task["id"]) if untouched else {}, names)
                for job in untouched:
                    queue.renew(job, predictions)

    def _queue(self, api: Api, shown: Mapping[int, Frame], names: Mapping[int, str]) -> Queue:
        return Queue(api, shown, self._form, {name: number for number, name in names.items()})

    def _taken_up(self, api: Api, task: Record, batch: Batch, *, names: Mapping[int, str]) -> Mapping[str, str]:
        """{sample id: ref} of a task, after whatever a push that was cut off left undone; none if it has no images."""
        if not is_finished(task) and not attached(api, task):
            return {}
        shown = frames(api, task["id"])
        if not is_finished(task):
            jobs, people = _working(api, task), {item.sample.id: item.annotators for item in batch.items}
            _check_replicas(jobs, people=max(people.get(frame.sample_id, 1) for frame in shown.values()))
            prelabels = {item.sample.id: item.shown for item in batch.items if item.shown is not None}
            for job in jobs:
                self._queue(api, shown, names).show(job, prelabels)
            finish(api, task)
        return {frame.sample_id: f"{task['id']}:{number}" for number, frame in shown.items()}


def _working(api: Api, task: Record) -> list[Record]:
    return working_jobs(list(jobs_of(api, task_id=task["id"])))


def _by_people(items: Iterable[BatchItem]) -> Iterable[tuple[int, list[BatchItem]]]:
    """(how many people, the samples that so many are to answer by rank), the fewest people first."""
    groups: dict[int, list[BatchItem]] = defaultdict(list)
    for item in sorted(items, key=lambda item: item.rank):
        groups[item.annotators].append(item)
    return sorted(groups.items())


def _check(item: BatchItem, form: Form) -> None:
    if item.shown is not None:
        _check_prelabel(item.sample.id, item.shown, form)


def _check_prelabel(sample: str, prelabel: Prelabel, form: Form) -> None:
    try:
        check_prelabel(prelabel, form)
    except BadLabel as error:
        raise BadLabel(f"sample {sample}: {error}") from error


def _check_replicas(jobs: Sequence[Record], *, people: int) -> None:
    """ConfigError when a server makes fewer jobs for the same images than people are to answer them."""
    same = Counter((job["start_frame"], job["stop_frame"]) for job in jobs)
    if any(count < people for count in same.values()):
        raise ConfigError(
            f"each image is for {people} people, and this CVAT makes no replicas of jobs; change to CVAT 2.80 or newer, "
            "or set annotation.overlap_share to 0"
        )
