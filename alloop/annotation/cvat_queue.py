"""What annotators see in the jobs of a CVAT task: pre-labels that come and change, and frames that are taken out."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from alloop.annotation.cvat_changes import is_answered, is_withdrawn, marks_of
from alloop.annotation.cvat_client import Api, Record
from alloop.annotation.cvat_schema import UNCLEAR
from alloop.annotation.cvat_shapes import AUTO, Marks, write_prelabel
from alloop.annotation.cvat_tasks import Frame, is_untouched
from alloop.annotation.form import Form
from alloop.nouns import Prelabel

__all__ = ["Queue"]

KEPT = ("type", "points", "frame", "label_id", "source", "score")
"""What alloop says of a mark."""
Prelabels = Mapping[str, Prelabel]
"""By sample id."""


class Queue:
    """The frames of one task as annotators see them; `ids` are those of the labels."""

    def __init__(self, api: Api, frames: Mapping[int, Frame], form: Form, ids: Mapping[str, int]) -> None:
        self._api, self._frames, self._form, self._ids = api, frames, form, ids

    def show(self, job: Record, prelabels: Prelabels) -> None:
        """Put pre-labels on the frames of a job that nobody has begun, unless it has some already."""
        if not is_untouched(job) or _marks(marks_of(self._api, job), job):
            return
        marks = [mark for number in _numbers(job) for mark in self._written(number, prelabels)]
        if marks:
            self._put(job, marks)

    def renew(self, job: Record, prelabels: Prelabels) -> None:
        """Replace the pre-labels of a job that nobody has begun by newer ones, on the frames that show some now.

        Where none are shown, none come: that frame may be one that is answered without help, and nothing else tells.
        """
        lying = marks_of(self._api, job)
        old = _marks(lying, job)
        if not is_untouched(job) or not old or any(lying[number].by_people() for number in _numbers(job)):
            return
        marks: list[Record] = []
        for number in _numbers(job):
            shown, frame = [*lying[number].shapes, *lying[number].tags], self._frames[number]
            is_kept = frame.sample_id not in prelabels or is_withdrawn(frame, lying[number], self._ids[UNCLEAR])
            marks += map(_kept, shown) if is_kept or not shown else self._written(number, prelabels)
        self._put(job, marks)

    def withdraw(self, jobs: Iterable[Record], numbers: Collection[int]) -> None:
        """Take these frames out of the task's jobs, where nobody answered or began.

        They are deleted, which people can undo in CVAT, and get the tag "unclear" with the source of a model, which says
        later that it was alloop. A job without any frame left is completed: there is nothing to do in it.
        """
        segments: dict[int, list[Record]] = defaultdict(list)
        for job in jobs:
            segments[job["start_frame"]].append(job)
        for same in segments.values():
            wanted = [number for number in _numbers(same[0]) if number in numbers]
            if wanted and not any(map(is_answered, same)):
                self._withdraw(same, wanted)

    def _withdraw(self, same: Sequence[Record], wanted: Sequence[int]) -> None:
        lying = {job["id"]: marks_of(self._api, job) for job in same}
        idle = [number for number in wanted if not any(marks[number].by_people() for marks in lying.values())]
        for job in same:
            self._tag(job, [number for number in idle if not self._is_tagged(lying[job["id"]][number])])
        gone = {number for number in _numbers(same[0]) if self._frames[number].deleted}
        if set(idle) - gone:
            body = self._api.body("PatchedJobDataMetaWriteRequest", deleted_frames=sorted(gone.union(idle)))
            self._ask("partial_update_data_meta", same[0], patched_job_data_meta_write_request=body)
        if idle and gone.union(idle) == set(_numbers(same[0])):
            completed = self._api.body("OperationStatus", "completed")
            for job in same:
                body = self._api.body("PatchedJobWriteRequest", state=completed)
                self._ask("partial_update", job, patched_job_write_request=body)

    def _is_tagged(self, marks: Marks) -> bool:
        return any(tag["label_id"] == self._ids[UNCLEAR] and tag.get("source") == AUTO for tag in marks.tags)

    def _tag(self, job: Record, numbers: Sequence[int]) -> None:
        if numbers:
            tags = [self._image({"label_id": self._ids[UNCLEAR], "frame": one, "source": AUTO}) for one in numbers]
            body = self._api.body("PatchedLabeledDataRequest", tags=tags, shapes=[], tracks=[])
            self._ask("partial_update_annotations", job, action="create", patched_labeled_data_request=body)

    def _written(self, number: int, prelabels: Prelabels) -> list[Record]:
        frame = self._frames[number]
        if frame.sample_id not in prelabels:
            return []
        shapes, tags = write_prelabel(prelabels[frame.sample_id], self._form, frame.size)
        return [_kept(mark | {"frame": number, "label_id": self._ids[mark["label"]]}) for mark in (*shapes, *tags)]

    def _put(self, job: Record, marks: Sequence[Record]) -> None:
        """Make these the annotations of a job, in one request: those with points are shapes, the others tags."""
        shapes = [self._shape(mark) for mark in marks if "points" in mark]
        tags = [self._image(mark) for mark in marks if "points" not in mark]
        body = self._api.body("LabeledDataRequest", tags=tags, shapes=shapes, tracks=[])
        self._ask("update_annotations", job, labeled_data_request=body)

    def _shape(self, mark: Record) -> Any:
        kind, points = self._api.body("ShapeType", mark["type"]), [float(number) for number in mark["points"]]
        return self._api.body("LabeledShapeRequest", **mark | {"type": kind, "points": points})

    def _image(self, mark: Record) -> Any:
        return self._api.body("LabeledImageRequest", **mark)

    def _ask(self, verb: str, job: Record, **content: Any) -> None:
        self._api.ask("jobs", verb, id=job["id"], **content)


def _numbers(job: Record) -> range:
    return range(job["start_frame"], job["stop_frame"] + 1)


def _marks(lying: Mapping[int, Marks], job: Record) -> list[Record]:
    return [mark for number in _numbers(job) for mark in (*lying[number].shapes, *lying[number].tags)]


def _kept(mark: Record) -> Record:
    return {key: mark[key] for key in KEPT if key in mark}
