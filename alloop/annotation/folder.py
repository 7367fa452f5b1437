"""A folder as annotation tool: batches are written to it, people add labels.jsonl with whatever they like.

batch-0003/
  tasks.jsonl       what to label, first line first       (written by alloop)
  images/           links to the images, or copies        (written by alloop)
  README.txt        how to answer                         (written by alloop)
  withdrawn.jsonl   tasks that need no answer any more    (written by alloop)
  labels.jsonl      the answers                           (written by people)
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from alloop.annotation.answers import PREFIX, Answer, Sheet, read_answers
from alloop.annotation.files import locked, read_lines, write_atomically, write_lines
from alloop.annotation.folder_memory import remember
from alloop.annotation.instructions import instructions
from alloop.annotation.placing import image_name, place_images
from alloop.errors import ToolUnavailable
from alloop.images import header_size
from alloop.nouns import Batch, BatchItem, Box, Changes, Label, Lane, Prelabel, Refusal, Task

__all__ = ["FolderTool"]

Record = dict[str, Any]


class FolderTool:
    """An AnnotationTool made of files in `folder`, one folder per project.

    `images` says whether local images are linked or copied; remote ones are always copied. An answer's `updated_at`
    is what its line says, else the time labels.jsonl was changed when the answer was first seen there; a line that
    replaces another is always newer. So is a later line about the same sample, whoever wrote it, except where several
    people are to answer. `refused` names all lines that are wrong now, each time.
    """

    name = "folder"

    def __init__(
        self, folder: Path, *, labels: tuple[str, ...], task: Task, images: Literal["link", "copy"] = "link"
    ) -> None:
        self._folder = folder
        self._labels = labels
        self._task = task
        self._images = images

    def push(self, batch: Batch) -> Mapping[str, str]:
        """Write the batch's tasks in order of rank; {sample id: task ref}. ToolUnavailable when no image can be read."""
        folder = self._folder / f"batch-{batch.cycle:04d}"
        with locked(folder):
            tasks = {task["sample"]: task for task in _all_tasks(folder)}
            fresh = [item for item in batch.items if item.sample.id not in tasks]
            taken = {task["ref"] for task in tasks.values()}
            for item in sorted(fresh, key=lambda item: item.rank):
                tasks[item.sample.id] = _task(item, _ref(folder.name, item.sample.id, taken=taken))
                taken.add(tasks[item.sample.id]["ref"])
            place_images(folder, [(task["uri"], task["image"]) for task in tasks.values()], how=self._images)
            if not (folder / "README.txt").exists():
                write_atomically(folder / "README.txt", instructions(self._task, self._labels).encode())
            _write_open(folder, tasks.values())
        return {item.sample.id: tasks[item.sample.id]["ref"] for item in batch.items}

    def changed_since(self, cursor: str) -> Changes:
        """All answers in the labels.jsonl files that are new or changed, and the lines that cannot be used."""
        marks = json.loads(cursor) if cursor else {}
        parts = {folder.name: self._changes(folder, marks.get(folder.name, 0)) for folder in self._folders()}
        return Changes(
            labels=tuple(label for part in parts.values() for label in part.labels),
            cursor=json.dumps({name: int(part.cursor) for name, part in parts.items()}),
            refused=tuple(refusal for part in parts.values() for refusal in part.refused),
            present=frozenset(ref for part in parts.values() for ref in part.present or ()),
            is_mended=lambda where: True,  # noqa: ARG005  # every line was read again
        )

    def withdraw(self, refs: Collection[str]) -> None:
        """Move these tasks to withdrawn.jsonl unless somebody answered them; an answer that comes later still counts."""
        unwanted = frozenset(refs)
        for folder in self._folders():
            with locked(folder):
                answered = self._answered(folder)
                gone = [t for t in _open_tasks(folder) if t["ref"] in unwanted and t["sample"] not in answered]
                if gone:
                    write_lines(folder / "withdrawn.jsonl", [*read_lines(folder / "withdrawn.jsonl"), *gone])
                    _write_open(folder, read_lines(folder / "tasks.jsonl"))

    def publish_model(self, version: str, predictions: Mapping[str, Prelabel]) -> None:
        """Renew the pre-labels of unanswered tasks; a task that was pushed without one never gets one."""
        fresh = {sample: replace(prelabel, model_version=version) for sample, prelabel in predictions.items()}
        for folder in self._folders():
            with locked(folder):
                tasks, answered = _open_tasks(folder), self._answered(folder)
                for task in tasks:
                    if task["prelabel"] and task["sample"] in fresh and task["sample"] not in answered:
                        task["prelabel"] = _prelabel(fresh[task["sample"]])
                _write_open(folder, tasks)

    def _folders(self) -> list[Path]:
        return sorted(path.parent for path in self._folder.glob("batch-*/tasks.jsonl"))

    def _sheet(self, folder: Path) -> Sheet:
        tasks = {task["sample"]: task for task in _all_tasks(folder)}
        return Sheet(
            self._task,
            self._labels,
            samples={task["ref"]: sample for sample, task in tasks.items()},
            named=frozenset(sample for sample, task in tasks.items() if _needs_names(task)),
            size_of=lambda sample: header_size(folder / tasks[sample]["image"]),
        )

    def _answered(self, folder: Path) -> set[str]:
        return {answer.sample_id for answer in _read(folder, self._sheet(folder))[0].values()}

    def _changes(self, folder: Path, mark: int) -> Changes:
        with locked(folder):
            sheet = self._sheet(folder)
            answers, refused = _read(folder, sheet)
            seen = remember(folder, answers, shared=sheet.named)
        last = max((entry["number"] for entry in seen.values()), default=0)
        after = mark if mark <= last else 0  # the memory was deleted: tell everything again
        news = sorted((seen[ref]["number"], ref) for ref in answers if seen[ref]["number"] > after)
        return Changes(
            labels=tuple(_label(ref, answers[ref], seen[ref]["updated_at"]) for _, ref in news),
            cursor=str(last),
            refused=tuple(Refusal(f"{folder.name}/labels.jsonl:{line}", reason) for line, reason in refused),
            present=frozenset(answers),
        )


def _open_tasks(folder: Path) -> list[Record]:
    withdrawn = {task["ref"] for task in read_lines(folder / "withdrawn.jsonl")}
    return [task for task in read_lines(folder / "tasks.jsonl") if task["ref"] not in withdrawn]


def _all_tasks(folder: Path) -> list[Record]:
    return [*_open_tasks(folder), *read_lines(folder / "withdrawn.jsonl")]


def _write_open(folder: Path, tasks: Iterable[Record]) -> None:
    withdrawn = {task["ref"] for task in read_lines(folder / "withdrawn.jsonl")}
    wanted = sorted((task for task in tasks if task["ref"] not in withdrawn), key=lambda task: task["rank"])
    if wanted != read_lines(folder / "tasks.jsonl"):
        write_lines(folder / "tasks.jsonl", wanted)


def _ref(batch: str, sample: str, *, taken: Collection[str]) -> str:
    short = f"{batch}/{sample[:PREFIX]}"
    return f"{batch}/{sample}" if short in taken else short


def _task(item: BatchItem, ref: str) -> Record:
    return {
        "sample": item.sample.id,
        "ref": ref,
        "uri": item.sample.uri,
        "image": image_name(item.rank, ref.rpartition("/")[2], uri=item.sample.uri),
        "rank": item.rank,
        "lane": str(item.lane),
        "prelabel": item.shown and _prelabel(item.shown),
    } | ({"annotators": item.annotators} if item.annotators > 1 else {})


def _needs_names(task: Record) -> bool:
    """Whether it matters who answers: somebody else does too, or has done so before."""
    return "annotators" in task or task["lane"] == Lane.RELABEL.value


def _prelabel(prelabel: Prelabel) -> Record:
    content = prelabel.content
    said = {"boxes": list(map(_box, content.boxes))} if content.class_name is None else {"label": content.class_name}
    return {**said, "confidence": prelabel.confidence, "model_version": prelabel.model_version}


def _box(box: Box) -> Record:
    corners = {"label": box.class_name, "x0": box.x0, "y0": box.y0, "x1": box.x1, "y1": box.y1}
    return corners | ({"polygon": [list(point) for point in box.polygon]} if box.polygon else {})


def _read(folder: Path, sheet: Sheet) -> tuple[dict[str, Answer], list[tuple[int, str]]]:
    """{ref: the last answer of each annotator to each sample} in the order of their lines, and the lines that are refused."""
    raw, age_s = _raw_labels(folder)
    answers, refused = read_answers(raw, sheet, age_s=age_s)
    found: dict[str, Answer] = {}
    for answer in answers:
        ref = f"{sheet.ref_of(answer.sample_id)}/{answer.annotator}"
        found.pop(ref, None)  # it stands where its last line does
        found[ref] = answer
    return found, refused


def _raw_labels(folder: Path) -> tuple[bytes, float]:
    """What people wrote, and for how many seconds now nobody has gone on."""
    path = folder / "labels.jsonl"
    try:
        raw = path.read_bytes()
        return raw, time.time() - path.stat().st_mtime  # looked at after reading: what was read is no younger
    except FileNotFoundError:
        return b"", 0.0
    except OSError as error:
        raise ToolUnavailable(f"{folder / 'labels.jsonl'} cannot be read ({error}); check its permissions") from error


def _label(ref: str, answer: Answer, updated_at: str) -> Label:
    return Label(
        sample_id=answer.sample_id,
        annotator=answer.annotator,
        outcome=answer.outcome,
        ref=ref,
        updated_at=datetime.fromisoformat(updated_at),
        content=answer.content,
        lead_time_s=answer.lead_time_s,
    )
