"""Detection scenes for a demo: real handwritten digits on real photographs, with boxes that are known exactly."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alloop.nouns import Box, Floats, Split

__all__ = ["SCENE_LABELS", "Glyph", "Scene", "Scenes", "Stock", "draw", "write_scenes"]

SCENE_LABELS = ("0", "1", "7")
"""The label set; other digits are in no scene."""
WIDTH, HEIGHT = 160, 120
POOL, HOLDOUT = 400, 80
CLIP_SHARE, CLIP_FRAMES = 0.5, 8
"""This share of the pool are frames of clips, so many of one clip; the holdout has none, each of its scenes counts once."""
EMPTY_SHARE = 0.1
MOST_DIGITS = 5
SMALLEST, LARGEST = 18, 46
"""Pixels of a digit's 8 x 8 grid a side; the digit itself is narrower."""
SEAM = 0.6
"""The pool shows only the left 60% of the photographs, the holdout only the rest: no model can know its backgrounds."""
MARGIN = 4
"""Pixels around a frame that its photograph has to spare, for a camera that shakes."""
MOST_COVERED = 0.25
"""Of the smaller of two digits, at most this share of its box lies under the other's box."""
SOLID, FAINT = 0.35, 0.1
"""Opacity from which on a pixel counts as part of a digit, and below which nothing is drawn."""
NOISE = 0.015
QUALITY = 92


@dataclass(frozen=True)
class Scenes:
    """What was written: images in `folder`/images, their boxes as COCO JSON, and a manifest with uri, group and split.

    File names in both are relative to `folder`.
    """

    folder: Path
    images: Path
    coco: Path
    manifest: Path


@dataclass(frozen=True, eq=False)
class Glyph:
    """A digit in a scene: opacity (H, W) in [0, 1], colour (3,), its corner at frame 0 and its drift in pixels a frame."""

    class_name: str
    opacity: Floats
    colour: Floats
    x: float
    y: float
    dx: float = 0.0
    dy: float = 0.0

    def box(self, frame: int) -> Box:
        """Where it is in a frame: every side touches a solid pixel, and none lies outside."""
        height, width = self.opacity.shape
        x, y = round(self.x + frame * self.dx), round(self.y + frame * self.dy)
        return Box(self.class_name, x, y, x + width, y + height)


@dataclass(frozen=True, eq=False)
class Scene:
    """A photograph (HEIGHT + 2 MARGIN, WIDTH + 2 MARGIN, 3) in [0, 1] with digits before it; `group` names a clip."""

    photograph: Floats
    glyphs: tuple[Glyph, ...]
    frames: int = 1
    group: str = ""
    split: Split = Split.POOL


@dataclass(frozen=True)
class Picture:
    """The bytes of an image file and what there is to know about it."""

    content: bytes
    boxes: tuple[Box, ...]
    group: str
    split: Split


def write_scenes(folder: Path, *, seed: int, pool: int = POOL, holdout: int = HOLDOUT) -> Scenes:
    """Write `pool` + `holdout` scenes of WIDTH x HEIGHT pixels to `folder`, and tell where their boxes stand.

    Each shows up to five digits on a crop of a photograph, a tenth shows none. Half of the pool are frames of clips, in
    which digits drift and the camera shakes. No digit and no part of a photograph is in both pool and holdout. Names and
    order tell nothing about the content. The same seed writes the same files.

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998, as `sklearn.datasets.load_digits`;
    photographs by danielbuechele and vultilion, CC BY 2.0, as `sklearn.datasets.load_sample_images`.
    """
    dice = np.random.default_rng(seed)
    pictures = list(_pictures(dice, pool=pool, holdout=holdout))
    shuffled = [pictures[place] for place in dice.permutation(len(pictures))]
    written = Scenes(folder, folder / "images", folder / "scenes.json", folder / "manifest.csv")
    written.images.mkdir(parents=True, exist_ok=True)
    names = [f"{number:04d}.jpg" for number in range(len(shuffled))]
    for name, picture in zip(names, shuffled, strict=True):
        (written.images / name).write_bytes(picture.content)
    written.coco.write_text(json.dumps(_coco(names, shuffled)), encoding="utf-8")
    with written.manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("uri", "group", "split"))
        for name, picture in zip(names, shuffled, strict=True):
            rows.writerow((f"images/{name}", picture.group, picture.split))
    return written


def _coco(names: Sequence[str], pictures: Sequence[Picture]) -> dict[str, Any]:
    """Images, annotations and categories; an image without annotations is an answer too."""
    boxes = [(number, box) for number, picture in enumerate(pictures, start=1) for box in picture.boxes]
    return {
        "images": [
            {"id": number, "file_name": f"images/{name}", "width": WIDTH, "height": HEIGHT}
            for number, name in enumerate(names, start=1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": SCENE_LABELS.index(box.class_name) + 1,
                "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
                "area": (box.x1 - box.x0) * (box.y1 - box.y0),
                "iscrowd": 0,
            }
            for number, (image, box) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(SCENE_LABELS, start=1)],
    }


def _pictures(dice: np.random.Generator, *, pool: int, holdout: int) -> Iterator[Picture]:
    from sklearn.datasets import load_sample_images  # half a second

    stock = Stock([Image.fromarray(pixels) for pixels in load_sample_images().images], dice)
    clips = int(CLIP_SHARE * pool) // CLIP_FRAMES
    for number in range(clips):
        yield from _film(stock.scene(Split.POOL, group=f"clip-{number:03d}", frames=CLIP_FRAMES), dice)
    for _ in range(pool - clips * CLIP_FRAMES):
        yield from _film(stock.scene(Split.POOL), dice)
    for _ in range(holdout):
        yield from _film(stock.scene(Split.HOLDOUT), dice)


def _film(scene: Scene, dice: np.random.Generator) -> Iterator[Picture]:
    """The frames of a scene; from one to the next the camera shakes and the light flickers."""
    for frame in range(scene.frames):
        shake = dice.integers(-2, 3, size=2) if scene.frames > 1 else np.zeros(2, np.int64)
        light = dice.normal(1.0, 0.03) if scene.frames > 1 else 1.0
        pixels, boxes = draw(scene, frame, shake=(int(shake[0]), int(shake[1])))
        noisy = pixels * light + dice.normal(0.0, NOISE, pixels.shape)
        yield Picture(_jpeg(noisy), boxes, scene.group, scene.split)


def draw(scene: Scene, frame: int, *, shake: tuple[int, int] = (0, 0)) -> tuple[Floats, tuple[Box, ...]]:
    """A frame (HEIGHT, WIDTH, 3) in [0, 1] and its boxes; `shake` moves the photograph by so many pixels to the left and up."""
    left, top = MARGIN + shake[0], MARGIN + shake[1]
    pixels = scene.photograph[top : top + HEIGHT, left : left + WIDTH].copy()
    boxes = tuple(glyph.box(frame) for glyph in scene.glyphs)
    for glyph, box in zip(scene.glyphs, boxes, strict=True):
        part = pixels[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
        part += glyph.opacity[..., None] * (glyph.colour - part)
    return pixels, boxes


class Stock:
    """The digits and photographs that scenes are made of; `rows` are those of scikit-learn's digits that a split may show."""

    def __init__(self, photographs: Sequence[Image.Image], dice: np.random.Generator) -> None:
        from sklearn.datasets import load_digits  # half a second

        digits = load_digits()
        wanted = dice.permutation(np.flatnonzero(np.isin(digits.target, [int(name) for name in SCENE_LABELS])))
        held = len(wanted) // 5
        self.rows = {Split.HOLDOUT: wanted[:held], Split.POOL: wanted[held:]}
        self._digits, self._classes = digits.images / 16.0, digits.target
        self._photographs, self._dice = photographs, dice

    def scene(self, split: Split, *, group: str = "", frames: int = 1) -> Scene:
        """A scene of so many frames."""
        photograph = self._photograph(split)
        digits = 0 if self._dice.random() < EMPTY_SHARE else int(self._dice.integers(1, MOST_DIGITS + 1))
        glyphs: list[Glyph] = []
        for _ in range(20 * digits):  # a digit that finds no room is left out
            glyph = self._glyph(split, photograph, frames=frames)
            if len(glyphs) < digits and _has_room(glyph, glyphs, frames=frames):
                glyphs.append(glyph)
        return Scene(photograph, tuple(glyphs), frames, group, split)

    def _photograph(self, split: Split) -> Floats:
        """A random crop of a random photograph, its light changed."""
        dice = self._dice
        image = self._photographs[int(dice.integers(len(self._photographs)))]
        seam = round(SEAM * image.width)
        first, last = (0, seam) if split is Split.POOL else (seam, image.width)
        size = np.array([WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN])
        crop = size * dice.uniform(0.75, 1.5)
        x, y = dice.uniform(first, last - crop[0]), dice.uniform(0, image.height - crop[1])
        small = image.resize((int(size[0]), int(size[1])), Image.Resampling.BILINEAR, (x, y, x + crop[0], y + crop[1]))
        pixels = np.asarray(small, dtype=np.float32) / 255
        return np.asarray(np.clip(pixels * dice.uniform(0.6, 1.3), 0, 1), dtype=np.float32)

    def _glyph(self, split: Split, photograph: Floats, *, frames: int) -> Glyph:
        """A digit of random size, place and drift, lighter or darker than what is behind it."""
        dice = self._dice
        row = dice.choice(self.rows[split])
        opacity = _enlarge(self._digits[row], round(dice.uniform(SMALLEST, LARGEST)))
        height, width = opacity.shape
        drift = dice.uniform(-1.5, 1.5, size=2) if frames > 1 else np.zeros(2)
        way = (frames - 1) * drift
        low, high = np.maximum(0, -way), np.array([WIDTH - width, HEIGHT - height]) - np.maximum(0, way)
        x, y = dice.uniform(low, high)
        behind = photograph[MARGIN + int(y) :, MARGIN + int(x) :][:height, :width].mean(axis=(0, 1))
        name = str(self._classes[row])
        return Glyph(name, opacity, _colour(behind, dice), float(x), float(y), float(drift[0]), float(drift[1]))


def _enlarge(digit: NDArray[np.float64], side: int) -> Floats:
    """A digit (8, 8) in [0, 1] as an opacity of about `side` pixels, cut so that each edge has a solid pixel."""
    small = Image.fromarray(digit.astype(np.float32))
    opacity = np.clip(np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)), 0, 1)
    rows, columns = np.flatnonzero((opacity >= SOLID).any(axis=1)), np.flatnonzero((opacity >= SOLID).any(axis=0))
    cut = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.where(cut < FAINT, 0, cut).astype(np.float32)


def _colour(behind: Floats, dice: np.random.Generator) -> Floats:
    """A colour with contrast to what is behind: sometimes little, never none."""
    goal = 1.0 if behind.mean() < dice.uniform(0.35, 0.65) else 0.0
    tint = np.abs(goal - dice.uniform(0.0, 0.45, size=3))
    return np.asarray(behind + dice.uniform(0.5, 1.0) * (tint - behind), dtype=np.float32)


def _has_room(glyph: Glyph, others: Sequence[Glyph], *, frames: int) -> bool:
    """Whether it covers little of any other in every frame."""
    return all(_covered(glyph.box(t), other.box(t)) <= MOST_COVERED for other in others for t in range(frames))


def _covered(one: Box, other: Box) -> float:
    """The share of the smaller box that lies in the larger one."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other)]
    return max(0.0, width) * max(0.0, height) / min(areas)


def _jpeg(pixels: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(file, "jpeg", quality=QUALITY)
    return file.getvalue()
