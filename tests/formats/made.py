"""Small images with labels, and what becomes of them on the way into a pool."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from alloop.formats.kinds import Format
from alloop.formats.labelled_images import Wanted, open_labels
from alloop.nouns import Content, Task
from alloop.pool import Added, add_to_pool
from tests.memory_store import MemoryStore

LABELS = ("cat", "dog")


def picture(path: Path, *, size: tuple[int, int] = (100, 80), **options: Any) -> str:
    """An image of width x height pixels that differs from all others by its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list(str(path).encode())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return str(path)


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def bring_in(
    images: Path, annotations: Path, *, task: Task = Task.DETECT, store: MemoryStore | None = None, **how: Any
) -> tuple[MemoryStore, Added]:
    """Add images with their labels to a store."""
    store = store or MemoryStore()
    how = {"kind": Format(how.pop("kind"))} | how if "kind" in how else how
    labels = how.pop("labels", LABELS)
    with open_labels(Wanted(str(images), annotations, labels, task, **how)) as source:
        return store, add_to_pool(source, store=store, labels=labels, task=task, workers=2)


def truths(store: MemoryStore) -> dict[str, Content | None]:
    """{file name: label} of what is in the store."""
    return {Path(uri).name: one.sample.truth for uri, one in store.found.items()}


def reasons(store: MemoryStore) -> dict[str, str]:
    """{file name: reason} of what was set aside."""
    return {Path(uri).name: one.reason for uri, one in store.aside.items()}
