"""Writing COCO files, a line per image and per annotation."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from alloop.formats.placing import Item
from alloop.nouns import Box, Polygon

__all__ = ["write_coco"]


def write_coco(placed: Sequence[tuple[str, Item]], file: Path, labels: Sequence[str]) -> None:
    """Write the labels of (image name, item) to a COCO file; ids count from 1, categories in the order of the label set."""
    numbers = {name: number for number, name in enumerate(labels, start=1)}
    with file.open("w", encoding="utf-8") as out:
        out.write('{"info": {"description": "labels set out by alloop"},\n')
        _write(out, "categories", ({"id": number, "name": name} for name, number in numbers.items()))
        out.write(",\n")
        _write(out, "images", (_image(number, *one) for number, one in enumerate(placed, start=1)))
        out.write(",\n")
        _write(out, "annotations", _annotations(placed, numbers))
        out.write("}\n")


def _write(out: TextIO, name: str, records: Iterable[dict[str, Any]]) -> None:
    out.write(f'"{name}": [')
    for number, record in enumerate(records):
        out.write(",\n" if number else "\n")
        out.write(json.dumps(record, ensure_ascii=False))
    out.write("]")


def _image(number: int, name: str, item: Item) -> dict[str, Any]:
    return {"id": number, "file_name": name, "width": item.width, "height": item.height}


def _annotations(placed: Sequence[tuple[str, Item]], numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    boxes = ((image, box) for image, (_, item) in enumerate(placed, start=1) for box in item.content.boxes)
    for number, (image, box) in enumerate(boxes, start=1):
        known = {"id": number, "image_id": image, "category_id": numbers[box.class_name], "iscrowd": 0}
        yield known | _shape(box)


def _shape(box: Box) -> dict[str, Any]:
    width, height = box.x1 - box.x0, box.y1 - box.y0
    bbox = [box.x0, box.y0, width, height]
    if not box.polygon:
        return {"bbox": bbox, "area": width * height}
    outline = [value for point in box.polygon for value in point]
    return {"bbox": bbox, "area": _area(box.polygon), "segmentation": [outline]}


def _area(polygon: Polygon) -> float:
    """The area within an outline in square pixels (the shoelace formula)."""
    following = (*polygon[1:], polygon[0])
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(polygon, following, strict=True))) / 2
