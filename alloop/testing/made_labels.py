"""Labelled images made for the contracts of models: what is in them is plain to see, and small networks learn it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from alloop.nouns import Box, Content, Sample, TrainingLabel

__all__ = ["LABELS", "SIDE", "make_labels", "make_scene", "make_scenes"]

LABELS = ("red", "green", "blue")
"""The label set of the contracts' samples."""
SIDE = 64
"""Width and height of a scene in pixels."""


def make_labels(folder: Path, count: int, *, size: int = 24) -> list[TrainingLabel]:
    """`count` labelled images under `folder`, noise in which one colour is bright, the classes in turn.

    The same folder and count give the same ones.
    """
    return [_make_label(folder, number, size) for number in range(count)]


def make_scenes(folder: Path, count: int, *, start: int = 0) -> list[TrainingLabel]:
    """Labelled pictures under `folder`, one or two rectangles in each; the same numbers give the same ones."""
    return [make_scene(folder, number, objects=1 + number % 2) for number in range(start, start + count)]


def make_scene(folder: Path, number: int, *, objects: int) -> TrainingLabel:
    """A picture of 64 x 64 pixels: noise, and red, green and blue rectangles that each are an object of that class."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(number)
    image = Image.fromarray(dice.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8))
    boxes: list[Box] = []
    for corner in dice.permutation(4)[:objects].tolist():  # one in each quarter, so that none hides another
        width, height = dice.integers(16, 27, 2).tolist()
        x0, y0 = (32 * side + int(dice.integers(0, 33 - length)) for side, length in _sides(corner, width, height))
        colour = int(dice.integers(3))
        fill = tuple(220 if channel == colour else 0 for channel in range(3))
        ImageDraw.Draw(image).rectangle((x0, y0, x0 + width - 1, y0 + height - 1), fill=fill)
        boxes.append(Box(LABELS[colour], x0, y0, x0 + width, y0 + height))
    file = folder / f"{number}.png"
    image.save(file)
    return TrainingLabel(Sample(f"scene-{number:04d}", str(file)), Content(boxes=tuple(boxes)))


def _make_label(folder: Path, number: int, size: int) -> TrainingLabel:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 90, (size, size, 3), dtype=np.uint8)
    pixels[..., number % 3] += 150
    file = folder / f"{number}.png"
    Image.fromarray(pixels).save(file)
    return TrainingLabel(Sample(f"sample-{number}", str(file)), Content(LABELS[number % 3]))


def _sides(corner: int, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (corner % 2, width), (corner // 2, height)
