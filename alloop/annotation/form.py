"""What a tool that people draw in is asked, and what it has to know of the images: Label Studio and CVAT alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from alloop.nouns import Task

__all__ = ["Form", "SizeOf"]

SizeOf = Callable[[Sequence[str]], Mapping[str, tuple[int, int]]]
"""The (width, height) in pixels of the upright images of samples, by sample id; unknown ones may be missing."""


@dataclass(frozen=True)
class Form:
    """What may be answered."""

    task: Task
    labels: tuple[str, ...]
