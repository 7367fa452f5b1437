"""Samples that a person takes out for good: of the pool, or of the holdout that measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alloop.errors import ConfigError
from alloop.judging import measure_again
from alloop.manifest import is_remote
from alloop.nouns import Sample, Split
from alloop.workspace import Workspace

__all__ = ["Dropped", "drop_samples", "samples_at"]

BY_HAND = "dropped by a person"


@dataclass(frozen=True)
class Dropped:
    """What came of it: samples that left the pool, samples that measure no more, and models that were measured again.

    `left` counts what the holdout consists of now.
    """

    pool: int
    holdout: int
    measured_again: int
    left: int


def samples_at(ws: Workspace, uris: Sequence[str]) -> list[Sample]:
    """The samples of these images, named as in the ledger or from the present folder; ConfigError names one that is none."""
    wanted = [uri if is_remote(uri) else str(Path(uri).absolute()) for uri in uris]
    known = ws.ledger.samples.known([*wanted, *uris])
    for full, given in zip(wanted, uris, strict=True):
        if full not in known and given not in known:
            raise ConfigError(
                f"{given} is no sample of project '{ws.config.project.name}'; name an image as the manifest does"
            )
    found = (known.get(full) or known[given] for full, given in zip(wanted, uris, strict=True))
    return list({file.sample.id: file.sample for file in found}.values())


def drop_samples(ws: Workspace, samples: Sequence[Sample]) -> Dropped:
    """Drop samples for good: none of them trains, is asked about or measures any more. Twice is once.

    Where the holdout is frozen its answers stay in the ledger, and every model is measured again on the rest, from its
    results per sample, so that all that is compared stays paired. Tasks that nobody has answered are withdrawn.

    Raises:
        LoopError: nothing would be left of the holdout; nothing of it is dropped.
        ToolUnavailable: all is noted, and trying again withdraws the tasks.
    """
    held = [sample.uri for sample in samples if sample.split is Split.HOLDOUT]
    pooled = [sample.uri for sample in samples if sample.split is not Split.HOLDOUT]
    if held:
        ws.ledger.holdout.drop(held, reason=f"{BY_HAND} from the holdout; models are compared without it")
    if pooled:
        ws.ledger.samples.drop(pooled, reason=BY_HAND)
    again = measure_again(ws)
    _withdraw(ws, [sample.id for sample in samples])
    frozen = ws.ledger.holdout.frozen()
    return Dropped(len(pooled), len(held), again, len(frozen[1] if frozen else ws.ledger.holdout.all()))


def _withdraw(ws: Workspace, ids: Sequence[str]) -> None:
    """Take their tasks out of the open batch; the tool leaves those that somebody answered."""
    cycles = ws.ledger.cycles.all()
    if not cycles or cycles[-1].closed_at is not None:
        return
    refs = ws.ledger.batches.refs(cycles[-1].number)
    open_ = [refs[key] for key in ids if key in refs]
    if open_:
        ws.tool.withdraw(open_)
