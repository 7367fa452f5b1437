"""data.yaml and classes.txt: what YOLO's class numbers mean, and which images a split has."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alloop.errors import BadManifest
from alloop.formats.files import beneath, read_text

__all__ = ["NAMES", "YoloData", "read_classes", "read_data"]

NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
"""What the file is usually called."""


@dataclass(frozen=True)
class YoloData:
    """{class number: name}, and the entries of the file that may be splits."""

    file: Path
    names: dict[int, str]
    entries: dict[str, Any]

    def split(self, name: str) -> Callable[[str], bool] | None:
        """Whether an image path is in the split `name`; None when the file has no such split."""
        stated = self.entries.get(name)
        if stated is None:
            return None
        parts = [stated] if isinstance(stated, str) else stated
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise BadManifest(
                f"{self.file}: {name} is {str(stated)[:60]!r}; write a folder, a .txt file or a list of them"
            )
        folders, files = set[str](), set[str]()
        for part in parts:
            if part.endswith(".txt"):
                files.update(self._list(part))
            else:
                folders.add(self._folder(part))
        return lambda uri: uri in files or any(uri.startswith(folder + "/") for folder in folders)

    @property
    def _root(self) -> str:
        """Where the splits' paths start: at `path`, or beside the file."""
        return os.path.normpath(self.file.absolute().parent / str(self.entries.get("path") or "."))

    def _folder(self, part: str) -> str:
        path = os.path.normpath(Path(self._root) / part)
        if part.startswith("../") and not Path(path).is_dir():  # Roboflow writes ../valid/images for ./valid/images
            return os.path.normpath(Path(self._root) / part.removeprefix("../"))
        return path

    def _list(self, part: str) -> set[str]:
        """The paths in a list of images, each relative to the list's folder or to `path`."""
        folder = str(self.file.absolute().parent)
        path = Path(beneath(folder, os.path.relpath(Path(self._root) / part, folder), str(self.file)))
        lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        return {os.path.normpath(Path(base) / line) for line in lines for base in (path.parent, self._root)}


def read_data(file: Path) -> YoloData:
    """What a data.yaml says; BadManifest when it is none."""
    try:
        entries = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadManifest(
            f"{file} cannot be read as YAML ({' '.join(str(error).split())[:200]}); check the file"
        ) from error
    names = entries.get("names") if isinstance(entries, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(type(number) is int and number >= 0 for number in names):
        raise BadManifest(f"{file} has no list 'names' of the classes; add it")
    for number, name in names.items():
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise BadManifest(f"{file}: class {number} is called {str(name)[:40]!r}; put its name in quotes")
    return YoloData(file, {number: str(name) for number, name in names.items()}, entries)


def read_classes(file: Path) -> Sequence[str]:
    """The class names of a classes.txt, one per line; the first is number 0."""
    return [line.strip() for line in read_text(file).splitlines() if line.strip()]
