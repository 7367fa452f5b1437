"""What people did in a CVAT project since a cursor. They finish jobs, so the frames of a job come together."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

from alloop.annotation.cvat_client import Api, Record
from alloop.annotation.cvat_schema import UNCLEAR, label_names
from alloop.annotation.cvat_shapes import AUTO, Marks, read_marks
from alloop.annotation.cvat_tasks import Frame, frames, is_replica, jobs_of, ours, working_jobs
from alloop.annotation.form import Form, SizeOf
from alloop.errors import BadLabel
from alloop.nouns import Changes, Content, Label, Outcome, Refusal

__all__ = ["STAGES", "Reading", "is_answered", "is_withdrawn", "marks_of", "poll"]

STAGES = ("annotation", "validation", "acceptance")
"""The stages of a job, in their order; entering the next one makes its state new again."""
OVERLAP = timedelta(seconds=30)
"""Each poll looks back this far: a job is dated before the transaction that changes it can be seen."""
JOB = re.compile(r"(?:job |^)(\d+)")
"""The job that a refusal is about, or a ref."""
UNASSIGNED = "cvat"
"""Who answered when a job is assigned to nobody: CVAT keeps no author of a shape."""


@dataclass(frozen=True)
class Reading:
    """How a project is read: `name` is that of the alloop project, and jobs are done when `stage` is completed."""

    name: str
    form: Form
    stage: str
    size_of: SizeOf


@dataclass(frozen=True)
class Mark:
    """A cursor: how far the jobs were read by the server's clock, and what was told of the last `OVERLAP`."""

    project: int
    at: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)

    @property
    def since(self) -> datetime:
        """The moment to read on from."""
        return datetime.fromisoformat(self.at) - OVERLAP if self.at else datetime.min.replace(tzinfo=UTC)

    def is_news(self, job: Record) -> bool:
        """Whether this version of a job was not told yet."""
        changed = job["updated_date"]
        return self.seen.get(str(job["id"])) != changed and _time(changed) > self.since


def poll(api: Api, project: int, cursor: str, *, reading: Reading) -> Changes:
    """The answers of the jobs that were finished or changed since `cursor`, in the order of their dates.

    `present` are the frames of all jobs that are finished now: what was told of a job that is reopened, rejected or
    deleted does not stand any more. A rejected job is on its way back to its annotator, so its frames are not done.
    """
    mark = Mark(**json.loads(cursor)) if cursor else Mark(project)
    if mark.project != project:
        mark = Mark(project)  # made anew: whatever was told is gone
    tasks = {task["id"] for task in ours(api, project, reading.name)}
    done = [job for job in _working(api, project, tasks) if _is_done(job, reading.stage)]
    news = sorted((job for job in done if mark.is_news(job)), key=lambda job: (_time(job["updated_date"]), job["id"]))
    labels, refused = _Reader(api, project, reading).read(news)
    present = frozenset(_ref(job, number) for job in done for number in _numbers(job))
    standing = {job["id"] for job in done} - {job["id"] for job in news}
    return Changes(tuple(labels), _moved(mark, done), tuple(refused), present, _mended(standing))


def _mended(standing: Collection[int]) -> Callable[[str], bool]:
    """Whether an earlier refusal is of a job that was read again now, or is not finished any more."""

    def is_mended(where: str) -> bool:
        job = JOB.search(where)
        return job is not None and int(job[1]) not in standing

    return is_mended


def _working(api: Api, project: int, tasks: Collection[int]) -> list[Record]:
    by_task: dict[int, list[Record]] = defaultdict(list)
    for job in jobs_of(api, project_id=project):
        if job["task_id"] in tasks:
            by_task[job["task_id"]].append(job)
    return [job for jobs in by_task.values() for job in working_jobs(jobs)]


def _is_done(job: Record, stage: str) -> bool:
    reached, wanted = STAGES.index(job["stage"]), STAGES.index(stage)
    return bool(job["state"] == "completed" if reached == wanted else reached > wanted and job["state"] != "rejected")


def is_answered(job: Record) -> bool:
    """Whether its annotator has handed it in, whatever became of it then."""
    return bool(job["state"] in ("completed", "rejected") or job["stage"] != STAGES[0])


def _moved(mark: Mark, done: Sequence[Record]) -> str:
    moments = [_time(job["updated_date"]) for job in done] + ([datetime.fromisoformat(mark.at)] if mark.at else [])
    if not moments:
        return json.dumps(asdict(mark))
    latest = max(moments)
    recent = (job for job in done if _time(job["updated_date"]) > latest - OVERLAP)
    seen = {str(job["id"]): job["updated_date"] for job in sorted(recent, key=lambda job: int(job["id"]))}
    return json.dumps(asdict(Mark(mark.project, latest.isoformat(), seen)))


def marks_of(api: Api, job: Record) -> Mapping[int, Marks]:
    """{frame number: what lies on it} of all frames of a job; those without anything have an empty one."""
    said = api.ask("jobs", "retrieve_annotations", id=job["id"])
    shapes: dict[int, list[Record]] = defaultdict(list)
    tags: dict[int, list[Record]] = defaultdict(list)
    for shape in said["shapes"]:
        shapes[shape["frame"]].append(shape)
    for tag in said["tags"]:
        tags[tag["frame"]].append(tag)
    first = min((track["frame"] for track in said["tracks"]), default=None)  # where it ends says only its last shape
    return {
        number: Marks(shapes.get(number, []), tags.get(number, []), first is not None and number >= first)
        for number in _numbers(job)
    }


def is_withdrawn(frame: Frame, marks: Marks, unclear: int) -> bool:
    """Whether alloop took it out: deleted, with the tag `unclear` (its label's id) that no person and no model sets."""
    return frame.deleted and any(tag["label_id"] == unclear and tag.get("source") == AUTO for tag in marks.tags)


class _Reader:
    """Reads jobs; what several of them share is asked for once."""

    def __init__(self, api: Api, project: int, reading: Reading) -> None:
        self._api, self._project, self._reading = api, project, reading
        self._frames: dict[int, Mapping[int, Frame]] = {}

    def read(self, jobs: Sequence[Record]) -> tuple[list[Label], list[Refusal]]:
        """The answers in finished jobs, and what cannot be used of them."""
        if not jobs:
            return [], []
        self._names = label_names(self._api, self._project)
        self._unclear = next(number for number, name in self._names.items() if name == UNCLEAR)
        labels: list[Label] = []
        refused: list[Refusal] = []
        for job in jobs:
            if is_replica(job) and not job["assignee"]:
                why = (
                    "it is one of several for the same images, and assigned to nobody; assign it, and complete it again"
                )
                refused.append(Refusal(f"job {job['id']}", why))
            else:
                self._read(job, labels, refused)
        return labels, refused

    def _read(self, job: Record, labels: list[Label], refused: list[Refusal]) -> None:
        if job["task_id"] not in self._frames:
            self._frames[job["task_id"]] = frames(self._api, job["task_id"])
        shown = {number: self._frames[job["task_id"]][number] for number in _numbers(job)}
        sizes = self._reading.size_of(sorted({frame.sample_id for frame in shown.values()}))
        marks = marks_of(self._api, job)
        for number, frame in shown.items():
            if is_withdrawn(frame, marks[number], self._unclear):
                continue
            try:
                said = self._said(frame, marks[number], sizes)
            except BadLabel as error:
                refused.append(Refusal(f"task {job['task_id']}, job {job['id']}, frame {number}", str(error)))
                nothing = _label(job, number, frame.sample_id, (Outcome.REJECTED, None))
                labels.append(replace(nothing, deleted=True))  # what it was before does not count any more
            else:
                labels.append(_label(job, number, frame.sample_id, said))

    def _said(self, frame: Frame, marks: Marks, sizes: Mapping[str, tuple[int, int]]) -> tuple[Outcome, Content | None]:
        if frame.deleted:
            return Outcome.SKIPPED, None
        size = sizes.get(frame.sample_id, frame.size)
        if size != frame.size:
            across, down = frame.size
            raise BadLabel(
                f"the frame has {across} x {down} pixels, its sample {size[0]} x {size[1]}; check what is served as image"
            )
        return read_marks(marks, self._reading.form, size, self._names)


def _numbers(job: Record) -> range:
    return range(job["start_frame"], job["stop_frame"] + 1)


def _ref(job: Record, number: int) -> str:
    return f"{job['id']}:{number}"


def _label(job: Record, number: int, sample: str, said: tuple[Outcome, Content | None]) -> Label:
    return Label(
        sample_id=sample,
        annotator=job["assignee"]["username"] if job["assignee"] else UNASSIGNED,
        outcome=said[0],
        ref=_ref(job, number),
        updated_at=_time(job["updated_date"]),
        content=said[1],
    )


def _time(stated: str) -> datetime:
    return datetime.fromisoformat(stated).astimezone(UTC)
