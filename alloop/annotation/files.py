"""State that survives a kill -9: whole files or none, and one writer at a time."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alloop.errors import LoopError

__all__ = ["locked", "read_lines", "write_atomically", "write_lines"]


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`: whoever looks sees the old file or the new one, never a part."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Put the records at `path`, one JSON object per line, as `write_atomically` does."""
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_atomically(path, "".join(lines).encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records that `write_lines` put at `path`; none when there is no file. LoopError when it was changed since."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
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
    """Hold `folder` against other processes; the system frees it when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
