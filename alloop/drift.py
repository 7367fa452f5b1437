"""Drift by waiting: the champion changes while people answer a batch, and part of it may not be worth their time any more.

A sample that the strategy chose, and nobody has answered, is scored again by the model that chose it and by the new
champion, each beside the same random samples of the pool. It is no longer worth labelling when it was above the median of
those before, and is below now: what chance would give is better than that. Both models are asked with the same random
numbers, so that a strategy which throws dice withdraws nothing for that alone; and what was chosen for being different,
with a low score before, stays. The control lane and the holdout are never touched, and at least half of a batch remains.
"""

import hashlib
import heapq
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from alloop.acquisition.boxes import FLOOR
from alloop.acquisition.contract import Need
from alloop.acquisition.scores import top_two
from alloop.committee import scored_by
from alloop.errors import ModelCorrupt
from alloop.ledger.drifts import Drift
from alloop.nouns import Floats, Lane, ModelVersion, Sample, Task
from alloop.pool_scores import score_samples
from alloop.publishing import publish_champion
from alloop.workspace import Workspace

__all__ = ["follow_champion", "reconsider"]

REFERENCE = 500
"""Random samples that stand for the pool: their median parts it in halves, give or take 2 points."""
LEAST_SHARE = 0.5
"""The part of a batch that remains at least. Half of what chance would draw is below the median, too: where more of a batch
is, the new champion is another kind of judge, and that is no reason to train on next to nothing."""
TRAINED = (Lane.ACTIVE, Lane.CONTROL)


def follow_champion(ws: Workspace, cycle: int) -> None:
    """See to it that a batch that waits is worth labelling for the present champion, and shows its pre-labels.

    `alloop model rollback` does both itself; this finds what it left undone when it was killed, and a champion that other
    code has made. Errors are those of `reconsider`.
    """
    reconsider(ws, cycle)
    scorer, champion = scored_by(ws.ledger, cycle), ws.ledger.models.champion()
    if scorer is None or champion is None or champion.name == (ws.ledger.interventions.shown(cycle) or scorer.name):
        return
    if _is_waiting(ws, cycle):
        publish_champion(ws)
        ws.ledger.interventions.show(cycle, champion.name)


def reconsider(ws: Workspace, cycle: int) -> Drift | None:
    """Withdraw what the present champion finds not worth labelling in a batch that waits; what it found.

    None while the champion is the model that the batch was chosen with, and when nobody is waited for. It is looked at once
    for each champion, and noted before anything is withdrawn: done again after a crash, it goes on with what was noted.
    The tool is read before and after, so that an answer of this moment counts.

    Raises:
        ModelCorrupt: the champion's file is not the one that was registered.
        ToolUnavailable: nothing is lost, and trying again goes on.
    """
    noted = [drift if drift.finished_at else _withdraw(ws, drift) for drift in ws.ledger.drifts.of(cycle)]
    scorer, champion = scored_by(ws.ledger, cycle), ws.ledger.models.champion()
    if scorer is None or champion is None or scorer.sha256 == champion.sha256 or not _is_waiting(ws, cycle):
        return None
    known = [drift for drift in noted if drift.version == champion.name]
    if known:
        return known[0]
    _read(ws)
    return _withdraw(ws, ws.ledger.drifts.note(_look_again(ws, cycle, scorer, champion)))


def _is_waiting(ws: Workspace, cycle: int) -> bool:
    """Whether people are being asked: the batch is pushed, and neither closed nor about to be."""
    finished = {stage.step for stage in ws.ledger.steps.of(cycle) if stage.finished_at is not None}
    if "push_to_annotation" not in finished or "wait_for_labels" in finished:
        return False
    return ws.ledger.expiry.early(cycle) is None


def _withdraw(ws: Workspace, noted: Drift) -> Drift:
    answered: set[str] = set()
    if noted.withdrawn:
        refs = ws.ledger.batches.refs(noted.cycle)
        ws.tool.withdraw([refs[key] for key in noted.withdrawn])
        _read(ws)
        answered = {item.sample_id for item in ws.ledger.expiry.items(noted.cycle) if item.is_answered}
    return ws.ledger.drifts.finish(noted, answered=answered)


def _read(ws: Workspace) -> None:
    ws.ledger.labels.record(ws.tool.name, ws.tool.changed_since(ws.ledger.labels.cursor(ws.tool.name)))


def _look_again(ws: Workspace, cycle: int, scorer: ModelVersion, champion: ModelVersion) -> Drift:
    """What has fallen below chance; nothing is scored where the strategy reads no model, or nobody wants it."""
    strategy = ws.strategy(ws.ledger.cycles.get(cycle).strategy)
    wanted = ws.config.loop.rescore_on_drift and Need.MODEL in strategy.needs
    asked = _unanswered(ws, cycle) if wanted else []
    beside = _by_chance(ws, cycle) if asked else []
    if not beside:  # the batch was the last of the pool, and there is nothing better to ask for
        return Drift(cycle, scorer.name, champion.name, 0, 0, None, (), ws.clock.now())
    samples, count = [*asked, *beside], len(asked)
    ws.progress_of(cycle)("scoring again", 0, 2)
    was_worth = np.ones(count, dtype=bool)
    with suppress(ModelCorrupt):  # it may be why the champion changed; and that they were chosen says the same
        before = _scores(ws, cycle, scorer, samples=samples, asked=count)
        was_worth = before[:count] >= _middle(before[count:])
    ws.progress_of(cycle)("scoring again", 1, 2)
    now = _scores(ws, cycle, champion, samples=samples, asked=count)
    ws.progress_of(cycle)("scoring again", 2, 2)
    middle = _middle(now[count:])
    fallen = {asked[place].id: float(now[place]) for place in np.flatnonzero(was_worth & (now[:count] < middle))}
    return Drift(
        cycle=cycle,
        chosen_by=scorer.name,
        version=champion.name,
        rescored=int(np.isfinite(now[:count]).sum()),
        reference=len(beside),
        threshold=None if math.isnan(middle) else middle,
        withdrawn=_lowest(ws, cycle, fallen),
        at=ws.clock.now(),
    )


def _unanswered(ws: Workspace, cycle: int) -> list[Sample]:
    """What the strategy chose and nobody has answered, not even one of several people."""
    silent = {item.sample_id for item in ws.ledger.expiry.items(cycle) if not item.answered_at}
    items = ws.ledger.batches.get(cycle).items
    return [item.sample for item in items if item.lane is Lane.ACTIVE and item.sample.id in silent]


def _by_chance(ws: Workspace, cycle: int) -> list[Sample]:
    """Random samples of the pool, the same whoever asks and whenever: those with the lowest hashes."""
    salt = ws.dice(cycle, "drift").bytes(16)
    pool = (sample for shard in ws.ledger.samples.unlabelled(shard=ws.config.loop.shard) for sample in shard)
    return heapq.nsmallest(REFERENCE, pool, key=lambda x: hashlib.blake2b(x.id.encode(), key=salt).digest())


def _scores(ws: Workspace, cycle: int, version: ModelVersion, *, samples: Sequence[Sample], asked: int) -> Floats:
    """The scores (N,) that decide who is shortlisted, by this model; NaN where an image cannot be read any more.

    Classes are weighed, if the strategy does so, by how often they are predicted beside the first `asked` samples.
    """
    strategy, seed = ws.strategy(ws.ledger.cycles.get(cycle).strategy), int(ws.dice(cycle, "drift").integers(2**62))
    scores, probabilities = score_samples(ws, samples, strategy, version, seed)
    if strategy.reweigh is None:
        return scores
    top, sure, _ = top_two(probabilities)
    seen = 0.0 if ws.config.project.task is Task.CLASSIFY else FLOOR  # an empty image is of no class
    beside = top[asked:][np.isfinite(scores[asked:]) & (sure[asked:] >= seen)]
    counts = np.bincount(beside, minlength=len(ws.config.project.labels))
    return strategy.reweigh(scores, top, class_share=(counts / max(1, counts.sum())).astype(np.float32))


def _middle(scores: Floats) -> float:
    """The median of the scores that are numbers; NaN of none."""
    usable = scores[np.isfinite(scores)]
    return float(np.median(usable)) if len(usable) else math.nan


def _lowest(ws: Workspace, cycle: int, fallen: Mapping[str, float]) -> tuple[str, ...]:
    """The ids of the lowest scores, as many of them as a batch can do without."""
    size = sum(item.lane in TRAINED for item in ws.ledger.batches.get(cycle).items)
    left = sum(item.lane in TRAINED for item in ws.ledger.expiry.items(cycle))
    most = max(0, left - math.ceil(LEAST_SHARE * size))
    return tuple(heapq.nsmallest(most, fallen, key=lambda key: (fallen[key], key)))
