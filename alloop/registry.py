"""Model files by their sha256: what is handed out is what was stored, or an error."""

import hashlib
import re
import secrets
import shutil
from pathlib import Path

from alloop.errors import ModelCorrupt
from alloop.whole_files import put_in_place

__all__ = ["Registry"]


class Registry:
    """A folder whose files are named by the sha256 of their bytes; any number of processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, path: Path) -> str:
        """Copy the file in and give its sha256; storing it twice is storing it once, and mends a damaged copy."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{secrets.token_hex(8)}.tmp"
        try:
            shutil.copyfile(path, temporary)
            sha256 = _sha256(temporary)
            put_in_place(temporary, self._folder / sha256)
        except FileNotFoundError as error:
            raise ModelCorrupt(f"there is no model file {path} to store; retrain") from error
        finally:
            temporary.unlink(missing_ok=True)
        return sha256

    def path(self, sha256: str) -> Path:
        """Where the file with this sha256 lies; ModelCorrupt when it is missing or its bytes are others now."""
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ModelCorrupt(
                f"{sha256!r} is not a sha256 in hexadecimal; look the model version up with 'alloop status'"
            )
        file = self._folder / sha256
        try:
            found = _sha256(file)
        except OSError as error:
            raise ModelCorrupt(
                f"model file {file} cannot be read ({error}); restore it, or roll back or retrain"
            ) from error
        if found != sha256:
            raise ModelCorrupt(
                f"model file {file} is damaged: expected sha256 {sha256}, found {found};"
                " restore it from a backup, or roll back or retrain"
            )
        return file


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
