"""The frozen holdout: drawn once, by whole groups, and known by its hash ever after."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from alloop.errors import PoolExhausted
from alloop.nouns import Box, Content, Sample, TrainingLabel

__all__ = ["draw_holdout", "holdout_hash"]

OVERSHOOT = 1.1
"""A group may carry the holdout past its size by a tenth; one that would carry it further is skipped."""


def draw_holdout(samples: Sequence[Sample], size: int, rng: np.random.Generator) -> frozenset[str]:
    """The ids of a random holdout of about `size` samples: whole groups, classes in the proportion of the pool.

    Groups are drawn until `size` is reached. One that would carry the total past 1.1 x size, or leave the pool empty, is
    skipped, so with large groups the holdout may be smaller than asked. A group counts for the class most of its `truth`
    has; strip `truth` where it is an oracle that the loop must not see. The same seed gives the same holdout, whatever the
    order of `samples`.

    Raises:
        PoolExhausted: the pool has no more than `size` samples, or every group is too large.
    """
    if size >= len(samples):
        raise PoolExhausted(
            f"a holdout of {size} needs a pool of more than {size} samples, and it has {len(samples)}; "
            "add images or lower loop.holdout"
        )
    groups = _groups(samples)
    limit = min(int(OVERSHOOT * size), len(samples) - 1)
    chosen: list[str] = []
    for ids in _interleave(groups, rng):
        if len(chosen) < size and len(chosen) + len(ids) <= limit:
            chosen += ids
    if not chosen:
        smallest = min(len(members) for members in groups)
        raise PoolExhausted(
            f"a holdout of {size} cannot be drawn: the smallest group has {smallest} samples; "
            f"raise loop.holdout to {smallest} or add smaller groups"
        )
    return frozenset(chosen)


def holdout_hash(labels: Iterable[TrainingLabel]) -> str:
    """The sha256 over the ids and contents of the holdout, in hexadecimal; the order of samples and boxes is no part of it."""
    lines = sorted(json.dumps([label.sample.id, *_canonical(label.content)]) for label in labels)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _groups(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Samples by group in an order that depends on ids only; a sample without a group is one of its own."""
    groups: defaultdict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=lambda sample: sample.id):
        groups[("group", sample.group) if sample.group is not None else ("id", sample.id)].append(sample)
    return list(groups.values())


def _interleave(groups: list[list[Sample]], rng: np.random.Generator) -> list[list[str]]:
    """The ids of each group in random order, arranged so that every prefix holds the classes in proportion.

    Each class is shuffled and spread evenly over [0, 1) from a random start (systematic sampling).
    """
    strata: defaultdict[str, list[list[Sample]]] = defaultdict(list)
    for members in groups:
        strata[_class_of(members)].append(members)
    placed: list[tuple[float, list[str]]] = []
    for _, stratum in sorted(strata.items()):
        shuffled = [[sample.id for sample in stratum[index]] for index in rng.permutation(len(stratum))]
        sizes = np.array([len(ids) for ids in shuffled])
        places = (np.cumsum(sizes) - sizes + rng.random() * sizes[0]) / sizes.sum()
        placed += zip(places.tolist(), shuffled, strict=True)
    return [ids for _, ids in sorted(placed)]


def _class_of(members: list[Sample]) -> str:
    """The commonest class in the group, "" when nothing is known."""
    names = Counter(name for sample in members if sample.truth for name in _class_names(sample.truth))
    return min(names, key=lambda name: (-names[name], name), default="")


def _class_names(content: Content) -> list[str]:
    return [box.class_name for box in content.boxes] if content.class_name is None else [content.class_name]


def _canonical(content: Content) -> tuple[str | None, list[str]]:
    return content.class_name, sorted(_box_text(box) for box in content.boxes)


def _box_text(box: Box) -> str:
    numbers = [box.x0, box.y0, box.x1, box.y1, *(value for point in box.polygon for value in point)]
    return json.dumps([box.class_name, *(float(number) for number in numbers)])
