"""Images beside the labels that are set out: links to local files, copies of remote ones, in a folder that appears whole."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from PIL import Image

from alloop.errors import BadImage, ConfigError
from alloop.images import content_id, read_bytes
from alloop.manifest import IMAGE_SUFFIXES, is_remote
from alloop.nouns import Content, Sample

__all__ = ["How", "Item", "fresh_folder", "place"]

How = Literal["link", "copy"]
STEM = 60
"""Characters of an image's name that its new name begins with."""


@dataclass(frozen=True)
class Item:
    """A labelled sample, the upright size of its image in pixels, and its file as it was when it was added."""

    sample: Sample
    content: Content
    width: int
    height: int
    size_bytes: int
    mtime_ns: int | None


@contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end; after an error nothing of it is left.

    Raises:
        ConfigError: `out` is there already, and not an empty folder.
    """
    out = out.absolute()
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ConfigError(f"{out} is there already; name a folder that is not there yet")
    filling = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    filling.mkdir(parents=True)
    try:
        yield filling
        filling.replace(out)
    except BaseException:
        shutil.rmtree(filling, ignore_errors=True)
        raise


def place(item: Item, folder: Path, how: How) -> str:
    """Put the image into `folder` under a name of its own, and give that name.

    Raises:
        BadImage: there is no such image any more, or another one in its place.
    """
    uri = item.sample.uri
    if how == "copy" or is_remote(uri):
        raw = _unchanged(item)
        name = _name(item, raw)
        (folder / name).write_bytes(raw)
        return name
    if not _is_untouched(item):
        _unchanged(item)
    name = _name(item, None)
    (folder / name).symlink_to(Path(uri).absolute())
    return name


def _is_untouched(item: Item) -> bool:
    try:
        now = Path(item.sample.uri).stat()
    except OSError:
        return False
    return (now.st_size, now.st_mtime_ns) == (item.size_bytes, item.mtime_ns)


def _unchanged(item: Item) -> bytes:
    raw = read_bytes(item.sample.uri)
    if content_id(raw) != item.sample.id:
        raise BadImage(f"{item.sample.uri} has changed since it was added; put the image back that was labelled")
    return raw


def _name(item: Item, raw: bytes | None) -> str:
    """A name that no other sample has, and that readers of all formats understand: ASCII, with an image's suffix."""
    uri = item.sample.uri
    path = PurePosixPath(urlsplit(uri).path if is_remote(uri) else uri)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        with Image.open(BytesIO(read_bytes(uri) if raw is None else raw)) as image:
            suffix = f".{(image.format or 'png').lower()}"
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:STEM]
    return f"{stem}-{item.sample.id[:12]}{suffix}".lstrip("-")
