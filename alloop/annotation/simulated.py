"""People made of random numbers: they see the hidden truth, err now and then, and take virtual time."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from alloop.annotation.files import locked, read_lines, write_lines
from alloop.clock import Clock
from alloop.nouns import Batch, BatchItem, Box, Changes, Content, Label, Lane, Outcome, Prelabel
from alloop.sections import SimulatedSection

__all__ = ["SimulatedAnnotators"]

LEAD_TIME_SIGMA = 0.4
"""Spread of the lognormal lead times: two thirds lie between 0.6 and 1.4 times the mean."""
BOX_JITTER = 0.03
"""A drawn edge lies at most this share of the box's side inside the true edge."""
INSTANT = timedelta(microseconds=1)
"""The finest step of a datetime; an answer comes at least this long after its push."""


@dataclass(frozen=True)
class Asked:
    """A sample in somebody's queue, and when that person answers it."""

    sample: str
    ref: str
    annotator: str
    due: str
    lead_time_s: float
    withdrawn: bool = False

    @property
    def due_at(self) -> datetime:
        """The moment of the answer, aware, in UTC."""
        return datetime.fromisoformat(self.due)


class SimulatedAnnotators:
    """An AnnotationTool whose people answer on `clock`.

    They share one queue in order of rank: whoever is free takes the next sample, and of one for several annotators so
    many of them take it. A sample of the lane relabel goes to those who have not seen it, while there are any. An answer depends on nothing but
    seed, annotator and sample: the true class, or with `error_rate` another one of `labels`. A sample without truth,
    or whose truth is not in `labels` (such as `settings.ambiguous`), is unclear. Boxes come back complete and with
    the right classes, each edge drawn a little inside the true one, differently by each annotator.

    `truths` gives the hidden truth of those sample ids that have one. One folder holds the batches of one project.
    """

    name = "simulated"

    def __init__(
        self,
        folder: Path,
        *,
        labels: tuple[str, ...],
        clock: Clock,
        seed: int,
        settings: SimulatedSection,
        truths: Callable[[Sequence[str]], Mapping[str, Content]],
    ) -> None:
        self._folder = folder
        self._labels = tuple(label for label in labels if label != settings.ambiguous)
        self._clock = clock
        self._seed = seed
        self._settings = settings
        self._truths = truths

    def push(self, batch: Batch) -> Mapping[str, str]:
        """Put the batch into the shared queue in order of rank; {sample id: task ref}."""
        path = self._folder / f"batch-{batch.cycle:04d}.jsonl"
        wanted = {item.sample.id: item for item in sorted(batch.items, key=lambda item: item.rank)}
        with locked(self._folder):
            asked = _read(path)
            known = {one.sample for one in asked}
            fresh = [item for sample, item in wanted.items() if sample not in known]
            if fresh:
                asked += self._schedule(path.stem, fresh)
                _write(path, asked)
        refs = {one.sample: one.ref for one in asked}
        return {sample: refs[sample] for sample in wanted}

    def changed_since(self, cursor: str) -> Changes:
        """All answers that fell due after `cursor` and up to now."""
        with locked(
            self._folder
        ):  # no push between reading the clock and the queue: nothing falls due behind the cursor
            now = self._clock.now()
            due = [(asked.due_at, asked) for asked in self._open()]
        since = datetime.fromisoformat(cursor) if cursor else datetime.min.replace(tzinfo=UTC)
        answered = [asked for at, asked in due if since < at <= now]
        answered.sort(key=lambda asked: (asked.due_at, asked.ref, asked.annotator))
        truths = self._truths([asked.sample for asked in answered])
        labels = tuple(self._label(asked, truths.get(asked.sample)) for asked in answered)
        return Changes(labels=labels, cursor=now.isoformat())

    def withdraw(self, refs: Collection[str]) -> None:
        """Take these tasks out of the queue unless their answer is due already."""
        unwanted = frozenset(refs)
        with locked(self._folder):
            now = self._clock.now()
            for path in self._paths():
                before = _read(path)
                after = [
                    replace(one, withdrawn=True) if one.ref in unwanted and one.due_at > now else one for one in before
                ]
                if after != before:
                    _write(path, after)

    def publish_model(self, version: str, predictions: Mapping[str, Prelabel]) -> None:
        """Nothing changes: these people do not look at pre-labels."""

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("batch-*.jsonl"))

    def _open(self) -> Iterator[Asked]:
        return (asked for path in self._paths() for asked in _read(path) if not asked.withdrawn)

    def _schedule(self, batch: str, items: Sequence[BatchItem]) -> Iterator[Asked]:
        free = {_annotator(number): at for number, at in enumerate(self._free_at())}
        seen = self._seen([item.sample.id for item in items if item.lane is Lane.RELABEL])
        for item in items:
            sample = item.sample.id
            order = sorted(free, key=lambda name: ((name, sample) in seen, free[name]))
            for annotator in order[: item.annotators]:
                lead_time_s = self._lead_time_s(annotator, sample)
                free[annotator] += max(timedelta(seconds=lead_time_s), INSTANT)
                yield Asked(sample, f"{batch}/{sample}", annotator, free[annotator].isoformat(), lead_time_s)

    def _seen(self, samples: Collection[str]) -> frozenset[tuple[str, str]]:
        """Who was asked which of these samples before."""
        wanted = frozenset(samples)
        return frozenset(
            (one.annotator, one.sample) for one in (self._open() if wanted else ()) if one.sample in wanted
        )

    def _free_at(self) -> list[datetime]:
        pickup = self._clock.now() + timedelta(hours=self._settings.pickup_hours)
        last: dict[str, datetime] = {}
        for asked in self._open():
            last[asked.annotator] = max(last.get(asked.annotator, pickup), asked.due_at)
        return [last.get(_annotator(number), pickup) for number in range(self._settings.annotators)]

    def _lead_time_s(self, annotator: str, sample: str) -> float:
        middle = math.log(self._settings.seconds_per_sample) - LEAD_TIME_SIGMA**2 / 2
        return float(_dice(self._seed, "lead time", annotator, sample).lognormal(middle, LEAD_TIME_SIGMA))

    def _label(self, asked: Asked, truth: Content | None) -> Label:
        content = None if truth is None or not self._is_clear(truth) else self._answer(asked, truth)
        return Label(
            sample_id=asked.sample,
            annotator=asked.annotator,
            outcome=Outcome.UNCLEAR if content is None else Outcome.LABELLED,
            ref=f"{asked.ref}/{asked.annotator}",
            updated_at=asked.due_at,
            content=content,
            lead_time_s=asked.lead_time_s,
        )

    def _is_clear(self, truth: Content) -> bool:
        named = {box.class_name for box in truth.boxes}
        return (named | {truth.class_name} - {None}) <= set(self._labels)

    def _answer(self, asked: Asked, truth: Content) -> Content:
        dice = _dice(self._seed, "answer", asked.annotator, asked.sample)
        if truth.class_name is None:
            return Content(boxes=tuple(_redraw(box, dice) for box in truth.boxes))
        others = [label for label in self._labels if label != truth.class_name]
        wrong = bool(others) and dice.random() < self._settings.error_rate
        return Content(class_name=str(others[dice.integers(len(others))])) if wrong else truth


def _annotator(number: int) -> str:
    return f"annotator-{number + 1}"


def _dice(seed: int, *about: str) -> np.random.Generator:
    digest = hashlib.blake2b(json.dumps([seed, *about]).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _redraw(box: Box, dice: np.random.Generator) -> Box:
    width, height = box.x1 - box.x0, box.y1 - box.y0
    left, top, right, bottom = (float(share) for share in dice.uniform(0, BOX_JITTER, 4))
    across, down = 1 - left - right, 1 - top - bottom
    x0, y0 = box.x0 + left * width, box.y0 + top * height
    polygon = tuple((x0 + (x - box.x0) * across, y0 + (y - box.y0) * down) for x, y in box.polygon)
    return Box(box.class_name, x0, y0, x0 + across * width, y0 + down * height, polygon)


def _read(path: Path) -> list[Asked]:
    return [Asked(**record) for record in read_lines(path)]


def _write(path: Path, asked: Iterable[Asked]) -> None:
    write_lines(path, (asdict(one) for one in asked))
