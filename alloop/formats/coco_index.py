"""A COCO file as an index on disk: its images by path, and the annotations of each.

COCO lists annotations in any order, and a file may be larger than the memory: it is streamed once into a temporary SQLite
database, which SQLite keeps on disk and removes by itself. 100,000 images with 700,000 outlines (235 MB) took 22 s and
64 MB of memory, where `json.load` alone took 2.4 GB (measured 2026-11).
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ijson

from alloop.errors import BadManifest
from alloop.formats.files import beneath, refuse_deep

__all__ = ["CocoIndex", "Listed", "open_index"]

TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE image (file_name TEXT PRIMARY KEY, id UNIQUE, width, height);
CREATE TABLE annotation (image, body TEXT);
"""
KEPT = ("id", "category_id", "bbox", "segmentation", "iscrowd")
"""What of an annotation is kept; the rest is of no use here."""


@dataclass(frozen=True)
class Listed:
    """An image as the file lists it: its size in pixels where stated, and its annotations."""

    width: int | None
    height: int | None
    annotations: tuple[dict[str, Any], ...]


class CocoIndex:
    """An open index; `categories` are {id: name}."""

    def __init__(self, database: sqlite3.Connection, categories: dict[Any, str]) -> None:
        self._database = database
        self.categories = categories

    def uris(self) -> Iterator[str]:
        """The paths of all listed images, in the order of the file."""
        for (uri,) in self._database.execute("SELECT file_name FROM image ORDER BY rowid"):
            yield uri

    def find(self, uri: str) -> Listed | None:
        """The listed image at this path, if there is one."""
        found = self._database.execute("SELECT id, width, height FROM image WHERE file_name = ?", (uri,)).fetchone()
        if found is None:
            return None
        key, width, height = found
        query = "SELECT body FROM annotation WHERE image = ? ORDER BY rowid"
        return Listed(width, height, tuple(json.loads(body) for (body,) in self._database.execute(query, (key,))))


@contextmanager
def open_index(file: Path, images: str) -> Iterator[CocoIndex]:
    """The index of a COCO file, whose `file_name`s start from the folder `images`; it goes with the context.

    Raises:
        BadManifest: the file is no COCO file, a path leads out of `images`, or an annotation belongs to nothing.
    """
    refuse_deep(file)
    database = sqlite3.connect("")  # temporary and on disk
    try:
        database.executescript(TABLES)
        categories = dict(_category(one, file) for one in _items(file, "categories"))
        _fill_images(database, file, images)
        database.executemany("INSERT INTO annotation VALUES (?, ?)", _annotations(file, categories))
        database.execute("CREATE INDEX of_image ON annotation (image)")
        _check(database, file)
        yield CocoIndex(database, categories)
    finally:
        database.close()


def _items(file: Path, key: str) -> Iterator[dict[str, Any]]:
    """The objects of one list of the file, one by one."""
    try:
        with file.open("rb") as raw:
            for number, item in enumerate(ijson.items(raw, f"{key}.item", use_float=True)):
                if not isinstance(item, dict):
                    raise BadManifest(f"{file}: {key}[{number}] is not an object; mend the file")
                yield item
    except (OSError, ValueError, OverflowError, ijson.JSONError) as error:
        raise BadManifest(f"{file} cannot be read as a COCO file ({_brief(error)}); check the file") from error


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _category(one: dict[str, Any], file: Path) -> tuple[Any, str]:
    key, name = _key(one, "id", f"{file}: a category"), one.get("name")
    if not isinstance(name, str):
        raise BadManifest(f"{file}: category {key!r} has no name; give it one")
    return key, name


def _fill_images(database: sqlite3.Connection, file: Path, images: str) -> None:
    try:
        database.executemany("INSERT INTO image VALUES (?, ?, ?, ?)", _images(file, images))
    except sqlite3.IntegrityError as error:  # "UNIQUE constraint failed: image.id", or image.uri
        raise BadManifest(f"{file} lists two images of one {str(error).rpartition('.')[2]}; remove one") from error
    if database.execute("SELECT COUNT(*) FROM image").fetchone() == (0,):
        raise BadManifest(f"{file} lists no images; a COCO file has 'images', 'annotations' and 'categories'")


def _images(file: Path, images: str) -> Iterator[tuple[str, Any, Any, Any]]:
    for one in _items(file, "images"):
        key, name = _key(one, "id", f"{file}: an image"), one.get("file_name")
        where = f"{file}: image {key!r}"
        if not isinstance(name, str):
            raise BadManifest(f"{where} has no file_name; give it one")
        yield beneath(images, name, where), key, _size(one, "width", where), _size(one, "height", where)


def _annotations(file: Path, categories: dict[Any, str]) -> Iterator[tuple[Any, str]]:
    for number, one in enumerate(_items(file, "annotations")):
        where = f"{file}: annotation {one.get('id', number)!r}"
        if "score" in one:
            raise BadManifest(
                f"{where} has a score, so a model has made it; only people's labels are added, leave such annotations out"
            )
        if _key(one, "category_id", where) not in categories:
            raise BadManifest(f"{where} has the category {one['category_id']!r}, which is not in 'categories'; add it")
        one.setdefault("id", number)
        yield _key(one, "image_id", where), json.dumps({key: one[key] for key in KEPT if key in one})


def _key(one: dict[str, Any], name: str, where: str) -> int | str:
    key = one.get(name)
    if isinstance(key, bool) or not isinstance(key, int | str) or (isinstance(key, int) and abs(key) >= 2**63):
        raise BadManifest(f"{where} has the {name} {key!r}, which is neither a whole number nor a text; mend it")
    return key


def _size(one: dict[str, Any], name: str, where: str) -> int | None:
    size = one.get(name)
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 2**31 or size != int(size):
        raise BadManifest(f"{where} has the {name} {size!r}, which is no number of pixels; mend it or leave it out")
    return int(size)


def _check(database: sqlite3.Connection, file: Path) -> None:
    query = "SELECT image FROM annotation WHERE image NOT IN (SELECT id FROM image) LIMIT 1"
    for (key,) in database.execute(query):
        raise BadManifest(f"{file}: an annotation belongs to the image {key!r}, which is not in 'images'; add it")
