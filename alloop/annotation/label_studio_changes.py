"""What people did in a Label Studio project since a cursor."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

from alloop.annotation.form import Form, SizeOf
from alloop.annotation.label_studio_client import Api
from alloop.annotation.label_studio_marks import is_mark
from alloop.annotation.label_studio_people import open_seats, person
from alloop.annotation.label_studio_results import read_results
from alloop.annotation.label_studio_tasks import ANNOTATED, Record, listing, where
from alloop.errors import BadLabel
from alloop.nouns import Changes, Content, Label, Outcome, Refusal, Task

__all__ = ["poll"]

OVERLAP = timedelta(seconds=30)
"""Each poll looks back this far: an annotation is dated before it can be seen, up to 21 s before it on a busy SQLite."""
WANTED = (
    "data,updated_at,overlap,is_labeled,annotations,"
    "result,was_cancelled,completed_by,created_at,updated_at,lead_time,parent_prediction"  # of each annotation
)


@dataclass(frozen=True)
class Mark:
    """A cursor: how far the project was read by the server's clock, and what was told of its last `OVERLAP`.

    `held` counts the annotations that the reader of the labels believes to be there. `images` says when addresses of
    images are due, see label_studio_images.py.
    """

    project: int
    at: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    held: int = 0
    images: str = ""

    @property
    def since(self) -> datetime:
        """The moment to read on from."""
        return datetime.fromisoformat(self.at) - OVERLAP if self.at else datetime.min.replace(tzinfo=UTC)


def poll(api: Api, project: Record, cursor: str, *, form: Form, size_of: SizeOf) -> Changes:
    """The answers that are new or changed since `cursor`, in the order they were given.

    `present` is told when the server holds another number of annotations than was told: somebody deleted some, or whole
    tasks. That list is what costs (2 s for 5,000), so it is asked for only then.
    """
    mark = _mark(cursor, project["id"])
    tasks = _changed(api, mark)
    open_seats(api, [task for task in tasks if "batch_id" in task["data"]])
    news = [(task, one) for task in tasks for one in task["annotations"] if _is_news(one, mark)]
    news.sort(key=lambda pair: (_time(pair[1]["updated_at"]), pair[1]["id"]))
    labels, refused = _read(api, news, form, size_of)
    fetched = {str(one["id"]) for task in tasks for one in task["annotations"]}
    held = mark.held + sum(_is_new(one, mark) for _, one in news)
    present = None
    if held != project["total_annotations_number"] + project["skipped_annotations_number"]:
        present = _present(api, mark.project)
        held = len(present | fetched)
    reread = {str(one["id"]) for _, one in news}
    gone = None if present is None else present | fetched
    return Changes(tuple(labels), _moved(mark, tasks, held), tuple(refused), present, _mended(reread, held=gone))


def _mended(reread: Set[str], *, held: Set[str] | None) -> Callable[[str], bool]:
    """Whether an earlier refusal is of an annotation that was read again now, or that the server holds no more."""

    def is_mended(where: str) -> bool:
        annotation = where.rpartition(" ")[2]
        return annotation in reread or (held is not None and annotation not in held)

    return is_mended


def _mark(cursor: str, project: int) -> Mark:
    mark = Mark(**json.loads(cursor)) if cursor else Mark(project)
    return mark if mark.project == project else Mark(project, held=-1)  # made anew: whatever was told is gone


def _changed(api: Api, mark: Mark) -> list[Record]:
    """The tasks with annotations that something happened to; their `updated_at` moves with each annotation."""
    conditions = [*ANNOTATED]
    if mark.at:
        since = mark.since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        conditions.append(where("updated_at", "greater", since, "Datetime"))
    return list(listing(api, mark.project, conditions, include=WANTED, fields="all"))


def _moved(mark: Mark, tasks: Collection[Record], held: int) -> str:
    if not tasks:
        return json.dumps(asdict(mark) | {"held": held})
    moments = [_time(task["updated_at"]) for task in tasks]
    latest = max([*moments, datetime.fromisoformat(mark.at)] if mark.at else moments)
    near = latest - OVERLAP
    recent = [one for task in tasks for one in task["annotations"] if _time(one["updated_at"]) > near]
    seen = {str(one["id"]): one["updated_at"] for one in sorted(recent, key=lambda one: int(one["id"]))}
    return json.dumps(asdict(replace(mark, at=latest.isoformat(), seen=seen, held=held)))


def _is_news(annotation: Record, mark: Mark) -> bool:
    told = mark.seen.get(str(annotation["id"]))
    return told != annotation["updated_at"] and _time(annotation["updated_at"]) > mark.since


def _is_new(annotation: Record, mark: Mark) -> bool:
    return str(annotation["id"]) not in mark.seen and _time(annotation["created_at"]) > mark.since


def _present(api: Api, project: int) -> frozenset[str]:
    tasks = listing(api, project, ANNOTATED, include="annotations_ids")
    return frozenset(one.strip() for task in tasks for one in str(task["annotations_ids"]).split(",") if one.strip())


def _read(
    api: Api, news: Sequence[tuple[Record, Record]], form: Form, size_of: SizeOf
) -> tuple[list[Label], list[Refusal]]:
    answers = [(task, annotation) for task, annotation in news if not is_mark(annotation)]
    if not answers:
        return [], []
    names = {user["id"]: user.get("email") for user in api.get("/api/users/")}
    samples = sorted({task["data"]["item_id"] for task, _ in answers if "item_id" in task["data"]})
    sizes = {} if form.task is Task.CLASSIFY else size_of(samples)
    labels, refused = [], []
    for task, annotation in answers:
        try:
            said = _said(task, annotation, form, sizes)
        except BadLabel as error:
            refused.append(Refusal(f"task {task['id']}, annotation {annotation['id']}", str(error)))
            labels += _taken_back(task, annotation, _annotator(annotation, names))
        else:
            labels.append(_label(task, annotation, said, _annotator(annotation, names)))
    return labels, refused


def _taken_back(task: Record, annotation: Record, annotator: str) -> list[Label]:
    """What an annotation said before it was changed to something that is refused: nothing any more."""
    if "item_id" not in task["data"]:
        return []
    return [replace(_label(task, annotation, (Outcome.REJECTED, None), annotator), deleted=True)]


def _said(
    task: Record, annotation: Record, form: Form, sizes: Mapping[str, tuple[int, int]]
) -> tuple[Outcome, Content | None]:
    """The outcome and the content of an answer; BadLabel when it is none that can be used."""
    if "item_id" not in task["data"]:
        raise BadLabel("the task does not come from alloop; add its image to the pool instead")
    if annotation["was_cancelled"]:
        return Outcome.SKIPPED, None  # its regions are the model's, or half done
    if annotation["parent_prediction"] is not None and annotation["lead_time"] is None:
        raise BadLabel("predictions were turned into annotations in bulk, unseen; delete them, and label the tasks")
    return read_results(annotation["result"] or [], form, sizes.get(task["data"]["item_id"]))


def _label(task: Record, annotation: Record, said: tuple[Outcome, Content | None], annotator: str) -> Label:
    lead_time_s = annotation["lead_time"]
    return Label(
        sample_id=task["data"]["item_id"],
        annotator=annotator,
        outcome=said[0],
        ref=str(annotation["id"]),
        updated_at=_time(annotation["updated_at"]),
        content=said[1],
        lead_time_s=None if lead_time_s is None or not lead_time_s >= 0 else float(lead_time_s),
    )


def _annotator(annotation: Record, names: Mapping[int | None, str | None]) -> str:
    number = person(annotation)
    return names.get(number) or f"user {number}"


def _time(stated: str) -> datetime:
    return datetime.fromisoformat(stated).astimezone(UTC)
