"""What an annotation says ⇄ Label Studio's result JSON: percent of the image there, pixels of the upright image here."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alloop.annotation.form import Form
from alloop.annotation.label_studio_masks import decode_mask
from alloop.annotation.label_studio_schema import CONTROLS, IMAGE, OUTCOME, UNCLEAR
from alloop.errors import BadLabel
from alloop.nouns import Box, Content, Outcome, Polygon, Prelabel, Task
from alloop.outlines import outline

__all__ = ["read_results", "write_results"]

Result = dict[str, Any]
Size = tuple[int, int]
SKEW = 0.02
"""A picture whose sides differ by more than this share from the sample's was another picture, or was turned."""
DIGITS = 3
"""Decimals of a pixel that are kept: percents are not exact."""


def write_results(prelabel: Prelabel, form: Form, size: Size | None) -> list[Result]:
    """The regions that show a pre-label; boxes are cut at the edge of the image of `size` (width, height).

    BadLabel when it names a class outside the label set, or a number is not finite: that is a fault of the model. A box
    without any area inside the image is left out, since a pre-label is only a help.
    """
    content, sure = prelabel.content, prelabel.confidence
    if not math.isfinite(sure):
        raise BadLabel(f"model {prelabel.model_version} is sure by {sure}; train it again")
    if form.task is Task.CLASSIFY:
        _check_class(content.class_name, form.labels)
        return [_region("label", "choices", {"choices": [content.class_name]}, score=sure)]
    if content.boxes and size is None:
        raise BadLabel("a pre-label has boxes, but the size of its image is not known; add the image to the pool again")
    write = _rectangle if form.task is Task.DETECT else _polygon
    regions = [write(box, size, form.labels) for box in content.boxes if size is not None]
    return [
        _region(name, kind, value, score=sure) | {"id": f"alloop-{number}"}
        for number, (name, kind, value) in enumerate(region for region in regions if region is not None)
    ]


def _region(name: str, kind: str, value: Result, *, score: float) -> Result:
    return {"from_name": name, "to_name": IMAGE, "type": kind, "value": value, "score": score}


def _rectangle(box: Box, size: Size, labels: Sequence[str]) -> tuple[str, str, Result] | None:
    inside = _cut(box, size, labels)
    if inside is None:
        return None
    x0, y0, x1, y1 = inside
    value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": [box.class_name]}
    return "label", "rectanglelabels", value


def _polygon(box: Box, size: Size, labels: Sequence[str]) -> tuple[str, str, Result] | None:
    inside = _cut(box, size, labels)
    if inside is None:
        return None
    x0, y0, x1, y1 = inside
    points = [_percent(point, size) for point in box.polygon] or [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    return "polygon", "polygonlabels", {"points": points, "closed": True, "polygonlabels": [box.class_name]}


def _cut(box: Box, size: Size, labels: Sequence[str]) -> tuple[float, ...] | None:
    """The corners in percent, inside the image; None without area there."""
    _check_class(box.class_name, labels)
    numbers = (box.x0, box.y0, box.x1, box.y1, *(number for point in box.polygon for number in point))
    if not all(map(math.isfinite, numbers)):
        raise BadLabel(f"a pre-label has the box {numbers[:4]}, which is not finite; train the model again")
    x0, y0, x1, y1 = (*_percent((box.x0, box.y0), size), *_percent((box.x1, box.y1), size))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _percent(point: tuple[float, float], size: Size) -> list[float]:
    return [100 * min(max(number, 0.0), side) / side for number, side in zip(point, size, strict=True)]


def _check_class(name: str | None, labels: Sequence[str]) -> None:
    if name not in labels:
        raise BadLabel(f"a pre-label says {name!r}, which is not in the label set; train the model on this label set")


def read_results(results: Sequence[Result], form: Form, size: Size | None) -> tuple[Outcome, Content | None]:
    """What a submitted annotation says of an image of `size` (width, height); without it, as the browser measured it.

    A turned rectangle becomes the upright box around it. A brush stroke becomes the box and the outline of its paint.
    BadLabel when any part of it cannot be used: half an answer would be a wrong one.
    """
    told = [result for result in results if result.get("type") != "relation"]
    if any(_is_unclear(result, form.task) for result in told):
        return Outcome.UNCLEAR, None
    if form.task is Task.CLASSIFY:
        return Outcome.LABELLED, Content(class_name=_choice(told, form.labels))
    return Outcome.LABELLED, Content(boxes=tuple(_box(result, form, size) for result in told))


def _is_unclear(result: Result, task: Task) -> bool:
    control = "label" if task is Task.CLASSIFY else OUTCOME
    return result.get("from_name") == control and _value(result).get("choices") == [UNCLEAR]


def _choice(results: Sequence[Result], labels: Sequence[str]) -> str:
    chosen = [name for result in results for name in _value(result).get("choices", ["nothing known"])]
    if len(chosen) != 1:
        raise BadLabel(f"{len(chosen)} choices are made instead of one; open the task, choose one and update it")
    return _known(chosen, labels)


def _known(names: Any, labels: Sequence[str]) -> str:
    if not isinstance(names, list) or len(names) != 1:
        raise BadLabel(f"a region has the labels {names!r} instead of one; open the task and mend it")
    if names[0] not in labels:
        raise BadLabel(f"label {names[0]!r} is not in the label set; use one of {', '.join(labels)}")
    return str(names[0])


def _box(result: Result, form: Form, size: Size | None) -> Box:
    kind, readable = str(result.get("type")), {name.lower() for name in CONTROLS[form.task].values()}
    if kind not in readable:
        raise BadLabel(f"a region is of the kind {kind!r}; alloop reads {', '.join(sorted(readable))}")
    if result.get("image_rotation"):
        raise BadLabel(f"the image was turned by {result['image_rotation']} degrees; turn it back and mend the regions")
    value = _value(result)
    name = _known(value.get(kind), form.labels)
    seen = (_side(result, "original_width"), _side(result, "original_height"))
    read = READERS[kind]
    return read(name, value, _checked(seen, size))


def _side(result: Result, key: str) -> int:
    side = result.get(key)
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise BadLabel(f"a region has {key} {side!r}; open the task and update it")
    return side


def _checked(seen: Size, size: Size | None) -> tuple[Size, Size]:
    """(the picture as the browser measured it, the sample's size); BadLabel when they are not the same picture."""
    if size is None:
        return seen, seen
    across, down = seen[0] / size[0], seen[1] / size[1]
    if abs(across / down - 1) > SKEW:
        raise BadLabel(
            f"the regions lie on a picture of {seen[0]} x {seen[1]} pixels, the sample has {size[0]} x {size[1]}; "
            "check what is served as the image"
        )
    return seen, size


def _read_rectangle(name: str, value: Result, sizes: tuple[Size, Size]) -> Box:
    width, height = sizes[1]
    x, y, across, down = (_number(value, key) for key in ("x", "y", "width", "height"))
    turn = math.radians(_number({"rotation": 0} | value, "rotation"))
    # it turns about its top left corner, on the picture and not in percent
    right = np.array([math.cos(turn), math.sin(turn)]) * across / 100 * width
    below = np.array([-math.sin(turn), math.cos(turn)]) * down / 100 * height
    start = np.array([x / 100 * width, y / 100 * height])
    return _around(name, [tuple(start + step) for step in (0, right, below, right + below)], sizes[1])


def _read_polygon(name: str, value: Result, sizes: tuple[Size, Size]) -> Box:
    points = value.get("points")
    if not isinstance(points, list) or len(points) < 3 or any(not _is_pair(point) for point in points):
        raise BadLabel("a polygon is not three or more points; remove it or draw it again")
    width, height = sizes[1]
    corners = [(x / 100 * width, y / 100 * height) for x, y in points]
    return replace(_around(name, corners, sizes[1]), polygon=_inside(corners, sizes[1]))


def _read_brush(name: str, value: Result, sizes: tuple[Size, Size]) -> Box:
    if value.get("format") != "rle":
        raise BadLabel(f"a brush stroke has the format {value.get('format')!r} instead of 'rle'; draw it again")
    seen, size = sizes
    mask = decode_mask(value.get("rle", ()), seen)
    line = outline(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    stretch = (size[0] / seen[0], size[1] / seen[1])
    ends = [(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)]
    box = _around(name, [(x * stretch[0], y * stretch[1]) for x, y in ends], size)
    return replace(box, polygon=_inside([(x * stretch[0], y * stretch[1]) for x, y in line], size))


READERS: Mapping[str, Callable[[str, Result, tuple[Size, Size]], Box]] = {
    "rectanglelabels": _read_rectangle,
    "polygonlabels": _read_polygon,
    "brushlabels": _read_brush,
}


def _inside(points: Iterable[tuple[float, float]], size: Size) -> Polygon:
    """The points, cut at the edge of the image."""
    return tuple((_within(x, size[0]), _within(y, size[1])) for x, y in points)


def _within(number: float, side: int) -> float:
    return round(min(max(float(number), 0.0), float(side)), DIGITS)


def _around(name: str, points: Sequence[tuple[float, float]], size: Size) -> Box:
    """The box around points in pixels, inside the image; BadLabel without area."""
    inside = _inside(points, size)
    columns, rows = [x for x, _ in inside], [y for _, y in inside]
    x0, y0, x1, y1 = min(columns), min(rows), max(columns), max(rows)
    if x0 >= x1 or y0 >= y1:
        raise BadLabel(f"a region labelled {name!r} has no area inside the image; remove it or draw it again")
    return Box(name, x0, y0, x1, y1)


def _value(result: Result) -> Result:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _is_pair(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(map(_is_number, point))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Result, key: str) -> float:
    if not _is_number(value.get(key)):
        raise BadLabel(f"a rectangle has {key} {value.get(key)!r}; remove it or draw it again")
    return float(value[key])
