"""The tasks of a CVAT project that hold alloop's batches: their names, their images, and how they come to be."""

import mimetypes
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from alloop.annotation.cvat_client import Api, Record
from alloop.errors import ConfigError, ToolUnavailable
from alloop.nouns import Batch, BatchItem

__all__ = [
    "Frame",
    "attach",
    "attached",
    "check_address",
    "finish",
    "frames",
    "is_finished",
    "is_replica",
    "is_untouched",
    "jobs_of",
    "make",
    "of_batch",
    "ours",
    "working_jobs",
]

UNFINISHED = " (being made)"
"""Ends the name of a task that lacks its images or its pre-labels: taken off last, so it says how far a push came."""
POLL_S, WAIT_S = 1.0, 600.0
"""How often, and how long, a push asks whether CVAT has fetched the images."""
QUALITY = 95
"""Of the JPEG that annotators see, in percent."""
WORKING = {"annotation", "replica", "consensus_replica"}
"""Types of job that people label in; the third is what `replica` was called before CVAT 2.80."""
SIGNED = re.compile(r"\?\S+")


@dataclass(frozen=True)
class Frame:
    """One image of a task: the sample in it, and its (width, height) in pixels."""

    sample_id: str
    size: tuple[int, int]
    deleted: bool


def ours(api: Api, project: int, name: str) -> list[Record]:
    """The tasks that hold batches of the alloop project `name`, by id."""
    pattern = re.compile(rf"{re.escape(name)} batch \d{{4,}}(, part \d+)?({re.escape(UNFINISHED)})?")
    return [task for task in api.each("tasks", project_id=project) if pattern.fullmatch(task["name"])]


def of_batch(tasks: Sequence[Record], batch: Batch) -> list[Record]:
    """Those tasks that hold this batch."""
    title = _title(batch)
    return [task for task in tasks if task["name"].removesuffix(UNFINISHED).partition(", part ")[0] == title]


def is_replica(job: Record) -> bool:
    """Whether it is one of several jobs in which different people label the same images."""
    return job["type"] not in ("annotation", "ground_truth")


def is_untouched(job: Record) -> bool:
    """Whether nobody has begun it."""
    return bool(job["state"] == "new" and job["stage"] == "annotation")


def jobs_of(api: Api, **wanted: Any) -> Iterator[Record]:
    """Jobs in which people label."""
    return (job for job in api.each("jobs", **wanted) if job["type"] in WORKING)


def working_jobs(jobs: Sequence[Record]) -> list[Record]:
    """Those jobs of one task in which people label: the replicas where there are any, and not what CVAT merges."""
    return [job for job in jobs if is_replica(job)] or list(jobs)


def check_address(item: BatchItem, url: str) -> str:
    """The address, if CVAT can fetch it and its frame will say which sample it shows; ConfigError otherwise."""
    parts = urlsplit(url)
    file = PurePosixPath(unquote(parts.path))
    kind = mimetypes.guess_type(file.name)[0] or ""
    if parts.scheme not in ("http", "https") or file.stem != item.sample.id or not kind.startswith("image/"):
        raise ConfigError(
            f"CVAT names a frame after its address and takes only names of images, but that of sample {item.sample.id} is "
            f"{SIGNED.sub('?...', url)!r}; let the last part of its path be the sample's id and .jpg"
        )
    return url


def is_finished(task: Record) -> bool:
    """Whether a task has its images and its pre-labels."""
    return not task["name"].endswith(UNFINISHED)


def make(api: Api, project: int, batch: Batch, *, people: int, job_size: int) -> Record:
    """A new task for a part of a batch, without images yet; each image is in `people` jobs of `job_size` images."""
    parts = [_part(task) for task in of_batch(ours(api, project, batch.project), batch)]
    name = _title(batch) + (f", part {max(parts) + 1}" if parts else "") + UNFINISHED
    shared = {"initial_replicas": people} if people > 1 else {}
    body = api.body("TaskWriteRequest", name=name, project_id=project, segment_size=job_size, overlap=0, **shared)
    made: Record = api.ask("tasks", "create", task_write_request=body)
    return made


def attach(api: Api, task: Record, urls: Sequence[str]) -> None:
    """Let CVAT fetch the images, in this order, and wait until it has."""
    body = api.body(
        "DataRequest",
        image_quality=QUALITY,
        remote_files=list(urls),
        sorting_method=api.body("SortingMethod", "predefined"),
        use_cache=True,
    )
    started = api.ask("tasks", "create_data", id=task["id"], data_request=body)
    _wait(api, started["rq_id"])


def attached(api: Api, task: Record) -> bool:
    """Whether a task that a cut-off push left behind has its images; one without any is deleted.

    CVAT takes data for a task only once, so what has failed cannot be mended.
    """
    running = api.ask("requests", "list", task_id=task["id"], action="create", target="task")["results"]
    for request in running:
        if request["status"] in ("queued", "started"):
            _wait(api, request["id"])
    if api.ask("tasks", "retrieve", id=task["id"])["size"]:
        return True
    api.ask("tasks", "destroy", id=task["id"])
    return False


def finish(api: Api, task: Record) -> None:
    """Give a task its final name."""
    body = api.body("PatchedTaskWriteRequest", name=task["name"].removesuffix(UNFINISHED))
    api.ask("tasks", "partial_update", id=task["id"], patched_task_write_request=body)


def frames(api: Api, task: int) -> Mapping[int, Frame]:
    """{frame number: frame} of a task; none while it has no images."""
    meta = api.ask("tasks", "retrieve_data_meta", id=task)
    gone = set(meta["deleted_frames"])
    return {
        number: Frame(PurePosixPath(one["name"]).stem, (one["width"], one["height"]), number in gone)
        for number, one in enumerate(meta["frames"] or ())
    }


def _title(batch: Batch) -> str:
    return f"{batch.project} batch {batch.cycle:04d}"


def _part(task: Record) -> int:
    return int(task["name"].removesuffix(UNFINISHED).partition(", part ")[2] or 1)


def _wait(api: Api, request: str) -> None:
    """Return when a request in the background has finished; ConfigError with its reason when it has failed."""
    until = time.monotonic() + WAIT_S
    while True:
        state = api.ask("requests", "retrieve", id=request)
        if state["status"] == "finished":
            return
        if state["status"] == "failed":
            said = " ".join(SIGNED.sub("?...", state.get("message") or "no reason").split())[-300:]
            raise ConfigError(
                f"CVAT cannot fetch the images ({said}); check that its server reaches service.public_url: it refuses "
                "private addresses unless its own SMOKESCREEN_OPTS allow them"
            )
        if time.monotonic() > until:
            raise ToolUnavailable(f"CVAT has not fetched the images within {WAIT_S:.0f} s; it is asked again")
        time.sleep(POLL_S)
