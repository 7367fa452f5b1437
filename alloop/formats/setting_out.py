"""The label set as others read it: COCO, YOLO, or the manifest that `pool add` takes."""

import csv
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from alloop.errors import BadImage, ConfigError
from alloop.formats.coco_out import write_coco
from alloop.formats.kinds import Target
from alloop.formats.placing import How, Item, fresh_folder, place
from alloop.formats.yolo_out import write_data, write_yolo
from alloop.nouns import Progress, Refusal, Split, Task, no_progress

__all__ = ["HOLDOUT", "TRAIN", "Form", "set_out"]

TRAIN, HOLDOUT = "train", "holdout"
"""The splits."""
THREADS = 8
"""How many images are fetched at once."""

Placed = Sequence[tuple[str, Item]]
"""Images by the name that they have in the new folder."""


@dataclass(frozen=True)
class Form:
    """How labels are set out; `target` None is a manifest for classes and COCO for boxes."""

    task: Task
    labels: tuple[str, ...]
    target: Target | None = None
    how: How = "link"

    @property
    def chosen(self) -> Target:
        """The format; ConfigError when the task's labels have no place in the one that is wanted."""
        usual = Target.CSV if self.task is Task.CLASSIFY else Target.COCO
        if self.target is not None and (self.target is Target.CSV) != (usual is Target.CSV):
            fit = "csv" if usual is Target.CSV else "coco or yolo"
            raise ConfigError(f"labels of the task '{self.task}' have no place in {self.target}; use --format {fit}")
        return self.target or usual


def set_out(
    splits: Mapping[str, Sequence[Item]], out: Path, form: Form, *, progress: Progress = no_progress
) -> tuple[Refusal, ...]:
    """Write the splits `train` and `holdout` into the new folder `out`, whole or not at all; the images left out.

    Raises:
        ConfigError: `out` is there already, or the task's labels have no place in that format.
    """
    target = form.chosen
    refused: list[Refusal] = []
    with fresh_folder(out) as folder:
        if target is Target.CSV:
            _write_manifest(splits, folder / "manifest.csv")
            return ()
        for split, items in splits.items():
            told = partial(progress, f"setting out {split}")
            placed, failed = _place_all(items, folder / "images" / split, form.how, told)
            refused += failed
            _write_split(placed, split, folder, form)
        if target is Target.YOLO:
            write_data(folder / "data.yaml", form.labels, tuple(splits))
    return tuple(refused)


def _write_split(placed: Placed, split: str, folder: Path, form: Form) -> None:
    if form.chosen is Target.COCO:
        (folder / "annotations").mkdir(exist_ok=True)
        write_coco(placed, folder / "annotations" / f"instances_{split}.json", form.labels)
        return
    (folder / "labels" / split).mkdir(parents=True)
    write_yolo(placed, folder / "labels" / split, form.labels, form.task)


def _place_all(
    items: Sequence[Item], folder: Path, how: How, told: Callable[[int, int], None]
) -> tuple[Placed, list[Refusal]]:
    folder.mkdir(parents=True)
    placed, refused = list[tuple[str, Item]](), list[Refusal]()
    with ThreadPoolExecutor(THREADS) as pool:
        for item, name in zip(items, pool.map(partial(_try, folder, how), items), strict=True):
            if isinstance(name, str):
                placed.append((name, item))
            else:
                refused.append(name)
            told(len(placed) + len(refused), len(items))
    return placed, refused


def _try(folder: Path, how: How, item: Item) -> str | Refusal:
    try:
        return place(item, folder, how)
    except BadImage as error:
        return Refusal(item.sample.uri, str(error).removeprefix(f"{item.sample.uri} "))


def _write_manifest(splits: Mapping[str, Sequence[Item]], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = csv.writer(out)
        rows.writerow(("uri", "label", "group", "split"))
        for name, items in splits.items():
            split = Split.HOLDOUT if name == HOLDOUT else Split.POOL
            for item in items:
                rows.writerow((item.sample.uri, item.content.class_name, item.sample.group or "", split.value))
