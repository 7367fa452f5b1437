"""The files of one training as ultralytics reads them: images no larger than needed, and what is in each.

The images are read by the same code as for scoring and written anew, upright and in 8-bit RGB: ultralytics, given the
user's own files, would read some formats differently, drop small ones without a word, and repair broken ones in place.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alloop.errors import BadLabel
from alloop.images import read_image
from alloop.models.stream import stream
from alloop.models.targets import class_numbers, in_order
from alloop.models.yolo_letterbox import shrink
from alloop.nouns import Box, Integers, Progress, Sample, Task, TrainingLabel

__all__ = ["class_folder", "count_entries", "write_dataset"]

SMALLEST_PX = 10
"""Ultralytics ignores images with a shorter side (ultralytics/data/utils.py, check_image)."""
QUALITY = 95
BATCH = 16


@dataclass(frozen=True)
class Drawn:
    """An image as it is written: a JPEG of `side` (width, height) pixels, `scale` of them to a pixel of the original."""

    jpeg: bytes
    side: tuple[int, int]
    scale: tuple[float, float]
    original: tuple[int, int]


def count_entries(samples: int, batch: int) -> int:
    """How many images an epoch shows: the samples, some of them again, so that every batch is full.

    A last batch of one image would leave batch norm without a spread to measure.
    """
    return -(-samples // batch) * batch


def class_folder(number: int) -> str:
    """The folder of a class's images; ultralytics orders classes by these names."""
    return f"c{number:05d}"


def write_dataset(
    labels: Sequence[TrainingLabel],
    folder: Path,
    *,
    task: Task,
    label_set: tuple[str, ...],
    size: int,
    batch: int,
    seed: int,
    progress: Progress,
) -> None:
    """Write the images (longer side at most `size` pixels) and labels of one training under `folder`.

    BadLabel for no label, a class outside the label set, or a box outside its image; BadImage for one that is no image.
    """
    labels = in_order(labels)
    places = _class_places(labels, label_set, task)
    times = _times(len(labels), batch, seed)
    read = partial(_draw_squeezed if task is Task.CLASSIFY else _draw, size=size)
    done = 0
    for drawn in stream([label.sample for label in labels], read, batch=BATCH):
        for one in drawn:
            label = labels[done]
            names = [f"{done:07d}-{turn}" for turn in range(times[done])]
            if task is Task.CLASSIFY:
                _write_copies(folder / "train" / class_folder(places[str(label.content.class_name)]), names, one.jpeg)
            else:
                lines = [_line(box, one, label.sample, task, places[box.class_name]) for box in label.content.boxes]
                _write_copies(folder / "images", names, one.jpeg)
                _write_copies(folder / "labels", names, "".join(lines).encode(), suffix=".txt")
            done += 1
        progress("read images", done, len(labels))


def _class_places(labels: Sequence[TrainingLabel], label_set: tuple[str, ...], task: Task) -> dict[str, int]:
    """The number of each class; BadLabel when a label does not fit the label set or the task."""
    places = {name: number for number, name in enumerate(label_set)}
    if task is Task.CLASSIFY:
        class_numbers(labels, label_set)
        return places
    if not labels:
        raise BadLabel("there are 0 labels to train on; have at least one sample labelled first")
    for label in labels:
        if label.content.class_name is not None:
            raise BadLabel(
                f"sample {label.sample.uri} has the class {label.content.class_name!r} and no boxes;"
                f' label its objects, or set task = "classify"'
            )
        for box in label.content.boxes:
            if box.class_name not in places:
                raise BadLabel(
                    f"sample {label.sample.uri} has a box of class {box.class_name!r}, which is not in the label set"
                    f" ({', '.join(label_set)}); correct the label or add it to [project] labels"
                )
    return places


def _times(samples: int, batch: int, seed: int) -> Integers:
    """How often each sample is shown in an epoch, (N,) int64: as evenly as full batches allow."""
    entries = count_entries(samples, batch)
    times = np.full(samples, entries // samples, dtype=np.int64)
    times[np.random.default_rng(seed).choice(samples, entries % samples, replace=False)] += 1
    return times


def _draw(sample: Sample, *, size: int) -> Drawn:
    """Proportions are kept; where a side would be too short for ultralytics, black is added right or below."""
    image = read_image(sample.uri)
    ratio = min(1.0, size / max(image.size))
    width, height = (max(1, round(side * ratio)) for side in image.size)
    pixels = shrink(image, width, height)
    missing = [max(0, SMALLEST_PX - side) for side in (height, width)]
    if any(missing):
        pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)))
    side = (pixels.shape[1], pixels.shape[0])
    return Drawn(_jpeg(pixels), side, (width / image.width, height / image.height), image.size)


def _draw_squeezed(sample: Sample, *, size: int) -> Drawn:
    """As `read_pixels` gives it to a classifier."""
    pixels = np.asarray(read_image(sample.uri, size=size), dtype=np.uint8)
    return Drawn(_jpeg(pixels), (size, size), (1.0, 1.0), (size, size))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _line(box: Box, drawn: Drawn, sample: Sample, task: Task, number: int) -> str:
    """One object in ultralytics' format: class, then centre and size or the polygon, as shares of the image's sides."""
    width, height = drawn.original
    corners = np.clip(np.array([[box.x0, box.y0], [box.x1, box.y1]]), 0, [width, height])
    (x0, y0), (x1, y1) = corners.tolist()
    if not (x1 > x0 and y1 > y0):
        raise BadLabel(
            f"sample {sample.uri} of {width} x {height} pixels has the box ({box.x0}, {box.y0}, {box.x1}, {box.y1}),"
            " of which nothing lies in the image; correct the label"
        )
    scale = np.array(drawn.scale) / np.array(drawn.side)
    if task is Task.SEGMENT:
        points = np.array(box.polygon or ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), dtype=np.float64)
        shares = np.clip(points, 0, [width, height]) * scale
    else:
        shares = np.stack([corners.mean(axis=0), corners[1] - corners[0]]) * scale
    return " ".join([str(number), *(f"{share:.7f}" for share in shares.ravel().tolist())]) + "\n"


def _write_copies(folder: Path, names: Sequence[str], content: bytes, *, suffix: str = ".jpg") -> None:
    """One file, and links to it under the other names."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / f"{names[0]}{suffix}"
    first.write_bytes(content)
    for name in names[1:]:
        os.link(first, folder / f"{name}{suffix}")
