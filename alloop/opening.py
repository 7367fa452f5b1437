"""How large the batch of a new cycle is, and whether the pool has enough for it; nothing is written here."""

from alloop.errors import PoolEmpty, PoolExhausted
from alloop.holdout import draw_holdout
from alloop.nouns import Split
from alloop.quorum import next_nominal
from alloop.workspace import Workspace

__all__ = ["drawn_for_holdout", "first_nominal", "later_nominal"]


def later_nominal(ws: Workspace) -> int:
    """The size of batch to aim at once there is a model; PoolEmpty and PoolExhausted as `first_nominal`."""
    nominal = next_nominal(ws, ws.clock.now())
    _refuse_small_pool(ws, nominal, "loop.batch")
    return nominal


def first_nominal(ws: Workspace, *, asked_before: bool) -> int:
    """The size of the first batch: smaller by the labels that are there already, and never more than the holdout leaves.

    Labels do not count that the holdout is going to take, and none do with `asked_before`, after a first cycle that was
    cancelled.

    Raises:
        PoolEmpty: there is no sample at all.
        PoolExhausted: the pool is too small for the batch and the holdout.
    """
    wanted, counts = ws.config.loop.first_batch, ws.ledger.samples.counts()
    answered = 0 if asked_before else counts.get(Split.POOL, 0) - counts["unlabelled"]
    _refuse_small_pool(ws, max(0, wanted - answered), "loop.start" if ws.config.loop.start else "loop.batch")
    held = drawn_for_holdout(ws)
    pool = [sample for shard in ws.ledger.samples.everything(shard=ws.config.loop.shard) for sample in shard]
    taken = [sample.truth is not None for sample in pool if sample.id in held]
    left = counts["unlabelled"] - taken.count(False)
    return min(max(0, wanted - max(0, answered - taken.count(True))), left)


def drawn_for_holdout(ws: Workspace) -> frozenset[str]:
    """The ids that the holdout takes from the pool as it is now; none where there is a holdout already."""
    if ws.ledger.holdout.all():
        return frozenset()
    pool = [sample for shard in ws.ledger.samples.everything(shard=ws.config.loop.shard) for sample in shard]
    return draw_holdout(pool, ws.config.loop.holdout, ws.dice(0, "holdout"))


def _refuse_small_pool(ws: Workspace, nominal: int, setting: str) -> None:
    """Before anything is written: a cycle that is opened can be filled, as far as one can tell."""
    counts = ws.ledger.samples.counts()
    if not counts["samples"]:
        raise PoolEmpty(f"project '{ws.config.project.name}' has no samples; add some with 'alloop pool add'")
    holdout = 0 if counts.get(Split.HOLDOUT) else ws.config.loop.holdout
    pool = counts.get(Split.POOL, 0)
    left = min(counts["unlabelled"], pool - holdout)  # labelled ones can be drawn for it too
    if left >= nominal:
        return
    kept = f" after a holdout of {holdout}" if holdout else ""
    lower = f"lower loop.holdout or {setting} until both fit into {pool} images" if holdout else f"lower {setting}"
    raise PoolExhausted(
        f"{max(left, 0)} samples remain{kept} for a batch of {nominal}; add images with 'alloop pool add', or {lower}"
    )
