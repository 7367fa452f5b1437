"""One forward pass of a YOLO network: every score of every class, boxes, masks and embeddings at once.

ultralytics' own predict gives one score per box, reads a list of files as one batch, and its NMS drops boxes when the
clock runs out; hence the bare network here, with torchvision's NMS.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alloop.models.yolo_letterbox import Placement
from alloop.models.yolo_masks import outline
from alloop.nouns import Detections, Floats, Task

__all__ = ["Forward", "Seen", "detect", "highest_scores", "mirror"]

STRIDE = 32
"""The smallest image side that such a network takes."""
OVERLAP = 0.7
"""Of two boxes of one class that overlap more, the weaker goes; ultralytics' default (cfg/default.yaml, iou)."""
CANDIDATES = 3000
BOXES = 300
"""The most boxes before and after that, per image; 300 is ultralytics' default (cfg/default.yaml, max_det)."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pass saw in B letterboxed images: A places on the grid, C classes, K mask coefficients.

    Attributes:
        boxes: (B, 4, A) centre, width and height in pixels of the square.
        scores: (B, C, A) sigmoids; for a classifier (B, C) softmax probabilities in double precision.
        embeddings: (B, D).
        coefficients: (B, K, A) and `prototypes` (B, K, H, W) of a segmenter.
    """

    scores: Tensor
    embeddings: Tensor
    boxes: Tensor | None = None
    coefficients: Tensor | None = None
    prototypes: Tensor | None = None


class Forward:
    """A network made fast for scoring: batch norms folded into convolutions, channels last, nothing kept for training."""

    def __init__(self, network: nn.Module, *, task: Task, device: torch.device) -> None:
        """Takes the network over: it cannot be trained any more."""
        fused: Any = network.float().eval().requires_grad_(False)
        head = fused.model[-1]
        if hasattr(head, "end2end"):
            with suppress(AttributeError):  # a head that has no choice
                head.end2end = False  # before fuse() drops a branch: the other one knows a single score per box
        self._network = fused.fuse(verbose=False).to(device, memory_format=torch.channels_last)
        self._task = task
        self._device = device
        self._features: list[Tensor] = []
        layer = head.linear if task is Task.CLASSIFY else _last_of_backbone(fused)
        layer.register_forward_hook(self._keep)
        self._classes = int(head.linear.out_features if task is Task.CLASSIFY else head.nc)
        with torch.inference_mode():
            self.dimension = int(self(np.zeros((1, STRIDE, STRIDE, 3), dtype=np.uint8)).embeddings.shape[1])

    def __call__(self, images: NDArray[np.uint8]) -> Seen:
        """What the network sees in images (B, S, S, 3) uint8 RGB; call it within torch.inference_mode."""
        batch = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)  # already channels last in memory
        answer = self._network(batch.float().div_(255))
        embeddings = self._features.pop()
        if self._task is Task.CLASSIFY:
            return Seen(answer[1].double().softmax(dim=1), embeddings)
        dense, prototypes = answer[0] if self._task is Task.SEGMENT else (answer[0], None)
        boxes, scores, coefficients = dense.tensor_split((4, 4 + self._classes), dim=1)
        return Seen(scores, embeddings, boxes, coefficients, prototypes)

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        features = inputs[0] if isinstance(layer, nn.Linear) else output.mean((2, 3))
        self._features[:] = [features]


def detect(seen: Seen, places: Sequence[Placement], *, size: int, floor: float) -> list[Detections]:
    """The boxes with a score of at least `floor` in each image, in its own pixels, after NMS per class and image."""
    confidence, best = seen.scores.max(dim=1)
    return [
        _detect_one(seen, number, place, (confidence[number], best[number]), size=size, floor=floor)
        for number, place in enumerate(places)
    ]


def mirror(seen: Seen, *, size: int) -> Seen:
    """What was seen in images (S, S) flipped left to right, as if they had not been."""
    assert seen.boxes is not None
    boxes = seen.boxes.clone()
    boxes[:, 0] = size - boxes[:, 0]
    prototypes = None if seen.prototypes is None else seen.prototypes.flip(3)
    return Seen(seen.scores, seen.embeddings, boxes, seen.coefficients, prototypes)


def _detect_one(
    seen: Seen, number: int, place: Placement, strongest: tuple[Tensor, Tensor], *, size: int, floor: float
) -> Detections:
    from torchvision.ops import batched_nms, box_convert

    assert seen.boxes is not None
    confidence, best = strongest
    highest = float(confidence.max())
    kept = torch.nonzero(confidence >= floor).flatten()
    if len(kept) > CANDIDATES:
        kept = kept[confidence[kept].topk(CANDIDATES).indices]
    squares = box_convert(seen.boxes[number][:, kept].T, "cxcywh", "xyxy")
    chosen = batched_nms(squares, confidence[kept], best[kept], OVERLAP)[:BOXES]
    kept, squares = kept[chosen], squares[chosen].float().cpu().numpy()
    boxes = place.back(squares)
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # the grey border holds no objects
    scores = seen.scores[number][:, kept].T.float().cpu().numpy()
    if seen.prototypes is None or seen.coefficients is None:
        return Detections(boxes[real], scores[real], highest)
    coefficients = seen.coefficients[number][:, kept].T.float().cpu().numpy()[real]
    prototypes = seen.prototypes[number].float().cpu().numpy()
    polygons, doubt = outline(coefficients, prototypes, squares[real], size=size, place=place)
    return Detections(boxes[real], scores[real], highest, polygons, doubt)


def _last_of_backbone(network: Any) -> nn.Module:
    """SPPF, where the backbone of most families ends; without one, the coarsest map that the head looks at."""
    pooling = [layer for layer in network.model if type(layer).__name__ == "SPPF"]
    last: nn.Module = pooling[-1] if pooling else network.model[network.model[-1].f[-1]]
    return last


def highest_scores(seen: Seen) -> Floats:
    """(B, C) float32: the highest score of each class anywhere in each image, or a classifier's probabilities."""
    scores = seen.scores if seen.scores.ndim == 2 else seen.scores.amax(dim=2)
    rows: Floats = scores.float().cpu().numpy()
    return rows
