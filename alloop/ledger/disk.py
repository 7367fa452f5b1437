"""What a database's complaint about its files means, and what to do about it."""

import shutil
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import URL

__all__ = ["Fault", "find_fault"]

LOW_BYTES = 1 << 20
"""With less than this free, an I/O error means a full disk: SQLite says so by its name only when a write to a file fails, and
not when its shared memory cannot grow."""


class Told(NamedTuple):
    """What is the matter, and what to do."""

    what: str
    remedy: str


class Fault(Enum):
    """What can be wrong with the files of a database."""

    FULL = Told("its disk is full", "make room there")
    READ_ONLY = Told("it may be read but not written", "give yourself write permission to the file and its folder")
    DAMAGED = Told("it is damaged, or no ledger", "restore it from a backup, or check [ledger] url")
    DISK = Told("its disk cannot be read or written", "check the disk, or restore it from a backup")


def find_fault(url: URL, cause: str) -> Fault | None:
    """What `cause`, the words of the database at `url`, mean; None when they are not about files."""
    told = cause.lower()
    if any(words in told for words in ("disk is full", "could not extend", "no space left")):
        return Fault.FULL
    if "readonly" in told or ("unable to open" in told and _file(url).is_file()):
        return Fault.READ_ONLY
    if any(words in told for words in ("malformed", "not a database")):
        return Fault.DAMAGED
    if "disk i/o error" in told:
        return Fault.FULL if _free_bytes(url) < LOW_BYTES else Fault.DISK
    return None


def _file(url: URL) -> Path:
    return Path(url.database or "")


def _free_bytes(url: URL) -> int:
    """What is free on the disk that a SQLite file lies on."""
    return shutil.disk_usage(_file(url).absolute().parent).free
