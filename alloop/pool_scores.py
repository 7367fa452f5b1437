"""Scores for everything unlabelled, with the champion or without a model; what gives no score is set aside."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from alloop.acquisition.calibration import apply_temperature
from alloop.acquisition.contract import Strategy
from alloop.confidence import temperature_of
from alloop.errors import BadImage, PoolExhausted
from alloop.images import read_image
from alloop.ledger.leases import Lease
from alloop.ledger.samples import Refused
from alloop.models.base import Model
from alloop.nouns import Floats, ModelVersion, Sample, Task
from alloop.pieces import in_pieces
from alloop.scoring import Scored, ScoreFile, Shard, score_shards
from alloop.workspace import Workspace

__all__ = ["is_readable", "quarantine", "score_samples", "score_unlabelled"]


def score_unlabelled(ws: Workspace, lease: Lease) -> None:
    """End score_pool: scores of all unlabelled samples in files; a sample that gives no score is set aside."""
    strategy, champion = ws.strategy(ws.ledger.cycles.get(lease.cycle).strategy), ws.ledger.models.champion()
    pool, temperature = ws.ledger.samples.unlabelled(shard=ws.config.loop.shard), temperature_of(ws.ledger, champion)
    files = list(
        score_shards(
            (Shard(pa.array([sample.id for sample in samples], pa.string()), samples) for samples in pool),
            lambda samples, seed: _believable(score_samples(ws, samples, strategy, champion, seed), temperature),
            folder=ws.config.state / "scores" / f"{ws.config.project.name}-{lease.cycle:04d}",
            version=" ".join([champion.sha256 if champion else "none", strategy.name, *_judged_by(ws)]),
            seed=int(ws.dice(lease.cycle, "scores").integers(2**62)),
            total=ws.ledger.samples.counts()["unlabelled"],
            progress=ws.progress_of(lease.cycle),
        )
    )
    _refuse_too_few(files, ws.ledger.cycles.get(lease.cycle).nominal)
    unusable = [key for file in files for key in file.unusable]
    quarantine(ws, list(ws.ledger.samples.get(unusable).values()))
    ws.ledger.batches.record_scores(
        lease,
        [(str(file.path.relative_to(ws.config.state)), file.sha256, file.samples) for file in files],
        model_version=champion.name if champion else None,
        strategy=strategy.name,
        samples=sum(file.samples for file in files),
        unusable=len(unusable),
        temperature=temperature,
    )


def _judged_by(ws: Workspace) -> list[str]:
    """What else than the strategy decides how boxes are scored."""
    return [chosen for chosen in (ws.options.box_score, ws.options.box_aggregate) if chosen]


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


def score_samples(
    ws: Workspace, samples: Sequence[Sample], strategy: Strategy, champion: ModelVersion | None, seed: int
) -> Scored:
    """Scores (N,) and probabilities (N, C) by a strategy; NaN for a sample whose image cannot be read any more."""
    rng = np.random.default_rng(seed)
    if champion is None:
        nothing: Floats = np.empty((len(samples), 0), dtype=np.float32)
        return strategy.score(nothing, rng), nothing
    model = ws.model(champion)
    try:
        return _ask(model, samples, strategy, rng)
    except BadImage:
        readable = np.array([is_readable(sample) for sample in samples])
        scores = np.full(len(samples), np.nan, dtype=np.float32)
        probabilities = np.zeros((len(samples), len(model.labels)), dtype=np.float32)
        good = [sample for sample, ok in zip(samples, readable, strict=True) if ok]
        scores[readable], probabilities[readable] = _ask(model, good, strategy, rng)
        return scores, probabilities


def _ask(model: Model, samples: Sequence[Sample], strategy: Strategy, rng: np.random.Generator) -> Scored:
    """What the strategy makes of the model's answers; a detector's boxes are scored and forgotten piece by piece."""
    if model.task is Task.CLASSIFY:
        probabilities = model.predict(samples).probabilities
        return strategy.score(probabilities, rng), probabilities
    parts = []
    for some in in_pieces(samples):
        seen = model.predict(some)
        judged = strategy.score_boxes
        parts.append(
            (judged(seen.detections) if judged else strategy.score(seen.probabilities, rng), seen.probabilities)
        )
    if not parts:
        return np.empty(0, np.float32), np.empty((0, len(model.labels)), np.float32)
    scores, tops = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(tops)


def is_readable(sample: Sample) -> bool:
    """Whether the image can be read now."""
    try:
        read_image(sample.uri)
    except BadImage:
        return False
    return True


def quarantine(ws: Workspace, samples: Sequence[Sample]) -> None:
    """Set samples aside that give no score any more."""
    refused = [
        Refused(sample.uri, "bad image", "gave no score: its image cannot be read any more, or the score is no number")
        for sample in samples
    ]
    ws.ledger.samples.set_aside(refused)
