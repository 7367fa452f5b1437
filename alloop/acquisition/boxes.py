"""How informative an image of a detector is: N `Detections` to (N,) scores in [0, 1]; higher is more worth labelling.

Boxes of at least 0.25 count as seen, or the surest one where there is none; boxes from 0.05 to there as perhaps missed.
As an image's best score falls from 0.25 to 0.05, its score goes over into the one of an image without any box, so
nothing jumps where the last box disappears. Every class has a sigmoid of its own; no softmax is ever taken over them. An
image with a class score that is no finite number gets NaN.

How well such scores tell an image's error was measured once (80 images, one young YOLOv8n, Spearman with 1 - F1, standard
error about 0.11, 2026-11): one minus the best score 0.52, low-confidence mass 0.24, entropy below.
Good at telling errors is not good at saving labels: choosing by least confidence was below random in three of three seeds
there, and in two with k-means after it (playing cards, 30 to 120 labels). `doubt` was not measured. Keep a random share.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol, TypeVar

import numpy as np

from alloop.acquisition.contract import ScoreBoxes
from alloop.acquisition.scores import margin
from alloop.errors import ConfigError
from alloop.nouns import Detections, Floats

__all__ = [
    "AGGREGATES",
    "BOX_SCORES",
    "FLOOR",
    "SEEN",
    "Aggregate",
    "average_of_all",
    "average_of_three",
    "binary_entropy",
    "bits",
    "class_margin",
    "doubt",
    "guarded_entropy",
    "highest",
    "least_confidence",
    "lowest",
    "mask_doubt",
    "missed_mass",
    "score_with",
]

FLOOR = 0.05  # the lowest score that is a box
SEEN = 0.25  # the lowest score that a detector would be believed with
FEW = 3  # not tuned; a plain sum would prefer images with many objects

Named = TypeVar("Named")

Aggregate = Callable[[Floats], float]
"""One number for the doubts (B,) about an image's boxes, B at least 1; their order does not matter."""


def lowest(doubts: Floats) -> float:
    """The doubt about the surest box."""
    return float(doubts.min())


def highest(doubts: Floats) -> float:
    """The doubt about the least sure box."""
    return float(doubts.max())


def average_of_three(doubts: Floats) -> float:
    """The mean of the three highest, or of all where there are fewer: it does not grow with the number of boxes."""
    return float(np.sort(doubts)[-FEW:].mean())


def average_of_all(doubts: Floats) -> float:
    """The sum divided by three more than there are: near the mean for many boxes, and less for one or two."""
    return float(np.sort(doubts).sum() / (FEW + len(doubts)))


def doubt(images: Sequence[Detections], *, aggregate: Aggregate = average_of_three) -> Floats:
    """Half doubt about what is seen, half what is perhaps missed: (N,) float32 in [0, 1]; the default.

    0.5 x aggregate of 1 - p over the boxes of p >= 0.25, plus 0.5 x `missed_mass`; 1 - best without any box. Images that
    are truly empty rank high with it, so their share of a batch is capped (`Options.empty_share`).
    """

    def seen(image: Detections) -> float:
        return 0.5 * aggregate(_counted(image, _unsure(image))) + 0.5 * _missed(image)

    return _faded(images, seen, _unseen)


def least_confidence(images: Sequence[Detections], *, aggregate: Aggregate = lowest) -> Floats:
    """One minus the score of the surest box, or of the best that is none: (N,) float32 in [0, 1]."""
    return _faded(images, lambda image: aggregate(_counted(image, _unsure(image))), _unseen)


def class_margin(images: Sequence[Detections], *, aggregate: Aggregate = average_of_three) -> Floats:
    """One minus the lead of a box's first class over its second: (N,) float32 in [0, 1]; 1 - best without any box."""
    return _faded(images, lambda image: aggregate(_counted(image, margin(image.class_scores))), _unseen)


def missed_mass(images: Sequence[Detections]) -> Floats:
    """The sum x of scores in [0.05, 0.25) as x / (1 + x): (N,) float32 in [0, 1).

    It grows with the number of boxes that a detector nearly believes. Without any box x is the best score.
    """
    return np.array([_missed(image) if _is_sound(image) else np.nan for image in images], dtype=np.float32)


def binary_entropy(images: Sequence[Detections], *, aggregate: Aggregate = average_of_three) -> Floats:
    """Entropy of a box being there, in bits: (N,) float32 in [0, 1]; misleading for a young detector.

    Most of its scores are under 0.5 (0.25 on average), where entropy grows with the score: it prefers the images where
    more is seen, and seen better. Its Spearman correlation with 1 - F1 was 0.02 (highest), -0.16 (mean) and 0.11 (mean of
    three), against 0.52 for least confidence (80 images, 2026-11). `guarded_entropy` does not turn round.
    """
    return _faded(
        images,
        lambda image: aggregate(_counted(image, bits(image.confidence))),
        lambda best: float(bits(np.array([best]))[0]),
    )


def guarded_entropy(images: Sequence[Detections], *, aggregate: Aggregate = average_of_three) -> Floats:
    """1 for a box under 0.5, and its entropy in bits above: (N,) float32 in [0, 1]; 1 without any box."""

    def seen(image: Detections) -> float:
        guarded = np.where(image.confidence < 0.5, np.float32(1), bits(image.confidence))
        return aggregate(_counted(image, guarded))

    return _faded(images, seen, lambda _: 1.0)


def mask_doubt(images: Sequence[Detections], *, aggregate: Aggregate = average_of_three) -> Floats:
    """How much of each mask lies near its threshold: (N,) float32 in [0, 1]; 1 - best without any box.

    ConfigError when there are boxes without masks: it is for segmenters.
    """

    def seen(image: Detections) -> float:
        if image.mask_doubt is None:
            raise ConfigError("box_score 'mask-doubt' needs masks, and the model gives none; set it to 'doubt'")
        return aggregate(_counted(image, image.mask_doubt))

    return _faded(images, seen, _unseen)


AGGREGATES: Mapping[str, Aggregate] = MappingProxyType(
    {"min": lowest, "max": highest, "top3": average_of_three, "sum": average_of_all}
)
_AGGREGATED: Mapping[str, "_Aggregated"] = MappingProxyType(
    {
        "doubt": doubt,
        "least-confidence": least_confidence,
        "class-margin": class_margin,
        "binary-entropy": binary_entropy,
        "guarded-entropy": guarded_entropy,
        "mask-doubt": mask_doubt,
    }
)
BOX_SCORES: Mapping[str, ScoreBoxes] = MappingProxyType({**_AGGREGATED, "missed-mass": missed_mass})


class _Aggregated(Protocol):
    """A box score that makes one number of an image's boxes."""

    def __call__(self, images: Sequence[Detections], *, aggregate: Aggregate = ...) -> Floats: ...


def score_with(name: str, aggregate: str | None = None) -> ScoreBoxes:
    """The box score called `name`, with the aggregate of that name, or its own.

    Raises:
        ConfigError: an unknown name, or an aggregate for a score that has none.
    """
    score = _named(BOX_SCORES, name, "box_score")
    if aggregate is None:
        return score
    chosen = _named(AGGREGATES, aggregate, "box_aggregate")
    if name not in _AGGREGATED:
        raise ConfigError(f"box_score '{name}' adds up scores and has no box_aggregate '{aggregate}'; leave it out")
    return partial(_AGGREGATED[name], aggregate=chosen)


def _named(table: Mapping[str, Named], name: str, setting: str) -> Named:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(table)}"
    raise ConfigError(f"there is no {setting} '{name}'; {hint}")


def _faded(
    images: Sequence[Detections], seen: Callable[[Detections], float], unseen: Callable[[float], float]
) -> Floats:
    """`seen` where the best score is 0.25 or more, `unseen` of the best score up to 0.05, and between them a mixture."""

    def score(image: Detections) -> float:
        best = _best(image)
        share = float(np.clip((best - FLOOR) / (SEEN - FLOOR), 0, 1)) if len(image) else 0.0
        return unseen(best) if share == 0 else share * seen(image) + (1 - share) * unseen(best)

    scores = [min(max(score(image), 0.0), 1.0) if _is_sound(image) else np.nan for image in images]
    return np.array(scores, dtype=np.float32)


def _is_sound(image: Detections) -> bool:
    return bool(np.isfinite(image.class_scores).all() and np.isfinite(image.best))


def _best(image: Detections) -> float:
    return float(max(image.best, image.confidence.max(initial=0)))


def _counted(image: Detections, doubts: Floats) -> Floats:
    """The doubts about the boxes that are seen, or about the surest ones where none is."""
    counted: Floats = doubts[image.confidence >= min(SEEN, image.confidence.max())]
    return counted


def _unsure(image: Detections) -> Floats:
    return 1 - image.confidence


def _unseen(best: float) -> float:
    return 1 - best


def _missed(image: Detections) -> float:
    scores = image.confidence
    if not (scores >= FLOOR).any():
        return _best(image) / (1 + _best(image))
    low = float(np.sort(scores[(scores >= FLOOR) & (scores < SEEN)]).sum())
    return low / (1 + low)


def bits(scores: Floats) -> Floats:
    """Entropy in bits of each score (any shape) taken as a yes or no of its own: float32 in [0, 1]."""
    certain = (scores <= 0) | (scores >= 1)
    inside = np.where(certain, 0.5, scores)
    entropy = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return np.asarray(np.where(certain, 0, entropy), dtype=np.float32)
