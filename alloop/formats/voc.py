"""Reading Pascal VOC: one XML file per image, boxes only; defusedxml refuses documents that declare entities."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from alloop.errors import BadLabel, BadManifest
from alloop.formats.boxes import fitted
from alloop.formats.files import Find, read_text
from alloop.manifest import Drawn
from alloop.nouns import Box, Content

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["VocLabels"]


class VocLabels:
    """The labels in XML files, each found by its image.

    The `filename` inside an XML file is not looked at: it is often stale, and may point anywhere.
    """

    def __init__(self, find: Find) -> None:
        self._find = find

    def of(self, uri: str) -> Drawn | None:
        """What was drawn into the image at `uri`; None when it has no file."""
        path = self._find(uri)
        return None if path is None else _drawn(path)

    def listed(self) -> Iterator[str]:
        """None: a label file is found by its image."""
        return iter(())


Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class VocFile:
    """What one file says: the objects, and the image's size in pixels where it is stated."""

    path: Path
    objects: list[tuple[str, Corners]]
    stated: tuple[float, ...]

    def content(self, width: int, height: int) -> Content:
        """The label of an image of this size; BadLabel when it was drawn on another."""
        if self.stated not in ((), (0, 0), (width, height)):  # some tools do not know the size and write 0
            raise BadLabel(
                f"{self.path} speaks of {self.stated[0]:g} x {self.stated[1]:g} pixels, and the image has "
                f"{width} x {height} when upright; put those together that belong together"
            )
        boxes = (
            (f"{self.path}, object {number}", Box(name, *corners))
            for number, (name, corners) in enumerate(self.objects, start=1)
        )
        return fitted(boxes, width, height)


def _drawn(path: Path) -> Drawn:
    root = _parse(path)
    objects = [(_text(one, "name", path), _corners(one, path)) for one in root.findall("object")]
    stated = tuple(_number(size, name, path) for size in root.findall("size")[:1] for name in ("width", "height"))
    file = VocFile(path, objects, stated)
    return Drawn(frozenset(name for name, _ in objects), str(path), file.content)


def _parse(path: Path) -> "Element":
    from defusedxml import DefusedXmlException, ElementTree  # needed for few sources

    try:
        root: Element = ElementTree.fromstring(read_text(path).encode(), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise BadManifest(f"{path} cannot be read as XML ({error}); check the file") from error
    if root.tag != "annotation":
        raise BadManifest(f"{path} holds <{root.tag}> and no <annotation>; it is no Pascal VOC file, remove it")
    return root


def _corners(one: "Element", path: Path) -> Corners:
    box = one.find("bndbox")
    if box is None:
        raise BadManifest(f"{path} has an object without <bndbox>; add it or remove the object")
    x0, y0, x1, y1 = (_number(box, name, path) for name in ("xmin", "ymin", "xmax", "ymax"))
    return x0 - 1, y0 - 1, x1, y1  # VOC counts pixels from 1, and xmax is the last one inside (VOC devkit, section 4.1)


def _text(one: "Element", name: str, path: Path) -> str:
    text = (one.findtext(name) or "").strip()
    if not text:
        raise BadManifest(f"{path} has a <{one.tag}> without <{name}>; add it")
    return text


def _number(one: "Element", name: str, path: Path) -> float:
    text = _text(one, name, path)
    try:
        return float(text)
    except ValueError:
        raise BadManifest(f"{path}: <{name}> is {text[:40]!r} and no number; mend it") from None
