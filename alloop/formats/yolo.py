"""Reading YOLO: one text file per image, a line per object in shares of the image's width and height."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from alloop.errors import BadLabel
from alloop.formats.boxes import around, fitted
from alloop.formats.files import Find, below, read_text
from alloop.manifest import Drawn
from alloop.nouns import Box, Content, Task

__all__ = ["YoloLabels", "as_ultralytics"]

Line = tuple[str, str, tuple[float, ...]]
"""Where it stands, the class, and its numbers."""


class YoloLabels:
    """The labels in text files, each found by its image; an empty one says that there is nothing to be seen."""

    def __init__(self, find: Find, names: Mapping[int, str], task: Task) -> None:
        self._find, self._names, self._task = find, names, task

    def of(self, uri: str) -> Drawn | None:
        """What was drawn into the image at `uri`; None when it has no file."""
        path = self._find(uri)
        if path is None:
            return None
        texts = enumerate(read_text(path).splitlines(), start=1)
        lines = [_line(text, self._names, f"{path}, line {number}") for number, text in texts if text.strip()]
        names = frozenset(name for _, name, _ in lines)
        return Drawn(names, str(path), partial(_content, lines, self._task))

    def listed(self) -> Iterator[str]:
        """None: a label file is found by its image."""
        return iter(())


def as_ultralytics(folder: Path, images: str) -> Find:
    """Finds label files where ultralytics does: with an image's last `/images/` as `/labels/`, or beside it; then in `folder`."""
    otherwise = below(folder, images, ".txt")

    def find(uri: str) -> Path | None:
        path = Path("/labels/".join(uri.rsplit("/images/", 1))).with_suffix(".txt")
        return path if path.exists() else otherwise(uri)

    return find


def _line(text: str, names: Mapping[int, str], where: str) -> Line:
    try:
        number, *values = (float(word) for word in text.split())
    except ValueError:
        raise BadLabel(f"{where}: {text[:60]!r} is not a class number and shares of the image; mend it") from None
    if number not in names:
        known = f"0 to {max(names)}" if names else "none"
        raise BadLabel(f"{where} has the class {text.split()[0][:20]}, and known are {known}; name it in data.yaml")
    if len(values) == 5:
        raise BadLabel(
            f"{where} has a confidence, so a model has made it; only people's labels are added, remove such files"
        )
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise BadLabel(f"{where} has {len(values)} numbers after the class; a box has 4, an outline 6 or more in pairs")
    if not all(map(math.isfinite, values)):
        raise BadLabel(f"{where}: {text[:60]!r} has a number that is not finite; mend it")
    return where, names[int(number)], tuple(values)


def _content(lines: list[Line], task: Task, width: int, height: int) -> Content:
    drawn = ((where, _box(name, values, width, height)) for where, name, values in lines)
    if task is not Task.SEGMENT:
        drawn = ((where, replace(box, polygon=())) for where, box in drawn)
    return fitted(drawn, width, height)


def _box(name: str, values: tuple[float, ...], width: int, height: int) -> Box:
    if len(values) == 4:
        x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        return Box(name, x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    pairs = zip(values[::2], values[1::2], strict=True)
    return around(tuple((x * width, y * height) for x, y in pairs), name)
