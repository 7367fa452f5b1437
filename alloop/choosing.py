"""From the scores of the pool to a batch: the few samples that people should see."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alloop.absent import KEY, absent_now, absent_then
from alloop.acquisition.boxes import FLOOR
from alloop.acquisition.contract import Candidates, Need, Selection, Strategy, require
from alloop.committee import scored_by
from alloop.confidence import classes_of
from alloop.errors import BadImage
from alloop.lost_images import without_lost
from alloop.models.base import Model
from alloop.nouns import BatchItem, Floats, Integers, Lane, ModelVersion, Prelabel, Sample, Task
from alloop.pool_scores import is_readable, quarantine
from alloop.prelabels import propose
from alloop.scoring import Dim, Shortlist, class_counts, random_rows, shortlist
from alloop.sections import LoopSection
from alloop.shortlisted import Look, look_closer
from alloop.workspace import Workspace

__all__ = ["Choice", "choose_batch", "control_size", "is_blind", "replay_batch"]


@dataclass(frozen=True)
class Choice:
    """A batch in one queue, how many candidates the strategy chose it from, and what else is worth keeping."""

    items: tuple[BatchItem, ...]
    shortlist: int
    facts: Mapping[str, Any]


def choose_batch(ws: Workspace, cycle: int) -> Choice:
    """The batch of a cycle: a random control slice and the strategy's choice, in one queue.

    A sample whose image is gone is set aside, and another one chosen. PoolExhausted when fewer samples remain than the
    batch needs; Transient when so many labelled ones are gone that their storage must be away.
    """
    while True:
        try:
            return without_lost(ws, cycle - 1, lambda: _choice_now(ws, cycle))
        except _Lost as lost:
            quarantine(ws, lost.samples)


def _choice_now(ws: Workspace, cycle: int) -> Choice:
    absent = absent_now(ws, cycle)
    choice = _choice(ws, cycle, absent, _proposed)
    return replace(choice, facts={**choice.facts, KEY: sorted(absent)})


Proposing = Callable[[Workspace, ModelVersion | None, Shortlist], Mapping[str, Prelabel]]


def _proposed(ws: Workspace, champion: ModelVersion | None, rows: Shortlist) -> Mapping[str, Prelabel]:
    """What the champion would answer to these rows."""
    samples = ws.ledger.samples.get(rows.ids)
    return propose(ws, champion, [samples[key] for key in rows.ids], rows)


def _nothing_proposed(ws: Workspace, champion: ModelVersion | None, rows: Shortlist) -> Mapping[str, Prelabel]:
    """No pre-labels: they decide nothing about a batch, and a detector would have to see the images again."""
    del ws, champion, rows
    return {}


class _Lost(BadImage):
    """Candidates, but not all of them, cannot be read any more."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        super().__init__(f"{len(samples)} images cannot be read any more, such as {samples[0].uri}; restore them")


def control_size(loop: LoopSection, nominal: int) -> int:
    """How many of a batch are drawn at random: a share, and enough to say something where that leaves most of it."""
    if not loop.control_share:
        return 0
    return max(round(loop.control_share * nominal), min(loop.control_least, nominal // 5))


def _choice(ws: Workspace, cycle: int, absent: frozenset[str], proposing: Proposing) -> Choice:
    """The batch that scores, seed and those samples make which are not `absent`, with the pre-labels of `proposing`."""
    record = ws.ledger.cycles.get(cycle)
    scored = ws.ledger.batches.score_files(cycle)
    require(range(sum(samples for _, _, samples in scored)), record.nominal)
    files = [(ws.config.state / path, digest) for path, digest, _ in scored]
    champion = scored_by(ws.ledger, cycle)
    control = 0 if champion is None else control_size(ws.config.loop, record.nominal)
    drawn, top = random_rows(files, control, ws.dice(cycle, "control"), without=absent), Shortlist.nothing()
    strategy, rng, size = ws.strategy(record.strategy), ws.dice(cycle, "select"), record.nominal - control
    if size:
        top = _shortlist(ws, strategy, files, size, absent | frozenset(drawn.ids), rng)
    with _telling_lost(ws, [*drawn.ids, *top.ids]):
        items, facts = _items(ws, drawn, Lane.CONTROL, champion), dict[str, Any]()
        prelabels = dict(proposing(ws, champion, drawn))
        if size:
            look = _candidates(ws, cycle, strategy, top=top, absent=absent)
            chosen, facts = strategy.select(look.candidates, size, rng), look.facts
            picked = top.rows(chosen.rows)
            items += _items(ws, picked, Lane.ACTIVE, champion, chosen)
            items = [replace(item, evidence=look.evidence.get(item.sample.id, ())) for item in items]
            prelabels |= proposing(ws, champion, picked)
    items = [replace(item, prelabel=prelabels.get(item.sample.id)) for item in items]
    items = _shared(ws, cycle, items) + _disputed_items(ws, cycle, without=absent) + _holdout_items(ws, cycle)
    return Choice(tuple(_queued(items, ws.dice(cycle, "queue"))), len(top), facts)


def replay_batch(ws: Workspace, cycle: int) -> tuple[str, ...]:
    """What differs when the batch of a cycle is chosen again from its stored scores and seed; nothing when identical.

    What was set aside since is taken to be there still. BadImage where the strategy looks at an image that is not.
    """
    choice = _choice(ws, cycle, absent_then(ws, cycle), _nothing_proposed)
    again = {item.sample.id: item for item in choice.items if item.lane is not Lane.HOLDOUT}
    before = {item.sample.id: item for item in ws.ledger.batches.get(cycle).items if item.lane is not Lane.HOLDOUT}
    gone = [f"sample {key} was chosen then and would not be now" for key in before.keys() - again.keys()]
    come = [f"sample {key} would be chosen now and was not then" for key in again.keys() - before.keys()]
    moved = [
        f"sample {key} had rank {before[key].rank} in lane {before[key].lane} then, {again[key].rank} in "
        f"{again[key].lane} now"
        for key in before.keys() & again.keys()
        if (before[key].rank, before[key].lane) != (again[key].rank, again[key].lane)
    ]
    return tuple(sorted(gone) + sorted(come) + sorted(moved))


def _shortlist(
    ws: Workspace,
    strategy: Strategy,
    files: Sequence[tuple[Path, str]],
    size: int,
    without: frozenset[str],
    rng: np.random.Generator,
) -> Shortlist:
    """The candidates for `size` samples: the highest scores, weighed by the pool's classes if the strategy does so."""
    reweigh = None
    if (weigh := strategy.reweigh) is not None:
        seen = 0.0 if ws.config.project.task is Task.CLASSIFY else FLOOR  # an empty image is of no class
        counts = class_counts(files, len(ws.config.project.labels), seen=seen)
        share = (counts / max(1, counts.sum())).astype(np.float32)
        reweigh = partial(weigh, class_share=share)
    wanted, most_empty = strategy.shortlist_size(size, sys.maxsize), ws.options.most_empty
    if Need.MODEL in strategy.needs and ws.options.empty_share is not None:
        capped = partial(shortlist, files, wanted, rng, without=without, reweigh=reweigh)
        found = capped(dim=Dim(FLOOR, most_empty(wanted)))
        if len(found) >= size:
            return found
        return capped(
            dim=Dim(FLOOR, wanted - int((found.p1 >= FLOOR).sum()))
        )  # all that shows something, and empty ones
    return shortlist(files, wanted, rng, without=without, reweigh=reweigh)


@contextmanager
def _telling_lost(ws: Workspace, ids: Sequence[str]) -> Iterator[None]:
    """_Lost instead of BadImage where some of these samples, but not all, cannot be read any more."""
    try:
        yield
    except BadImage as error:
        lost = [sample for sample in ws.ledger.samples.get(ids).values() if not is_readable(sample)]
        if 0 < len(lost) < len(ids):
            raise _Lost(lost) from error
        raise  # all of them: it is the storage that is missing; none: what cannot be read was labelled before


def _candidates(ws: Workspace, cycle: int, strategy: Strategy, *, top: Shortlist, absent: frozenset[str]) -> Look:
    """The shortlist with what the strategy needs; only here, and only for these, are images embedded."""
    needs = strategy.needs
    found = ws.ledger.samples.get(top.ids)
    samples = [found[key] for key in top.ids]
    champion = scored_by(ws.ledger, cycle)
    model = ws.embedder() if champion is None else ws.model(champion)
    embeds = Need.EMBEDDINGS in needs
    seen = model.predict(samples, embeddings=embeds) if embeds or Need.PROBABILITIES in needs else None
    labels = ws.ledger.labels.training_set(cycle - 1, away=absent).labels if Need.LABELLED in needs else ()
    flagged = (
        list(ws.ledger.samples.get(ws.ledger.labels.unclear(before=cycle)).values()) if Need.FLAGGED in needs else []
    )
    candidates = Candidates(
        scores=top.scores,
        top_class=top.top_class,
        probabilities=seen.probabilities if seen and Need.PROBABILITIES in needs else None,
        embeddings=_unit(seen.embeddings) if seen and seen.embeddings is not None else None,
        groups=_group_numbers(samples) if Need.GROUPS in needs else None,
        labelled=_unit(model.predict([x.sample for x in labels], embeddings=True).embeddings) if labels else None,
        labelled_class=classes_of(ws, labels) if labels and ws.config.project.task is Task.CLASSIFY else None,
        flagged=_embedded(model, flagged),
        is_empty=top.p1 < FLOOR if champion is not None and ws.config.project.task is not Task.CLASSIFY else None,
    )
    return look_closer(ws, cycle, candidates, strategy=strategy, samples=samples)


def _embedded(model: Model, flagged: Sequence[Sample]) -> Floats | None:
    """Embeddings (F, D) of what people called unclear and did not delete for it; None of nothing."""
    if not flagged:
        return None
    try:
        return _unit(model.predict(flagged, embeddings=True).embeddings)
    except BadImage:
        kept = [sample for sample in flagged if is_readable(sample)]
        if len(kept) == len(flagged):
            raise
        return _embedded(model, kept)


def _unit(embeddings: Floats | None) -> Floats:
    assert embeddings is not None, "the model was asked for embeddings"
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit: Floats = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    return unit


def _group_numbers(samples: Sequence[Sample]) -> Integers:
    numbers: dict[str, int] = {}
    found = [-1 if s.group is None else numbers.setdefault(s.group, len(numbers)) for s in samples]
    return np.array(found, dtype=np.int64)


def _items(
    ws: Workspace, rows: Shortlist, lane: Lane, champion: ModelVersion | None, chosen: Selection | None = None
) -> list[BatchItem]:
    """Batch items of the rows, without pre-labels yet."""
    samples = ws.ledger.samples.get(rows.ids)
    return [
        BatchItem(
            sample=samples[key],
            rank=place,
            lane=lane,
            score=float(rows.scores[place]) if champion else math.nan,
            cluster=int(chosen.clusters[place]) if chosen else -1,
            distance=float(chosen.distances[place]) if chosen else math.nan,
            blind=lane is Lane.CONTROL and is_blind(key),
        )
        for place, key in enumerate(rows.ids)
    ]


def is_blind(sample_id: str) -> bool:
    """Whether a sample of the control lane is shown without its pre-label: half of them, whoever asks and whenever."""
    return int(sample_id[-1], 16) % 2 == 1


def _shared(ws: Workspace, cycle: int, items: Sequence[BatchItem]) -> list[BatchItem]:
    """The same, some of them for several annotators: a random share of what is trained on, whatever chose it.

    Not of the holdout: it freezes with its first answers, so nobody could be asked again about those that are disputed,
    and without them it would measure easy samples only.
    """
    section = ws.config.annotation
    if not section.overlap_share or not items:
        return list(items)
    count = max(1, round(section.overlap_share * len(items)))
    ids = sorted(item.sample.id for item in items)
    shared = set(ws.dice(cycle, "overlap").choice(ids, size=count, replace=False).tolist())
    return [replace(item, annotators=section.overlap) if item.sample.id in shared else item for item in items]


def _disputed_items(ws: Workspace, cycle: int, *, without: frozenset[str]) -> list[BatchItem]:
    """The samples on which annotators disagreed in the cycle before, beyond the size of the batch.

    One more person is asked, since with two answers that differ one more decides; blind, since a pre-label must not.
    """
    found = ws.ledger.samples.get([key for key in ws.ledger.labels.disputed(before=cycle) if key not in without])
    return [BatchItem(found[key], place, Lane.RELABEL, blind=True) for place, key in enumerate(sorted(found))]


def _holdout_items(ws: Workspace, cycle: int) -> list[BatchItem]:
    """Until it is frozen, the holdout samples that nobody has answered yet, without pre-labels; in a replay those of then."""
    asked = [item.sample for item in ws.ledger.batches.get(cycle).items if item.lane is Lane.HOLDOUT]
    if not asked and ws.ledger.holdout.frozen() is None:
        answered = {label.sample_id for label, _ in ws.ledger.labels.given()}
        asked = [x for x in ws.ledger.holdout.all() if x.truth is None and x.id not in answered]
    return [BatchItem(x, place, Lane.HOLDOUT) for place, x in enumerate(sorted(asked, key=lambda x: x.id))]


def _queued(items: Sequence[BatchItem], rng: np.random.Generator) -> list[BatchItem]:
    """One queue: the strategy's order, with the other lanes spread through it at random so that nobody can tell."""
    active = [item for item in items if item.lane is Lane.ACTIVE]
    others = [item for item in items if item.lane is not Lane.ACTIVE]
    places = set(rng.choice(len(items), size=len(others), replace=False).tolist()) if items else set()
    queue = [others.pop() if place in places else active.pop(0) for place in range(len(items))]
    return [replace(item, rank=rank) for rank, item in enumerate(queue)]
