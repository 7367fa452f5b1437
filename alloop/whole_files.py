"""Files that appear whole or not at all, whoever else writes them, and whenever the power fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

__all__ = ["appearing", "put_in_place", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> Path:
    """Put `content` at `path` and give the path: whoever looks there sees the old file or the new one, never a part."""
    with appearing(path) as fresh:
        fresh.write_bytes(content)
    return path


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """The place of a file to write, which is `path` once the block has ended; after an error nothing of it is left.

    The place is in the folder of `path`, which is made, and has a name of its own: any number of writers may be at this.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{token_hex(8)}.tmp")
    try:
        yield fresh
        put_in_place(fresh, path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def put_in_place(fresh: Path, path: Path) -> None:
    """Make a written file the one at `path`, in the same folder; its bytes and then its name outlive a power cut."""
    _flush(fresh, os.O_RDWR)
    fresh.replace(path)
    with suppress(OSError):  # some file systems, such as those of other machines, cannot flush a folder
        _flush(path.parent, os.O_RDONLY)


def _flush(path: Path, how: int) -> None:
    number = os.open(path, how)
    try:
        os.fsync(number)
    finally:
        os.close(number)
