"""From the pool to a batch: scores for everything unlabelled, then the few that people should see."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alloop.acquisition.calibration import apply_temperature
from alloop.acquisition.contract import Candidates, Need, Selection, Strategy, require
from alloop.committee import scored_by
from alloop.confidence import temperature_of
from alloop.errors import BadImage, PoolExhausted
from alloop.images import read_image
from alloop.ledger.leases import Lease
from alloop.ledger.samples import Refused
from alloop.nouns import BatchItem, Content, Floats, Integers, Lane, ModelVersion, Prelabel, Sample
from alloop.scoring import Scored, ScoreFile, Shard, Shortlist, class_counts, random_rows, score_shards, shortlist
from alloop.shortlisted import look_closer
from alloop.workspace import Workspace

__all__ = ["Choice", "choose_batch", "replay_batch", "score_unlabelled"]


def score_unlabelled(ws: Workspace, lease: Lease) -> None:
    """End score_pool: scores of all unlabelled samples in files; a sample that gives no score is set aside."""
    strategy, champion = ws.strategy(ws.ledger.cycles.get(lease.cycle).strategy), ws.ledger.models.champion()
    pool, temperature = ws.ledger.samples.unlabelled(shard=ws.config.loop.shard), temperature_of(ws.ledger, champion)
    files = list(
        score_shards(
            (Shard(pa.array([sample.id for sample in samples], pa.string()), samples) for samples in pool),
            lambda samples, seed: _believable(_score_shard(ws, samples, strategy, champion, seed), temperature),
            folder=ws.config.state / "scores" / f"{ws.config.project.name}-{lease.cycle:04d}",
            version=f"{champion.sha256 if champion else 'none'} {strategy.name}",
            seed=int(ws.dice(lease.cycle, "scores").integers(2**62)),
            total=ws.ledger.samples.counts()["unlabelled"],
            progress=ws.progress_of(lease.cycle),
        )
    )
    _refuse_too_few(files, ws.ledger.cycles.get(lease.cycle).nominal)
    unusable = [key for file in files for key in file.unusable]
    _quarantine(ws, list(ws.ledger.samples.get(unusable).values()))
    ws.ledger.batches.record_scores(
        lease,
        [(str(file.path.relative_to(ws.config.state)), file.sha256, file.samples) for file in files],
        model_version=champion.name if champion else None,
        strategy=strategy.name,
        samples=sum(file.samples for file in files),
        unusable=len(unusable),
        temperature=temperature,
    )


def _refuse_too_few(files: Sequence[ScoreFile], nominal: int) -> None:
    """Before anything is set aside: when hardly an image can be read, it is the storage that is missing."""
    usable, lost = sum(file.samples for file in files), sum(len(file.unusable) for file in files)
    if usable >= nominal:
        return
    for file in files:
        if file.unusable:
            file.path.unlink()
    unread = f", {lost} others gave no score (are their images still where they were?)" if lost else ""
    raise PoolExhausted(
        f"{usable} samples can be chosen from{unread}, too few for a batch of {nominal}; restore or add images, run again"
    )


def _believable(scored: Scored, temperature: float) -> Scored:
    """The scores as they are, and calibrated probabilities: what a file keeps of them is shown to annotators."""
    scores, probabilities = scored
    return scores, probabilities if temperature == 1 else apply_temperature(probabilities, temperature)


def _score_shard(
    ws: Workspace, samples: Sequence[Sample], strategy: Strategy, champion: ModelVersion | None, seed: int
) -> Scored:
    """Scores and probabilities of a shard; NaN for a sample whose image cannot be read any more."""
    rng = np.random.default_rng(seed)
    if champion is None:
        nothing: Floats = np.empty((len(samples), 0), dtype=np.float32)
        return strategy.score(nothing, rng), nothing
    model = ws.model(champion)
    try:
        probabilities = model.predict(samples).probabilities
        return strategy.score(probabilities, rng), probabilities
    except BadImage:
        readable = np.array([_is_readable(sample) for sample in samples])
        probabilities = np.zeros((len(samples), len(model.labels)), dtype=np.float32)
        probabilities[readable] = model.predict(
            [s for s, ok in zip(samples, readable, strict=True) if ok]
        ).probabilities
        scores = np.full(len(samples), np.nan, dtype=np.float32)
        scores[readable] = strategy.score(probabilities[readable], rng)
        return scores, probabilities


def _is_readable(sample: Sample) -> bool:
    try:
        read_image(sample.uri)
    except BadImage:
        return False
    return True


def _quarantine(ws: Workspace, samples: Sequence[Sample]) -> None:
    refused = [
        Refused(sample.uri, "bad image", "gave no score: its image cannot be read any more, or the score is no number")
        for sample in samples
    ]
    ws.ledger.samples.set_aside(refused)


@dataclass(frozen=True)
class Choice:
    """A batch in one queue, how many candidates the strategy chose it from, and what else is worth keeping."""

    items: tuple[BatchItem, ...]
    shortlist: int
    facts: Mapping[str, Any]


def choose_batch(ws: Workspace, cycle: int) -> Choice:
    """The batch of a cycle: a random control slice and the strategy's choice, in one queue.

    A sample whose image is gone is set aside, and another one chosen. PoolExhausted when fewer samples remain than the
    batch needs.
    """
    while True:
        try:
            return _choice(ws, cycle)
        except _Lost as lost:
            _quarantine(ws, lost.samples)


class _Lost(BadImage):
    """Candidates, but not all of them, cannot be read any more."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        super().__init__(f"{len(samples)} images cannot be read any more, such as {samples[0].uri}; restore them")


def _choice(ws: Workspace, cycle: int) -> Choice:
    record = ws.ledger.cycles.get(cycle)
    scored = ws.ledger.batches.score_files(cycle)
    require(range(sum(samples for _, _, samples in scored)), record.nominal)
    files = [(ws.config.state / path, digest) for path, digest, _ in scored]
    champion = scored_by(ws.ledger, cycle)
    control = 0 if champion is None else round(ws.config.loop.control_share * record.nominal)
    gone = ws.ledger.samples.away()  # set aside since it was scored
    drawn = random_rows(files, control, ws.dice(cycle, "control"), without=gone)
    items = _items(ws, drawn, Lane.CONTROL, champion)
    top, facts = Shortlist.nothing(), dict[str, Any]()
    if record.nominal > control:
        strategy, rng = ws.strategy(record.strategy), ws.dice(cycle, "select")
        top = _shortlist(ws, strategy, files, record.nominal - control, gone | frozenset(drawn.ids), rng)
        candidates, facts = _readable_candidates(ws, cycle, strategy, top)
        chosen = strategy.select(candidates, record.nominal - control, rng)
        items += _items(ws, top.rows(chosen.rows), Lane.ACTIVE, champion, chosen)
    items += _holdout_items(ws, cycle)
    return Choice(tuple(_queued(items, ws.dice(cycle, "queue"))), len(top), facts)


def replay_batch(ws: Workspace, cycle: int) -> tuple[str, ...]:
    """What differs when the batch of a cycle is chosen again from its stored scores and seed; nothing when identical."""
    again = {item.sample.id: item for item in _choice(ws, cycle).items if item.lane is not Lane.HOLDOUT}
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
        counts = class_counts(files, len(ws.config.project.labels))
        share = (counts / max(1, counts.sum())).astype(np.float32)
        reweigh = partial(weigh, class_share=share)
    wanted = strategy.shortlist_size(size, sys.maxsize)
    return shortlist(files, wanted, rng, without=without, reweigh=reweigh)


def _readable_candidates(
    ws: Workspace, cycle: int, strategy: Strategy, top: Shortlist
) -> tuple[Candidates, dict[str, Any]]:
    try:
        return _candidates(ws, cycle, strategy, top)
    except BadImage as error:
        lost = [sample for sample in ws.ledger.samples.get(top.ids).values() if not _is_readable(sample)]
        if 0 < len(lost) < len(top):
            raise _Lost(lost) from error
        raise  # all of them: it is the storage that is missing; none: what cannot be read was labelled before


def _candidates(ws: Workspace, cycle: int, strategy: Strategy, top: Shortlist) -> tuple[Candidates, dict[str, Any]]:
    """The shortlist with what the strategy needs, and facts; only here, and only for these, are images embedded."""
    needs = strategy.needs
    found = ws.ledger.samples.get(top.ids)
    samples = [found[key] for key in top.ids]
    champion = scored_by(ws.ledger, cycle)
    model = ws.embedder() if champion is None else ws.model(champion)
    embeds = Need.EMBEDDINGS in needs
    seen = model.predict(samples, embeddings=embeds) if embeds or Need.PROBABILITIES in needs else None
    labels = ws.ledger.labels.training_set(cycle - 1).labels if Need.LABELLED in needs else ()
    flagged = (
        list(ws.ledger.samples.get(ws.ledger.labels.unclear(before=cycle)).values()) if Need.FLAGGED in needs else []
    )
    column = {name: index for index, name in enumerate(ws.config.project.labels)}
    candidates = Candidates(
        scores=top.scores,
        top_class=top.top_class,
        probabilities=seen.probabilities if seen and Need.PROBABILITIES in needs else None,
        embeddings=_unit(seen.embeddings) if seen and seen.embeddings is not None else None,
        groups=_group_numbers(samples) if Need.GROUPS in needs else None,
        labelled=_unit(model.predict([x.sample for x in labels], embeddings=True).embeddings) if labels else None,
        labelled_class=np.array([column[str(x.content.class_name)] for x in labels], np.int64) if labels else None,
        flagged=_unit(model.predict(flagged, embeddings=True).embeddings) if flagged else None,
    )
    return look_closer(ws, cycle, candidates, strategy=strategy, samples=samples)


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
    """Batch items of the rows, with what the champion would answer as a pre-label."""
    samples, names = ws.ledger.samples.get(rows.ids), ws.config.project.labels
    return [
        BatchItem(
            sample=samples[key],
            rank=place,
            lane=lane,
            score=float(rows.scores[place]) if champion else math.nan,
            cluster=int(chosen.clusters[place]) if chosen else -1,
            distance=float(chosen.distances[place]) if chosen else math.nan,
            prelabel=Prelabel(champion.name, Content(names[rows.top_class[place]]), float(rows.p1[place]))
            if champion
            else None,
        )
        for place, key in enumerate(rows.ids)
    ]


def _holdout_items(ws: Workspace, cycle: int) -> list[BatchItem]:
    """In the first batch, the holdout samples that nobody has labelled yet, without pre-labels."""
    if cycle != 0:
        return []
    asked = [sample for sample in ws.ledger.holdout.all() if sample.truth is None]
    return [BatchItem(sample, place, Lane.HOLDOUT) for place, sample in enumerate(asked)]


def _queued(items: Sequence[BatchItem], rng: np.random.Generator) -> list[BatchItem]:
    """One queue: the strategy's order, with the other lanes spread through it at random so that nobody can tell."""
    active = [item for item in items if item.lane is Lane.ACTIVE]
    others = [item for item in items if item.lane is not Lane.ACTIVE]
    places = set(rng.choice(len(items), size=len(others), replace=False).tolist()) if items else set()
    queue = [others.pop() if place in places else active.pop(0) for place in range(len(items))]
    return [
        BatchItem(i.sample, rank, i.lane, i.score, i.cluster, i.distance, i.prelabel) for rank, i in enumerate(queue)
    ]
