"""Writing YOLO: a text file per image, and the data.yaml that ultralytics trains from."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from alloop.formats.placing import Item
from alloop.nouns import Box, Task

__all__ = ["write_data", "write_yolo"]


def write_yolo(placed: Sequence[tuple[str, Item]], folder: Path, labels: Sequence[str], task: Task) -> None:
    """Write a file per (image name, item) into `folder`; one where nothing is to be seen is empty."""
    numbers = {name: number for number, name in enumerate(labels)}
    for name, item in placed:
        lines = [f"{numbers[box.class_name]} {_numbers(box, item, task)}\n" for box in item.content.boxes]
        (folder / name).with_suffix(".txt").write_text("".join(lines), encoding="utf-8")


def _numbers(box: Box, item: Item, task: Task) -> str:
    if task is Task.SEGMENT:  # ultralytics reads every line of such a file as an outline
        corners = ((box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1))
        shares = [share for x, y in box.polygon or corners for share in (x / item.width, y / item.height)]
    else:
        middle = ((box.x0 + box.x1) / 2 / item.width, (box.y0 + box.y1) / 2 / item.height)
        shares = [*middle, (box.x1 - box.x0) / item.width, (box.y1 - box.y0) / item.height]
    return " ".join(f"{share:.10g}" for share in shares)


def write_data(file: Path, labels: Sequence[str], splits: Sequence[str]) -> None:
    """Write a data.yaml for the splits `train` and, where there is one, `holdout`.

    It has no `path`: a relative one starts from the working folder, none from the file's own (ultralytics 8.4).
    """
    entries = {"train": "images/train"} | ({"val": "images/holdout"} if "holdout" in splits else {})
    names = dict(enumerate(labels))
    text = yaml.safe_dump({**entries, "names": names}, sort_keys=False, allow_unicode=True)
    warning = "# val is the frozen holdout: measure on it, but choose nothing by it (train with val=False).\n"
    file.write_text(warning + text if "holdout" in splits else text, encoding="utf-8")
