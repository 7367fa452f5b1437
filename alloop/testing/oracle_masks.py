"""A MaskModel that knows the truth, for tests of what a second opinion does; how much of it, and how well, is chosen.

Give it to a project with `write_oracle(path, ...)` and, in alloop.toml, `[committee]` with
`kind = "alloop.testing.oracle_masks:from_config"` and the path as `checkpoint`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from alloop.errors import ConfigError
from alloop.images import read_image
from alloop.models.base import Masks
from alloop.nouns import Box, Content, Floats, Sample
from alloop.sections import CommitteeSection, Project

__all__ = ["OracleMasks", "from_config", "pixels_id", "truths_of", "write_oracle"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Seen:
    """An object as the oracle draws it: its mask (H, W), the box it answers to (4,), and the mask's IoU with the truth."""

    mask: Mask
    corners: Floats
    quality: float


class OracleMasks:
    """A MaskModel that looks up what is in an image: `truths` maps `pixels_id(image)` to the boxes in it.

    It does not know of the share `dropped` of the objects, and draws the others aside by up to `jitter` times their
    size. Which, and where to, depends on `seed` and the image alone; of a larger share it drops the same ones and more.
    """

    def __init__(
        self, truths: Mapping[str, Content], *, dropped: float = 0.0, jitter: float = 0.0, seed: int = 0
    ) -> None:
        self._truths = truths
        self._dropped = dropped
        self._jitter = jitter
        self._seed = seed

    def masks_of(self, image: NDArray[np.uint8], boxes: Floats) -> Masks:
        """The mask of the object whose box overlaps each of the boxes (B, 4) most; an empty one where none does."""
        seen = self._look(image)
        return _masks([_best(seen, corners, image.shape[:2]) for corners in np.asarray(boxes)], image.shape[:2])

    def propose(self, image: NDArray[np.uint8]) -> Masks:
        """The masks of all objects that it knows of, without those drawn quite outside of the image."""
        return _masks(self._look(image), image.shape[:2])

    def _look(self, image: NDArray[np.uint8]) -> list[_Seen]:
        """ConfigError when it was told nothing about this image: it would see nothing, and nobody would know why."""
        name = pixels_id(image)
        if name not in self._truths:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise ConfigError(f"the oracle knows no image of {size} pixels with id {name[:12]}…; add it to its truths")
        boxes = self._truths[name].boxes
        chances = np.random.default_rng([self._seed, int(name[:16], 16)]).random((len(boxes), 3))
        seen = [
            _draw(box, shift=(2 * chance[1:] - 1) * self._jitter, size=image.shape[:2])
            for box, chance in zip(boxes, chances, strict=True)
            if chance[0] >= self._dropped
        ]
        return [one for one in seen if one.mask.any()]


def pixels_id(image: NDArray[np.uint8]) -> str:
    """What the oracle knows an image (H, W, 3) uint8 RGB by: the sha256 of its size and its decoded pixels."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def truths_of(samples: Iterable[Sample]) -> dict[str, Content]:
    """What the oracle needs to know about the samples that have a truth; BadImage when an image cannot be read."""
    known = [(sample.uri, sample.truth) for sample in samples if sample.truth is not None]
    return {pixels_id(np.asarray(read_image(uri))): truth for uri, truth in known}


def write_oracle(
    path: Path, truths: Mapping[str, Content], *, dropped: float = 0.0, jitter: float = 0.0, seed: int = 0
) -> Path:
    """Write an oracle to `path`, as `from_config` reads it; returns the path."""
    facts = {"dropped": dropped, "jitter": jitter, "seed": seed}
    boxes = {name: [asdict(box) for box in content.boxes] for name, content in truths.items()}
    path.write_text(json.dumps(facts | {"truths": boxes}), encoding="utf-8")
    return path


def from_config(project: Project, section: CommitteeSection) -> OracleMasks:
    """The oracle in the file that `[committee] checkpoint` names; ConfigError when there is none."""
    del project
    if section.checkpoint is None:
        raise ConfigError("the oracle needs the file that write_oracle wrote; set [committee] checkpoint to it")
    facts = json.loads(section.checkpoint.read_text(encoding="utf-8"))
    truths = {name: Content(boxes=tuple(map(_box, boxes))) for name, boxes in facts.pop("truths").items()}
    return OracleMasks(truths, **facts)


def _box(facts: dict[str, Any]) -> Box:
    return Box(**facts | {"polygon": tuple((x, y) for x, y in facts["polygon"])})


def _draw(box: Box, *, shift: Floats, size: tuple[int, ...]) -> _Seen:
    right, down = shift * (box.x1 - box.x0, box.y1 - box.y0)
    moved = Box(
        box.class_name,
        box.x0 + right,
        box.y0 + down,
        box.x1 + right,
        box.y1 + down,
        polygon=tuple((x + right, y + down) for x, y in box.polygon),
    )
    truth, mask = _raster(box, size), _raster(moved, size)
    return _Seen(mask, np.array([box.x0, box.y0, box.x1, box.y1], np.float32), _overlap(truth, mask))


def _raster(box: Box, size: tuple[int, ...]) -> Mask:
    """The pixels (H, W) bool whose centres lie in the polygon, or in the box when there is none."""
    if not box.polygon:
        rows, columns = (np.arange(length) + 0.5 for length in size)
        inside: Mask = np.logical_and.outer(
            (box.y0 <= rows) & (rows < box.y1), (box.x0 <= columns) & (columns < box.x1)
        )
        return inside
    paper = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(paper).polygon([(x - 0.5, y - 0.5) for x, y in box.polygon], fill=1)
    return np.asarray(paper, dtype=np.bool_)


def _best(seen: list[_Seen], corners: Floats, size: tuple[int, ...]) -> _Seen:
    overlaps = [_box_overlap(one.corners, corners) for one in seen]
    if not overlaps or max(overlaps) <= 0:
        return _Seen(np.zeros(size, dtype=np.bool_), corners, 0.0)
    return seen[int(np.argmax(overlaps))]


def _overlap(one: Mask, other: Mask) -> float:
    """Intersection over union; 0 where both are empty."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def _box_overlap(one: Floats, other: Floats) -> float:
    """Intersection over union of two boxes (4,)."""
    sides = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None)
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    shared = float(np.prod(sides))
    return shared / (sum(areas) - shared) if shared else 0.0


def _masks(seen: list[_Seen], size: tuple[int, ...]) -> Masks:
    masks = np.array([one.mask for one in seen], dtype=np.bool_).reshape(-1, *size)
    quality = np.array([one.quality for one in seen], dtype=np.float32)
    return Masks(masks, quality, stability=np.array([one.mask.any() for one in seen], dtype=np.float32))
