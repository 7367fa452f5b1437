"""ultralytics, imported so that it stays offline, loads no code from files, and leaves this process as it was.

Licensed AGPL-3.0, ultralytics is an extra: only the files yolo*.py import it, and only through this one.
"""

import atexit
import importlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from alloop.errors import MissingExtra

__all__ = ["import_ultralytics", "own_folder", "variables"]

REMOVED = ("ULTRALYTICS_API_KEY",)
"""With a key set, ultralytics sends metrics, console output and checkpoints to its platform."""
_lock = threading.Lock()


def variables(state: Path) -> dict[str, str]:
    """The environment that ultralytics needs before it is imported: it writes only into the folder `state`.

    What each does was observed with ultralytics 8.4.190 and an audit hook: without YOLO_OFFLINE it looks up
    one.one.one.one and reports usage; without ULTRALYTICS_SAFE_LOAD a weights file can run any code.
    """
    return {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "0",
        "YOLO_VERBOSE": "0",
        "ULTRALYTICS_SAFE_LOAD": "1",
        "YOLO_CONFIG_DIR": str(state),
        "MPLCONFIGDIR": str(state / "matplotlib"),
        "MPLBACKEND": "Agg",
        "TORCHINDUCTOR_CACHE_DIR": str(state / "inductor"),  # torch.use_deterministic_algorithms imports it
    }


@cache
def own_folder() -> Path:
    """A temporary folder of this process, for when nobody names one; removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="alloop-yolo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def import_ultralytics(name: str, *, state: Path) -> Any:
    """The module `name` of ultralytics; MissingExtra when the package is not installed.

    The first import in a process decides about the folder `state`. The environment, `torch.save`, `PIL.Image.open` and
    torch's way of printing are afterwards as they were, although ultralytics changes all four.
    """
    if name in sys.modules:
        return sys.modules[name]
    with _lock, _unchanged(), _environment(state):
        try:
            # torch's compiler, which trainings and torchvision.ops need: it makes its folder as soon as it is imported
            importlib.import_module("torch._dynamo")
            return importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra(f"{name} cannot be imported ({error}); run: pip install 'alloop[yolo]'") from error


@contextmanager
def _environment(state: Path) -> Iterator[None]:
    """Ultralytics sets OMP_NUM_THREADS, OpenCV library paths: children of this process must not inherit them."""
    state.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    os.environ.update(variables(state))
    for name in REMOVED:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _unchanged() -> Iterator[None]:
    """Ultralytics' own Image.open answers a broken image by wanting to install a package."""
    save, load = torch.save, Image.open
    try:
        yield
    finally:
        torch.save, Image.open = save, load
        torch.set_printoptions(profile="default")  # type: ignore[no-untyped-call]
