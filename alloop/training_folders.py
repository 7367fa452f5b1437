"""Folders that trainings work in: each is named after its process, so that those of killed ones can be swept."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alloop.ledger.leases import is_gone, this_process

__all__ = ["training_folder"]

PREFIX = "training-"


@contextmanager
def training_folder(state: Path) -> Iterator[Path]:
    """A fresh folder in `state` that is gone after the block; those that dead processes of this host left go first."""
    host, pid, started = this_process().rsplit("|", 2)
    for left in state.glob(f"{PREFIX}{_short(host)}-*"):
        _, _, its_pid, its_start, *_ = left.name.split("-")
        if is_gone(f"{host}|{its_pid}|{its_start}"):
            shutil.rmtree(left, ignore_errors=True)  # another process may be sweeping it, too
    prefix = f"{PREFIX}{_short(host)}-{pid}-{started}-"
    with tempfile.TemporaryDirectory(dir=state, prefix=prefix) as folder:
        yield Path(folder)


def _short(host: str) -> str:
    """A host in eight characters, since its name may hold any: state can lie on a share."""
    return hashlib.sha256(host.encode()).hexdigest()[:8]
