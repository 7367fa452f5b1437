"""The lines of a labels.jsonl: answers, and the reasons why some are refused."""

import json
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alloop.errors import BadLabel
from alloop.nouns import Box, Content, Outcome, Task

__all__ = ["Answer", "Sheet", "read_answers"]

PREFIX = 12
"""As many characters of a sample id are enough to name it."""
ANSWER_KEYS = ("sample", "label", "boxes", "outcome", "annotator", "lead_time_s", "updated_at")
BOX_KEYS = ("label", "x0", "y0", "x1", "y1")
OUTCOMES = (Outcome.LABELLED, Outcome.UNCLEAR, Outcome.SKIPPED, Outcome.REJECTED)
DISTANT = 1e9
"""No lead time in seconds and no coordinate in pixels reaches this."""
DISTANT_YEAR = 9999
"""Nor does a date: the moment after the last one of that year cannot be written."""
STILL_WRITING_S = 10.0
"""A program that writes a line goes on within this time."""


@dataclass(frozen=True)
class Answer:
    """What one good line says; `updated_at` is aware UTC, None when the line does not tell."""

    sample_id: str
    annotator: str
    outcome: Outcome
    content: Content | None
    lead_time_s: float | None
    updated_at: datetime | None


class Sheet:
    """What may be answered in one batch: the task, its label set, and the samples of one batch {task ref: sample id}.

    Answers to the samples in `named` must say who gives them. `size_of` gives the (width, height) in pixels of a sample's image, None when it is not known.
    """

    def __init__(
        self,
        task: Task,
        labels: tuple[str, ...],
        *,
        samples: Mapping[str, str],
        named: Collection[str] = (),
        size_of: Callable[[str], tuple[int, int] | None],
    ) -> None:
        self.task = task
        self.labels = labels
        self.named = named
        self.size_of = size_of
        self._refs = {sample: ref for ref, sample in samples.items()}
        self._names = dict(samples) | {sample: sample for sample in samples.values()}
        self._ids = sorted(samples.values())

    def ref_of(self, sample_id: str) -> str:
        """The task ref of a sample of this batch."""
        return self._refs[sample_id]

    def sample_id(self, name: str) -> str:
        """The sample called `name`: its ref, its id, or the first 12 or more characters of the id; BadLabel if none."""
        if name in self._names:
            return self._names[name]
        first = bisect_left(self._ids, name)
        near = [sample for sample in self._ids[first : first + 2] if sample.startswith(name)]
        if len(name) < PREFIX or not near:
            raise BadLabel(f"sample {_show(name)} is not in this batch; take the sample from its tasks.jsonl")
        if len(near) > 1:
            raise BadLabel(f"sample {_show(name)} names two samples of this batch; write the whole id")
        return near[0]


class Unreadable(BadLabel):
    """A line that is no JSON object; as the last line it may be half-written."""


def read_answers(raw: bytes, sheet: Sheet, *, age_s: float) -> tuple[list[Answer], list[tuple[int, str]]]:
    """The good lines of `raw` in their order, and (line number, reason) of the others.

    An unreadable last line without its newline is still being written, and in neither, until the file has not been changed
    for more than `STILL_WRITING_S`: `age_s` is how long that is.
    """
    answers, refused = [], []
    lines = raw.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            answers.append(_answer(_fields(line), sheet))
        except BadLabel as error:
            if number < len(lines) or not isinstance(error, Unreadable) or age_s > STILL_WRITING_S:
                refused.append((number, str(error)))
    return answers, refused


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{_show(line.decode(errors='replace'))} is not JSON ({error}); mend the line") from error
    if not isinstance(fields, dict):
        raise Unreadable(f'{_show(fields)} is not a JSON object; write {{"sample": …, "label": …}}')
    return {key: value for key, value in fields.items() if value is not None}


def _answer(fields: dict[str, Any], sheet: Sheet) -> Answer:
    _check_keys(fields, ANSWER_KEYS, needed=("sample",))
    sample = sheet.sample_id(_text(fields, "sample"))
    if "annotator" not in fields and sample in sheet.named:
        raise BadLabel(f'sample {_show(fields["sample"])} is for several people; add your name as "annotator"')
    outcome = _outcome(fields)
    return Answer(
        sample_id=sample,
        annotator=_text({"annotator": "folder"} | fields, "annotator"),
        outcome=outcome,
        content=_content(fields, sheet, sample) if outcome is Outcome.LABELLED else None,
        lead_time_s=_number(fields, "lead_time_s") if "lead_time_s" in fields else None,
        updated_at=_time(fields["updated_at"]) if "updated_at" in fields else None,
    )


def _outcome(fields: dict[str, Any]) -> Outcome:
    stated = fields.get("outcome", Outcome.LABELLED)
    if stated not in OUTCOMES:
        raise BadLabel(f"unknown outcome {_show(stated)}; use one of {_listed(OUTCOMES)}")
    if stated != Outcome.LABELLED and fields.keys() & {"label", "boxes"}:
        raise BadLabel(f"the outcome is {_show(stated)}, yet there is a label too; remove one of them")
    return Outcome(stated)


def _content(fields: dict[str, Any], sheet: Sheet, sample: str) -> Content:
    wanted, unwanted = ("label", "boxes") if sheet.task is Task.CLASSIFY else ("boxes", "label")
    if unwanted in fields:
        raise BadLabel(f"'{unwanted}' is no answer to the task {sheet.task}; write '{wanted}' instead")
    if wanted not in fields:
        raise BadLabel(f"there is neither '{wanted}' nor an outcome such as \"unclear\"; add one of them")
    if sheet.task is Task.CLASSIFY:
        return Content(class_name=_label(fields["label"], sheet.labels))
    if not isinstance(fields["boxes"], list):
        raise BadLabel(f"boxes {_show(fields['boxes'])} is not a list; write [] when nothing is to be seen")
    return Content(boxes=tuple(_box(box, sheet, sample) for box in fields["boxes"]))


def _box(box: Any, sheet: Sheet, sample: str) -> Box:
    if not isinstance(box, dict):
        raise BadLabel(f'box {_show(box)} is not an object; write {{"label": …, "x0": …, "y0": …, "x1": …, "y1": …}}')
    _check_keys(box, (*BOX_KEYS, "polygon") if sheet.task is Task.SEGMENT else BOX_KEYS, needed=BOX_KEYS)
    x0, y0, x1, y1 = (_number(box, key) for key in BOX_KEYS[1:])
    if x1 <= x0 or y1 <= y0:
        raise BadLabel(f"box {_show(box)} has no area; x1 must be greater than x0, and y1 than y0")
    polygon = _polygon(box.get("polygon"))
    width, height = sheet.size_of(sample) or (DISTANT, DISTANT)
    if any(x > width or y > height for x, y in ((x1, y1), *polygon)):
        raise BadLabel(f"box {_show(box)} reaches outside the image of {width} x {height} pixels; keep it inside")
    return Box(_label(box["label"], sheet.labels), x0, y0, x1, y1, polygon)


def _polygon(points: Any) -> tuple[tuple[float, float], ...]:
    if points is None:
        return ()
    if not isinstance(points, list) or len(points) < 3 or any(not isinstance(p, list) or len(p) != 2 for p in points):
        raise BadLabel(f"polygon {_show(points)} is not a list of three or more [x, y]; mend it")
    return tuple((_number({"x": x}, "x"), _number({"y": y}, "y")) for x, y in points)


def _label(stated: Any, labels: tuple[str, ...]) -> str:
    if not isinstance(stated, str) or stated not in labels:
        raise BadLabel(f"label {_show(stated)} is not in the label set; use one of {_listed(labels)}")
    return stated


def _check_keys(fields: dict[str, Any], known: tuple[str, ...], *, needed: tuple[str, ...]) -> None:
    for key in fields:
        if key not in known:
            raise BadLabel(f"unknown key {_show(key)}; known are {_listed(known)}")
    for key in needed:
        if key not in fields:
            raise BadLabel(f"'{key}' is missing in {_show(fields)}; add it")


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise BadLabel(f"{key} {_show(value)} is not a line of text; mend it")
    return value


def _number(fields: dict[str, Any], key: str) -> float:
    value = fields[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < DISTANT:
        raise BadLabel(f"{key} {_show(value)} is not a number from 0 on; mend it")
    return float(value)


def _time(stated: Any) -> datetime:
    try:
        time = datetime.fromisoformat(stated)
    except (TypeError, ValueError):
        raise BadLabel(f"updated_at {_show(stated)} is no ISO time; write it like 2026-01-31T12:00:00Z") from None
    if time.tzinfo is None:
        raise BadLabel(f"updated_at {_show(stated)} has no time zone; append Z for UTC, or its offset")
    try:
        at = time.astimezone(UTC)
    except OverflowError:
        at = datetime.max.replace(tzinfo=UTC)
    if at.year >= DISTANT_YEAR:
        raise BadLabel(f"updated_at {_show(stated)} is out of range; write a time of our days")
    return at


def _show(value: Any) -> str:
    text = (
        json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    )  # half a surrogate pair cannot be stored
    return text if len(text) <= 80 else text[:79] + "…"


def _listed(values: Iterable[str]) -> str:
    names = list(values)
    shown = ", ".join(_show(str(name)) for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
