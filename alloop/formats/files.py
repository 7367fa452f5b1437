"""Reading annotation files that anybody may have written."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from alloop.errors import BadManifest

__all__ = ["MAX_BYTES", "Find", "below", "beneath", "files_in", "read_text", "refuse_deep"]

Find = Callable[[str], Path | None]
"""Gives the label file of the image at a path; None when there is none."""

MAX_BYTES = 64 * 2**20
"""No label file of one image and no data.yaml comes near this."""
DEEPEST = 100
"""COCO nests five deep. ijson's memory grows with the square of the depth: 200,000 brackets took all there was."""
CHUNK = 2**20
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
STEPS = np.zeros(256, np.int64)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1


def read_text(path: Path) -> str:
    """The text of a small file in UTF-8; BadManifest when it is none."""
    try:
        if not path.is_file():  # a named pipe would never end
            raise BadManifest(f"{path} is not a file; name a text file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise BadManifest(f"{path} has more than {MAX_BYTES} bytes; that is no label file, remove it")
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{path} cannot be read ({error}); check the file") from error


def beneath(root: str, name: str, where: str) -> str:
    """The path that `name` has below the folder `root`; BadManifest when it would lead out of it."""
    path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118 - Path keeps "..", and is_relative_to trusts it
    if "\0" in name or not path.startswith(root.rstrip("/") + "/"):
        raise BadManifest(f"{where} names {name!r}, which is not inside {root}; name the folder that it starts from")
    return path


def files_in(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """The visible files below `folder` whose names end so, folder by folder, in sorted order."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if name.endswith(suffixes) and name[0] != ".")


def below(folder: Path, images: str, suffix: str) -> Find:
    """Finds the file that lies in `folder` as its image lies in the folder `images`, and ends in `suffix`."""

    def find(uri: str) -> Path | None:
        if not uri.startswith(images + "/"):
            return None
        path = (folder / uri.removeprefix(images + "/")).with_suffix(suffix)
        return path if path.exists() else None

    return find


def refuse_deep(file: Path) -> None:
    """Refuse a JSON file that nests more than `DEEPEST` deep, or has a text of more than `MAX_BYTES`: BadManifest."""
    depth, rest = 0, b""
    try:
        with file.open("rb") as raw:
            while chunk := raw.read(CHUNK + 8 * len(rest)):  # a long text is not searched again for each small chunk
                bare, quote, begun = STRING.sub(b"", rest + chunk).partition(b'"')
                rest = quote + begun
                levels = depth + np.cumsum(STEPS[np.frombuffer(bare, np.uint8)])
                depth = int(levels[-1]) if levels.size else depth
                if levels.max(initial=0) > DEEPEST or len(rest) > MAX_BYTES:
                    raise BadManifest(f"{file} nests too deep or has too long a text to be a COCO file; check the file")
    except OSError as error:
        raise BadManifest(f"{file} cannot be read ({error}); check the file") from error
