"""Reading COCO files: boxes, outlines and masks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from alloop.errors import BadLabel
from alloop.formats.boxes import around, fitted
from alloop.formats.coco_index import CocoIndex, Listed, open_index
from alloop.formats.masks import mask_outline
from alloop.manifest import Drawn
from alloop.nouns import Box, Content, Polygon, Task
from alloop.outlines import joined

__all__ = ["CocoLabels", "open_coco"]


class CocoLabels:
    """The labels of an open COCO file; a listed image without annotations was looked at, and there is nothing on it."""

    def __init__(self, index: CocoIndex, file: Path, task: Task) -> None:
        self._index, self._file, self._task = index, file, task

    def of(self, uri: str) -> Drawn | None:
        """What was drawn into the image at `uri`; None when the file does not list it."""
        listed = self._index.find(uri)
        if listed is None:
            return None
        names = frozenset(self._index.categories[one["category_id"]] for one in listed.annotations)
        return Drawn(names, str(self._file), partial(self._content, listed))

    def listed(self) -> Iterator[str]:
        """The images that the file lists."""
        return self._index.uris()

    def _content(self, listed: Listed, width: int, height: int) -> Content:
        _check_size(listed, width, height, self._file)
        boxes = []
        for one in listed.annotations:
            where = f"{self._file}: annotation {one['id']!r}"
            if one.get("iscrowd"):
                raise BadLabel(f"{where} is a crowd and no single object; draw its objects, or remove it")
            name = self._index.categories[one["category_id"]]
            boxes.append((where, _box(one, name, self._task, size=(width, height), where=where)))
        return fitted(boxes, width, height)


@contextmanager
def open_coco(file: Path, images: str, task: Task) -> Iterator[CocoLabels]:
    """The labels of a COCO file whose `file_name`s start from the folder `images`; BadManifest when it is none."""
    with open_index(file, images) as index:
        yield CocoLabels(index, file, task)


def _check_size(listed: Listed, width: int, height: int, file: Path) -> None:
    stated = (listed.width or width, listed.height or height)
    if stated == (width, height):
        return
    turned = "; it lies on its side, turn the file upright" if stated == (height, width) else "; name the right image"
    raise BadLabel(
        f"{file} speaks of {stated[0]} x {stated[1]} pixels, and the image has {width} x {height} when upright{turned}"
    )


def _box(one: dict[str, Any], name: str, task: Task, *, size: tuple[int, int], where: str) -> Box:
    """The box as the file gives it; the one around its outline where it gives none."""
    corners = _corners(one.get("bbox"), where)
    if corners is not None and task is not Task.SEGMENT:
        return Box(name, *corners)
    polygon = _polygon(one.get("segmentation"), size=size, where=where)
    if corners is None and not polygon:
        raise BadLabel(f"{where} has neither a bbox nor a segmentation; mend or remove it")
    box = Box(name, *corners, polygon) if corners is not None else around(polygon, name)
    return box if task is Task.SEGMENT else replace(box, polygon=())


def _corners(bbox: Any, where: str) -> tuple[float, float, float, float] | None:
    if bbox is None or bbox == []:
        return None
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise BadLabel(f"{where} has the bbox {str(bbox)[:80]}, which is not four numbers; mend it")
    x, y, width, height = map(float, bbox)
    return x, y, x + width, y + height


def _polygon(segmentation: Any, *, size: tuple[int, int], where: str) -> Polygon:
    if not segmentation:
        return ()
    if isinstance(segmentation, dict):
        return mask_outline(segmentation, width=size[0], height=size[1], where=where)
    if not isinstance(segmentation, list):
        raise BadLabel(f"{where} has a segmentation that is neither outlines nor a mask; mend it")
    return joined([_ring(ring, where) for ring in segmentation])


def _ring(ring: Any, where: str) -> Polygon:
    if not isinstance(ring, list) or len(ring) < 6 or len(ring) % 2 or not all(map(_is_number, ring)):
        raise BadLabel(f"{where} has the outline {str(ring)[:80]}, which is not three or more pairs; mend it")
    return tuple((float(x), float(y)) for x, y in zip(ring[::2], ring[1::2], strict=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
