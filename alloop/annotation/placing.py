"""Images where annotators find them: links to local files, copies of remote ones."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from alloop.annotation.files import write_atomically
from alloop.errors import BadImage, ToolUnavailable
from alloop.images import read_bytes

__all__ = ["image_name", "place_images"]

DOWNLOADS = 8
"""How many images are fetched at once."""


def image_name(rank: int, short_id: str, *, uri: str) -> str:
    """The image's path inside the batch's folder; names sort as the annotators should go through them."""
    path = PurePosixPath(urlsplit(uri).path) if "://" in uri else Path(uri)
    suffix = path.suffix.lower()
    return f"images/{rank + 1:04d}-{short_id}{suffix if suffix[1:].isalnum() else ''}"


def place_images(folder: Path, wanted: Sequence[tuple[str, str]], *, how: Literal["link", "copy"]) -> None:
    """Put each (uri, path inside `folder`) there unless it is there already.

    An image that cannot be read stays away: its annotator rejects it. ToolUnavailable when that happens to all of
    them, since then it is the storage that is missing.
    """
    missing = [(uri, folder / name) for uri, name in wanted if not (folder / name).exists()]
    (folder / "images").mkdir(exist_ok=True)
    place = _link_or_copy if how == "link" else _copy
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        failed = [error for error in pool.map(lambda one: place(*one), missing) if error]
    if failed and len(failed) == len(wanted):
        raise ToolUnavailable(f"none of the {len(failed)} images for {folder} can be read, the first: {failed[0]}")


def _link_or_copy(uri: str, place: Path) -> BadImage | None:
    if "://" in uri:
        return _copy(uri, place)
    if not Path(uri).is_file():
        return BadImage(f"{uri} is not there; check the path")
    place.unlink(missing_ok=True)  # a link whose target was gone
    place.symlink_to(Path(uri).absolute())
    return None


def _copy(uri: str, place: Path) -> BadImage | None:
    try:
        write_atomically(place, read_bytes(uri))
    except BadImage as error:
        return error
    return None
