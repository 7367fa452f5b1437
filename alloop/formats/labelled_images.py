"""Images and the labels that others wrote about them, as one source for the pool."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from alloop.errors import BadManifest
from alloop.formats.coco import open_coco
from alloop.formats.files import below, files_in
from alloop.formats.kinds import Format
from alloop.formats.voc import VocLabels
from alloop.formats.yolo import YoloLabels, as_ultralytics
from alloop.formats.yolo_data import NAMES, YoloData, read_classes, read_data
from alloop.manifest import Drawn, Row, is_remote, read_source
from alloop.nouns import Split, Task

__all__ = ["LabelledImages", "Wanted", "open_labels"]


class Annotations(Protocol):
    """Labels by the path of the image."""

    def of(self, uri: str) -> Drawn | None:
        """What was drawn into the image at `uri`; None when nobody has labelled it."""

    def listed(self) -> Iterator[str]:
        """Images that the annotations name by themselves."""


@dataclass(frozen=True)
class Wanted:
    """What to read: a folder or manifest of images, the labels' file or folder, and how.

    `labels` is the project's label set, which names YOLO's class numbers where nothing else does. `kind` is guessed when
    it is None. `holdout` names the split whose images measure: an entry of data.yaml, or a folder on an image's path.
    """

    images: str
    annotations: Path
    labels: tuple[str, ...]
    task: Task
    kind: Format | None = None
    holdout: str | None = None


class LabelledImages:
    """A source: the images of a folder or manifest, each with what the annotations say of it."""

    def __init__(self, wanted: Wanted, annotations: Annotations, is_held: Callable[[str], bool]) -> None:
        self._wanted, self._annotations, self._is_held = wanted, annotations, is_held

    @property
    def name(self) -> str:
        """What the user called the images."""
        return self._wanted.images

    def rows(self) -> Iterator[Row]:
        """The images with their labels; then those that annotations name in the folder, and that are not there.

        Raises:
            BadManifest: no image has a label, or none is in the holdout that was asked for.
        """
        labelled = held = 0
        seen: set[str] = set()
        is_folder = Path(self.name).is_dir()
        for row in read_source(self.name):
            drawn = self._annotations.of(row.uri) if _is_text(row.uri) else None
            is_held = row.split is Split.HOLDOUT or self._is_held(row.uri)
            labelled, held = labelled + (drawn is not None), held + is_held
            if is_folder and drawn is not None:
                seen.add(row.uri)
            yield replace(row, drawn=drawn, split=Split.HOLDOUT if is_held else row.split)
        self._check(labelled, held)
        if is_folder:  # a manifest says itself which images it is about
            for uri in self._annotations.listed():
                if uri not in seen:
                    split = Split.HOLDOUT if self._is_held(uri) else Split.POOL
                    yield Row(uri, split=split, drawn=self._annotations.of(uri))

    def _check(self, labelled: int, held: int) -> None:
        wanted = self._wanted
        if not labelled:
            raise BadManifest(
                f"{wanted.annotations} has a label for none of the images of {wanted.images}; "
                "name the folder that the labels' paths start from"
            )
        if wanted.holdout is not None and not held:
            raise BadManifest(
                f"no image of {wanted.images} is in the split {wanted.holdout!r}; "
                "name an entry of data.yaml or a folder that the images lie in"
            )


@contextmanager
def open_labels(wanted: Wanted) -> Iterator[LabelledImages]:
    """Images with the labels of others, ready for `add_to_pool`.

    Raises:
        BadManifest: the annotations as a whole cannot be used.
    """
    kind = wanted.kind or _guess(wanted.annotations)
    root = _root(wanted.images)
    if kind is Format.COCO:
        with open_coco(wanted.annotations, root, wanted.task) as coco:
            yield LabelledImages(wanted, coco, _held(wanted, None))
    elif kind is Format.VOC:
        yield LabelledImages(wanted, VocLabels(below(_folder(wanted.annotations), root, ".xml")), _held(wanted, None))
    else:
        data = _data(wanted.annotations)
        yield LabelledImages(wanted, _yolo(wanted, data, root), _held(wanted, data))


def _guess(path: Path) -> Format:
    if not path.exists():
        raise BadManifest(f"there is no {path}; check the path of the labels")
    if not path.is_dir():
        kinds = {".json": Format.COCO, ".yaml": Format.YOLO, ".yml": Format.YOLO, ".xml": Format.VOC}
        if path.suffix.lower() in kinds:
            return kinds[path.suffix.lower()]
        raise BadManifest(f"{path} is no format that is known by its name; add --format coco, yolo or voc")
    if any((path / name).is_file() for name in NAMES):
        return Format.YOLO
    for file in files_in(path, (".xml", ".txt")):
        return Format.VOC if file.suffix == ".xml" else Format.YOLO
    raise BadManifest(f"{path} holds neither .xml nor .txt files; name the labels' folder, or a COCO file by its name")


def _root(images: str) -> str:
    """The folder that the images' paths start from: the images' own, or that of their manifest."""
    if is_remote(images):
        return images.rpartition("/")[0]
    path = Path(os.path.normpath(Path(images).absolute()))
    return str(path if path.is_dir() else path.parent)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _yolo(wanted: Wanted, data: YoloData | None, root: str) -> YoloLabels:
    folder = _folder(wanted.annotations)
    if data is None:
        return YoloLabels(below(folder, root, ".txt"), _names(folder, wanted.labels), wanted.task)
    named = data.file.absolute().parent == folder.absolute()  # else the labels' own folder was named
    find = as_ultralytics(folder, root) if named else below(folder, root, ".txt")
    return YoloLabels(find, data.names, wanted.task)


def _data(path: Path) -> YoloData | None:
    """The data.yaml at `path`, in it, or where data sets have it: above a folder `labels` and its splits."""
    if path.is_file():
        return read_data(path)
    folders = (path.absolute(), *path.absolute().parents[: _depth(path)])
    files = (folder / name for folder in folders for name in NAMES)
    return next((read_data(file) for file in files if file.is_file()), None)


def _depth(path: Path) -> int:
    """How many folders `path` lies below the one that holds its `labels`; 0 when it is not below such a folder."""
    parts = path.absolute().parts[::-1]
    return parts.index("labels") + 1 if "labels" in parts[:3] else 0


def _names(folder: Path, labels: tuple[str, ...]) -> dict[int, str]:
    """{class number: name} as a classes.txt has them, else in the order of the project's label set."""
    classes = folder / "classes.txt"
    return dict(enumerate(read_classes(classes) if classes.is_file() else labels))


def _held(wanted: Wanted, data: YoloData | None) -> Callable[[str], bool]:
    if wanted.holdout is None:
        return lambda _: False
    name = wanted.holdout
    split = data.split(name) if data is not None else None
    if split is not None:
        return split
    above = len(Path(_root(wanted.images)).parent.parts)  # the images' own folder may be the split
    return lambda uri: name in Path(uri).parts[above:-1]


def _is_text(uri: str) -> bool:
    try:
        uri.encode()
    except UnicodeEncodeError:
        return False
    return True
