"""The words of the loop as frozen records; they hold values and know nothing else.

Arrays are numpy, times are aware UTC, ids are strings. A sample's id is the sha256 of its file's bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Polygon = tuple[tuple[float, float], ...]
"""(x, y) pairs in pixels, at least three."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: not known)."""


def no_progress(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""


STEPS = (
    "score_pool",
    "diversity_select",
    "push_to_annotation",
    "wait_for_labels",
    "retrain",
    "holdout_eval",
    "strategy_switch",
)


class Task(StrEnum):
    """What the model answers."""

    CLASSIFY = "classify"
    DETECT = "detect"
    SEGMENT = "segment"


class Split(StrEnum):
    """Where a sample lives: the pool feeds batches, the holdout measures, aside does neither."""

    POOL = "pool"
    HOLDOUT = "holdout"
    ASIDE = "aside"


class Outcome(StrEnum):
    """What became of a sample that was shown to an annotator."""

    LABELLED = "labelled"
    UNCLEAR = "unclear"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    EXPIRED = "expired"


class Lane(StrEnum):
    """Why a sample is in a batch: chosen, random control, asked again, or part of the holdout to be."""

    ACTIVE = "active"
    CONTROL = "control"
    RELABEL = "relabel"
    HOLDOUT = "holdout"


class Action(StrEnum):
    """What a decision asks of the next cycle."""

    START = "start"
    KEEP = "keep"
    SWITCH = "switch"
    HOLD = "hold"
    STOP = "stop"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Box:
    """One object: class and corners in absolute pixels of the original image, polygon optional (x, y pairs)."""

    class_name: str
    x0: float
    y0: float
    x1: float
    y1: float
    polygon: Polygon = ()


@dataclass(frozen=True)
class Content:
    """What a label says: a class for a classifier, boxes for a detector or segmenter (none is an answer too)."""

    class_name: str | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One image of the pool. `truth` is a human label from the manifest, hidden from the loop when the tool is simulated."""

    id: str
    uri: str
    group: str | None = None
    split: Split = Split.POOL
    truth: Content | None = None


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector sees in one image: B boxes, the surest first.

    Attributes:
        boxes: (B, 4) float32, corners x0, y0, x1, y1 in pixels of the upright original image.
        class_scores: (B, C) float32, a sigmoid of its own per class: rows do not sum to 1.
        best: the highest class score anywhere in the image, also where it is too low to be a box.
        polygons: B outlines from a segmenter, else none.
        mask_doubt: (B,) float32 from a segmenter, 0 to 1: how much of each mask lies near its threshold.
    """

    boxes: Floats
    class_scores: Floats
    best: float = 0.0
    polygons: tuple[Polygon, ...] = ()
    mask_doubt: Floats | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def confidence(self) -> Floats:
        """(B,) float32: the highest class score of each box."""
        return self.class_scores.max(axis=1) if len(self) else np.empty(0, np.float32)


@dataclass(frozen=True)
class Predictions:
    """A model's answer for N samples: probabilities (N, C) float32, embeddings (N, D) float32 when asked.

    A detector gives N `detections`, and as probabilities the highest score of each class in the image, so rows do not
    sum to 1.
    """

    ids: tuple[str, ...]
    probabilities: Floats
    embeddings: Floats | None = None
    detections: tuple[Detections, ...] = ()


@dataclass(frozen=True)
class Prelabel:
    """What the champion would answer; shown to annotators, never training data."""

    model_version: str
    content: Content
    confidence: float


@dataclass(frozen=True)
class Evidence:
    """One place in an image that a committee disagrees about: `kind` says how (see `alloop.acquisition.box_disagreement`).

    Corners in pixels of the original image; `weight` is what it adds to the image's score, 0 to 1.
    """

    kind: str
    x0: float
    y0: float
    x1: float
    y1: float
    weight: float


@dataclass(frozen=True)
class BatchItem:
    """One sample of a batch and why it was chosen; rank 0 is asked first, cluster -1 and distance NaN mean none.

    Of a `blind` one the pre-label is kept, and no annotator sees it: tools show `shown`. It is answered when so many
    different `annotators` have answered it; in the lane `relabel` those are asked last who have answered it before.
    """

    sample: Sample
    rank: int
    lane: Lane
    score: float = float("nan")
    cluster: int = -1
    distance: float = float("nan")
    prelabel: Prelabel | None = None
    evidence: tuple[Evidence, ...] = ()
    blind: bool = False
    annotators: int = 1

    @property
    def shown(self) -> Prelabel | None:
        """The pre-label as annotators may see it: none in the holdout, which measures, and none of a blind sample."""
        return None if self.blind or self.lane is Lane.HOLDOUT else self.prelabel


@dataclass(frozen=True)
class Batch:
    """The samples that people label in one cycle."""

    project: str
    cycle: int
    items: tuple[BatchItem, ...]


@dataclass(frozen=True)
class Label:
    """An annotator's answer as the tool tells it; `ref` names it in the tool, `deleted` says it was taken back there."""

    sample_id: str
    annotator: str
    outcome: Outcome
    ref: str
    updated_at: datetime
    content: Content | None = None
    lead_time_s: float | None = None
    deleted: bool = False


@dataclass(frozen=True)
class Refusal:
    """Input that was set aside: where it stands and why."""

    where: str
    reason: str


def _nothing_is(where: str) -> bool:  # noqa: ARG001
    return False


@dataclass(frozen=True)
class Changes:
    """What a tool has to tell since a cursor.

    `present`, when a tool knows it, is every annotation ref it holds now: one that is missing from it was deleted.
    `is_mended` says of the `where` of an earlier refusal that it does not hold any more, unless `refused` repeats it.
    """

    labels: tuple[Label, ...]
    cursor: str
    refused: tuple[Refusal, ...] = ()
    present: frozenset[str] | None = None
    is_mended: Callable[[str], bool] = field(default=_nothing_is, compare=False)


@dataclass(frozen=True)
class TrainingLabel:
    """A sample with the human answer it is trained or judged on."""

    sample: Sample
    content: Content


@dataclass(frozen=True)
class Cycle:
    """One turn of the loop; `nominal` is the batch size it aims at."""

    project: str
    number: int
    strategy: str
    nominal: int
    opened_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True)
class Stage:
    """The clock of one step in one cycle; `work_s` is the processor's side of it, in real seconds."""

    cycle: int
    step: str
    started_at: datetime
    finished_at: datetime | None = None
    work_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelVersion:
    """A trained model: its file by sha256, and all that made it."""

    name: str
    cycle: int
    sha256: str
    parent: str | None
    label_set_hash: str
    labels: int
    seed: int
    mode: str
    created_at: datetime


@dataclass(frozen=True)
class Evaluation:
    """A model on the frozen holdout: value in points (0-100) with a 95 % interval; per-sample results in a file."""

    version: str
    cycle: int
    metric: str
    points: float
    low: float
    high: float
    samples: int
    holdout_hash: str
    results_path: str
    results_sha256: str


@dataclass(frozen=True)
class Lift:
    """Points on the holdout from the previous challenger to this one, with a 95 % interval."""

    points: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """What the loop does next and why; `strategy` is the one of the next cycle, `judged` the one of this."""

    cycle: int
    action: Action
    judged: str
    strategy: str
    reason: str
    threshold_points: float
    lift: Lift | None = None
    miss: bool = False
    firm: bool = False
    unclear_rate: float = 0.0


@dataclass(frozen=True)
class Flag:
    """An SLA announcement: kind `at_risk`, `breached` or `recovered`, the stage or `cycle`, and hours: taken, or forecast."""

    cycle: int
    stage: str
    kind: str
    hours: float
    at: datetime
