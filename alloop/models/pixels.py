"""Images as tensors: normalised for networks, and mildly varied while they are trained."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["augment", "to_tensor"]

MEAN = (0.485, 0.456, 0.406)
SPREAD = (0.229, 0.224, 0.225)
"""ImageNet's, which torchvision's and most of timm's weights expect (torchvision docs, "Models")."""

SHIFT = 0.1
TURN_DEGREES = 12.0
ZOOM = 0.12
LIGHT = 0.2
"""No flips: digits, signs and much else change their class in a mirror. The accuracies in architectures.py used these."""


def to_tensor(images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], device: torch.device) -> Tensor:
    """Images (B, S, S, 3) uint8 as (B, 3, S, S) float32 on the device, normalised per channel."""
    batch = torch.from_numpy(np.stack(list(images))).to(device).permute(0, 3, 1, 2).float() / 255
    mean, spread = (torch.tensor(three, device=device).view(1, 3, 1, 1) for three in (MEAN, SPREAD))
    return (batch - mean) / spread


def augment(batch: Tensor, generator: torch.Generator) -> Tensor:
    """The images (B, 3, S, S) float32 slightly shifted, turned, zoomed and lit; borders repeat."""

    def within(bound: float) -> Tensor:
        return (torch.rand(len(batch), generator=generator) * 2 - 1) * bound

    turn, zoom = within(math.radians(TURN_DEGREES)), 1 + within(ZOOM)
    along, across = turn.cos() * zoom, turn.sin() * zoom
    rows = (along, -across, within(2 * SHIFT), across, along, within(2 * SHIFT))
    where = functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, where.to(batch.device), padding_mode="border", align_corners=False)
    contrast, brightness = (value.view(-1, 1, 1, 1).to(batch.device) for value in (1 + within(LIGHT), within(LIGHT)))
    return moved * contrast + brightness
