"""State that survives a kill -9: whole files or none, and one writer at a time."""

import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from alloop import whole_files
from alloop.errors import LoopError, ToolUnavailable

__all__ = ["locked", "read_lines", "write_atomically", "write_lines"]


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all.

    Raises:
        LoopError: something else lies there, or it is somebody else's.
        ToolUnavailable: the disk does not take it.
    """
    with _reached(path, "written"):
        whole_files.write_atomically(path, content)


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Put the records at `path`, one JSON object per line, as `write_atomically` does."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_atomically(path, "".join(lines).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records that `write_lines` put at `path`; none when there is no file.

    Raises:
        LoopError: it was changed since, or may not be read.
        ToolUnavailable: the disk does not give it.
    """
    try:
        with _reached(path, "read"):
            if not path.exists():
                return []
            text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LoopError(f"{path} is not what alloop wrote ({error}); restore the file") from error
    return [_record(line, f"{path}, line {number}") for number, line in enumerate(text.split("\n"), 1) if line]


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise LoopError(f"{where} is not what alloop wrote ({error}); restore the file") from error
    if not isinstance(record, dict):
        raise LoopError(f"{where} is not what alloop wrote, but {line[:40]!r}; restore the file")
    return record


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` against other processes; the system frees it when its holder dies.

    Raises as `write_atomically` does.
    """
    with ExitStack() as holding:
        with _reached(folder, "locked"):
            folder.mkdir(parents=True, exist_ok=True)
            fcntl.flock(holding.enter_context((folder / ".lock").open("a")), fcntl.LOCK_EX)
        yield


@contextmanager
def _reached(path: Path, what: str) -> Iterator[None]:
    """For these files the disk is the annotation tool: when it is full or away, trying again later helps."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise LoopError(
            f"{path} cannot be {what} ({error.strerror or error}); see what lies there, and whose it is"
        ) from error
    except OSError as error:
        cause = error.strerror or error  # without the name of a temporary file, which is another each time
        raise ToolUnavailable(f"{path} cannot be {what} ({cause}); make room, or mount it again") from error
