"""What labelling costs: what people did to the boxes that a model proposed."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from alloop.nouns import Content, Task
from alloop.overlaps import SAME_OBJECT, Shapes, overlaps_of, shapes_of

__all__ = ["Corrections", "compare", "total"]

SAME_EDGES = 0.95
"""The IoU from which nobody is taken to have moved an edge: tools round corners and simplify outlines on the way, which in a
box of 40 pixels costs up to 0.05, and mAP rewards nothing beyond it."""
ROUNDING_PX = 0.5
"""A box is not moved either when no edge is further off than rounding to whole pixels: in small ones that costs more."""


@dataclass(frozen=True)
class Corrections:
    """How many boxes (of a classifier: answers) people kept, corrected, drew themselves, and deleted."""

    kept: int = 0
    corrected: int = 0
    drawn: int = 0
    deleted: int = 0

    @property
    def instances(self) -> int:
        """The boxes in the answers."""
        return self.kept + self.corrected + self.drawn

    @property
    def proposed(self) -> int:
        """The boxes that the model had proposed."""
        return self.kept + self.corrected + self.deleted


def compare(proposed: Content, answered: Content, *, task: Task) -> Corrections:
    """What became of a proposal, where Content() proposes nothing.

    Boxes are paired one to one (Hungarian), as many as possible as kept ones and then with the greatest sum of IoU, never
    below SAME_OBJECT, whatever their class. A pair is kept when its class is the same and its edges are, else corrected.
    """
    if task is Task.CLASSIFY:
        return _compare_classes(proposed.class_name, answered.class_name)
    ours, theirs = shapes_of(proposed.boxes), shapes_of(answered.boxes)
    overlaps = overlaps_of(ours, theirs, task=task)
    is_same = _of_one_class(proposed, answered) & _has_edges_of(ours, theirs, overlaps)
    paired = _pairs(overlaps, is_same)
    kept = int(is_same[paired].sum())
    return Corrections(
        kept=kept,
        corrected=len(paired[0]) - kept,
        drawn=len(answered.boxes) - len(paired[0]),
        deleted=len(proposed.boxes) - len(paired[0]),
    )


def total(parts: Iterable[Corrections]) -> Corrections:
    """The sum over a batch."""
    return Corrections(*(sum(column) for column in zip(*map(astuple, parts), strict=True)))


def _compare_classes(proposed: str | None, answered: str | None) -> Corrections:
    if proposed is None or answered is None:
        return Corrections(drawn=int(answered is not None), deleted=int(proposed is not None))
    return Corrections(kept=1) if proposed == answered else Corrections(corrected=1)


def _of_one_class(proposed: Content, answered: Content) -> NDArray[np.bool_]:
    """(P, A): whether two boxes have one class."""
    ours, theirs = (np.array([box.class_name for box in content.boxes], dtype=str) for content in (proposed, answered))
    return np.asarray(ours[:, None] == theirs)


def _has_edges_of(ours: Shapes, theirs: Shapes, overlaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(P, A): whether two boxes are one object whose edges nobody moved."""
    moved_px = np.abs(ours.corners[:, None] - theirs.corners).max(axis=2, initial=0)
    is_rounded = (moved_px <= ROUNDING_PX) & ~(ours.has_polygon[:, None] | theirs.has_polygon)
    return np.asarray((overlaps >= SAME_EDGES) | ((overlaps >= SAME_OBJECT) & is_rounded))


def _pairs(overlaps: NDArray[np.float64], is_same: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(M,) rows and (M,) columns: which proposed box is which answered one."""
    from scipy.optimize import linear_sum_assignment  # a quarter of a second

    worth = (
        np.where(overlaps >= SAME_OBJECT, overlaps, 0.0) + 2 * is_same
    )  # a kept box is worth more than any two others
    rows, columns = linear_sum_assignment(worth, maximize=True)
    paired = overlaps[rows, columns] >= SAME_OBJECT
    return rows[paired], columns[paired]
