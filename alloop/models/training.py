"""Training a classifier for a fixed number of steps: AdamW, one cycle of the learning rate, mild augmentation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from alloop.errors import ConfigError
from alloop.models.architectures import Classifier
from alloop.models.pixels import augment, to_tensor
from alloop.nouns import Integers, Progress

__all__ = ["Schedule", "train"]

WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Schedule:
    """How long to train: `steps` batches of `batch_size` images, the learning rate peaking at `learning_rate`."""

    steps: int
    batch_size: int
    learning_rate: float


def train(
    network: Classifier,
    pixels: NDArray[np.uint8],
    classes: Integers,
    *,
    schedule: Schedule,
    generator: torch.Generator,
    progress: Progress,
) -> None:
    """Train the network in place on images (N, S, S, 3) uint8 and classes (N,); leaves it in evaluation mode.

    Batches are always full (a single image is repeated, each time augmented anew), for BatchNorm needs two values.
    ConfigError when the loss is no longer a finite number.
    """
    device = network.head.weight.device
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=WEIGHT_DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.learning_rate, total_steps=schedule.steps)
    network.train()
    for step, rows in enumerate(_draw(len(pixels), schedule, generator), start=1):
        logits, _ = network(augment(to_tensor(pixels[rows], device), generator))
        loss = functional.cross_entropy(logits, torch.from_numpy(classes[rows]).to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rate.step()
        progress("train", step, schedule.steps)
    network.eval()
    if not torch.isfinite(loss):
        raise ConfigError(
            f"training diverged (loss {loss.item()}); lower model.learning_rate = {schedule.learning_rate}"
        )


def _draw(count: int, schedule: Schedule, generator: torch.Generator) -> Iterator[Integers]:
    """Full batches of row numbers: shuffled passes over all rows, one after the other."""
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(schedule.steps):
        while len(left) < schedule.batch_size:
            left = torch.cat([left, torch.randperm(count, generator=generator)])
        yield left[: schedule.batch_size].numpy()
        left = left[schedule.batch_size :]
