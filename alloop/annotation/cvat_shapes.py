"""What an annotation says ⇄ CVAT's shapes and tags: pixels of the upright image on both sides."""

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from alloop.annotation.cvat_client import Record
from alloop.annotation.cvat_schema import UNCLEAR
from alloop.annotation.form import Form
from alloop.errors import BadLabel
from alloop.nouns import Box, Content, Outcome, Polygon, Prelabel, Task
from alloop.outlines import outline

__all__ = ["AUTO", "Marks", "check_prelabel", "read_marks", "write_prelabel"]

Size = tuple[int, int]
Points = Sequence[tuple[float, float]]
AUTO = "auto"
"""The source of what a model drew; what people change gets another one."""
DIGITS = 3
"""Decimals of a pixel that are kept."""


@dataclass(frozen=True)
class Marks:
    """What lies on one frame: shapes and tags as CVAT tells them, and whether a track runs over it."""

    shapes: list[Record] = field(default_factory=list)
    tags: list[Record] = field(default_factory=list)
    tracked: bool = False

    def by_people(self) -> bool:
        """Whether anything on it was drawn or changed by somebody."""
        return self.tracked or any(mark.get("source") != AUTO for mark in (*self.shapes, *self.tags))


def check_prelabel(prelabel: Prelabel, form: Form) -> None:
    """BadLabel when it names a class outside the label set, or a number is not finite: that is a fault of the model."""
    content = prelabel.content
    names = [content.class_name] if form.task is Task.CLASSIFY else [box.class_name for box in content.boxes]
    for name in names:
        if name not in form.labels:
            raise BadLabel(
                f"a pre-label says {name!r}, which is not in the label set; train the model on this label set"
            )
    corners = [number for box in content.boxes for number in (box.x0, box.y0, box.x1, box.y1, *sum(box.polygon, ()))]
    if not all(map(math.isfinite, (prelabel.confidence, *corners))):
        raise BadLabel(f"model {prelabel.model_version} gives numbers that are not finite; train it again")


def write_prelabel(prelabel: Prelabel, form: Form, size: Size) -> tuple[list[Record], list[Record]]:
    """(shapes, tags) that show a pre-label on an image of `size` (width, height), with the label's name as `label`.

    Boxes are cut at the edge of the image; without area inside it they are left out, since a pre-label is only a help.
    """
    content, score = prelabel.content, min(max(prelabel.confidence, 0.0), 1.0)
    if form.task is Task.CLASSIFY:
        return [], [{"label": content.class_name, "source": AUTO}]  # CVAT keeps no score of a tag
    write = _rectangle if form.task is Task.DETECT else _polygon
    drawn = [(box.class_name, write(box, size)) for box in content.boxes]
    return [shape | {"label": name, "source": AUTO, "score": score} for name, shape in drawn if shape is not None], []


def _rectangle(box: Box, size: Size) -> Record | None:
    (x0, y0), (x1, y1) = _inside([(box.x0, box.y0), (box.x1, box.y1)], size)
    return {"type": "rectangle", "points": [x0, y0, x1, y1]} if x0 < x1 and y0 < y1 else None


def _polygon(box: Box, size: Size) -> Record | None:
    corners = box.polygon or ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
    inside = _inside(corners, size)
    columns, rows = [x for x, _ in inside], [y for _, y in inside]
    if min(columns) >= max(columns) or min(rows) >= max(rows):
        return None
    return {"type": "polygon", "points": [number for point in inside for number in point]}


def read_marks(marks: Marks, form: Form, size: Size, names: Mapping[int, str]) -> tuple[Outcome, Content | None]:
    """What a finished frame of `size` (width, height) says; `names` are those of the label ids.

    A turned rectangle becomes the upright box around it; a mask becomes the box and the outline of its pixels. For a
    classifier no tag is a skip, and a tag that somebody added beats the model's. BadLabel when any part of it cannot be
    used: half an answer would be a wrong one.
    """
    people = [names.get(tag["label_id"], "") for tag in marks.tags if tag.get("source") != AUTO]
    if UNCLEAR in people:
        return Outcome.UNCLEAR, None
    if marks.tracked:
        raise BadLabel("a track runs over the frame, and alloop reads single shapes; draw them as shapes")
    model = [names.get(tag["label_id"], "") for tag in marks.tags if tag.get("source") == AUTO]
    chosen = sorted({name for name in people or model if name != UNCLEAR})
    if form.task is Task.CLASSIFY:
        if marks.shapes:
            raise BadLabel(f"{len(marks.shapes)} shapes lie on the frame, and a tag is asked for; remove them")
        return (Outcome.LABELLED, Content(_only(chosen, form.labels))) if chosen else (Outcome.SKIPPED, None)
    if chosen:
        raise BadLabel(f"the frame has the tag {chosen[0]!r}, and shapes are asked for; remove it")
    return Outcome.LABELLED, Content(boxes=tuple(_box(shape, form, size, names) for shape in marks.shapes))


def _only(chosen: Sequence[str], labels: Sequence[str]) -> str:
    if len(chosen) != 1:
        raise BadLabel(f"the frame has the tags {', '.join(map(repr, chosen))} instead of one; keep one")
    return _known(chosen[0], labels)


def _known(name: str, labels: Sequence[str]) -> str:
    if name not in labels:
        raise BadLabel(f"label {name!r} is not in the label set; use one of {', '.join(labels)}")
    return name


def _box(shape: Record, form: Form, size: Size, names: Mapping[int, str]) -> Box:
    readable = READABLE[form.task]
    if shape["type"] not in readable:
        raise BadLabel(f"a shape is of the kind {shape['type']!r}; alloop reads {', '.join(readable)}")
    numbers = shape.get("points") or []
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        raise BadLabel("a shape has points that are not finite numbers; draw it again")
    name = _known(names.get(shape["label_id"], ""), form.labels)
    return READERS[shape["type"]](name, shape, size)


def _read_rectangle(name: str, shape: Record, size: Size) -> Box:
    if len(shape["points"]) != 4:
        raise BadLabel(f"a rectangle has {len(shape['points'])} numbers instead of 4; draw it again")
    x0, y0, x1, y1 = shape["points"]
    turn = math.radians(shape.get("rotation") or 0.0)
    along, across = abs(math.cos(turn)), abs(math.sin(turn))
    width, height = along * (x1 - x0) + across * (y1 - y0), across * (x1 - x0) + along * (y1 - y0)
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)  # CVAT turns about it
    ends = [(middle[0] + side * width / 2, middle[1] + side * height / 2) for side in (-1, 1)]
    return _around(name, ends, size)


def _read_polygon(name: str, shape: Record, size: Size) -> Box:
    numbers = shape["points"]
    if len(numbers) < 6 or len(numbers) % 2:
        raise BadLabel("a polygon is not three or more points; remove it or draw it again")
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    return replace(_around(name, corners, size), polygon=_inside(corners, size))


def _read_mask(name: str, shape: Record, size: Size) -> Box:
    """A mask is run lengths of 0 and 1 in its own box, row by row, then that box: left, top, right, bottom, all within."""
    if len(shape["points"]) < 5:
        raise BadLabel(f"a mask has {len(shape['points'])} numbers, and no pixels; draw it again")
    *runs, left, top, right, bottom = shape["points"]
    if not (0 <= left <= right < size[0] and 0 <= top <= bottom < size[1]):
        raise BadLabel(f"a mask lies outside its image of {size[0]} x {size[1]} pixels; draw it again")
    width, height = int(right - left) + 1, int(bottom - top) + 1
    unpack = importlib.import_module("cvat_sdk.masks").decode_mask
    try:
        pixels = unpack([*runs, 0, 0, width - 1, height - 1], image_width=width, image_height=height)
    except ValueError as error:
        raise BadLabel(f"a mask cannot be unpacked ({error}); draw it again") from None
    if not pixels.any():
        raise BadLabel("a mask is empty; remove it")
    line = [(x + left, y + top) for x, y in outline(pixels)]
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    first, last = (columns[0] + left, rows[0] + top), (columns[-1] + left + 1, rows[-1] + top + 1)
    return replace(_around(name, [first, last], size), polygon=_inside(line, size))


READERS: Mapping[str, Callable[[str, Record, Size], Box]] = {
    "rectangle": _read_rectangle,
    "polygon": _read_polygon,
    "mask": _read_mask,
}
READABLE: Mapping[Task, tuple[str, ...]] = {Task.DETECT: tuple(READERS), Task.SEGMENT: ("polygon", "mask")}
"""A rectangle says where an object is, and not what its outline is."""


def _inside(points: Iterable[tuple[Any, Any]], size: Size) -> Polygon:
    """The points, cut at the edge of the image."""
    return tuple((_within(x, size[0]), _within(y, size[1])) for x, y in points)


def _within(number: float, side: int) -> float:
    return round(min(max(float(number), 0.0), float(side)), DIGITS)


def _around(name: str, points: Points, size: Size) -> Box:
    """The box around points in pixels, inside the image; BadLabel without area."""
    inside = _inside(points, size)
    columns, rows = [x for x, _ in inside], [y for _, y in inside]
    x0, y0, x1, y1 = min(columns), min(rows), max(columns), max(rows)
    if x0 >= x1 or y0 >= y1:
        raise BadLabel(f"a shape labelled {name!r} has no area inside the image; remove it or draw it again")
    return Box(name, x0, y0, x1, y1)
