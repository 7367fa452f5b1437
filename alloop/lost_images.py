"""Images that are gone: the loop goes on without those few that people have labelled, unless all of the storage is away."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from alloop.errors import BadImage, Transient
from alloop.ledger.samples import Refused
from alloop.nouns import Sample
from alloop.pool_scores import is_readable
from alloop.workspace import Workspace

__all__ = ["lost_among", "refuse_lost_holdout", "refuse_lost_storage", "without_lost"]

log = logging.getLogger(__name__)
T = TypeVar("T")

FEW, FEW_SHARE = 5, 0.05
"""Up to so many, or up to this share of them, can be deleted or broken images; beyond both it is the storage."""
THREADS = 8
NAMED = 3
"""Lost images that a message names."""


def without_lost(ws: Workspace, cycle: int, work: Callable[[], T]) -> T:
    """What `work` gives that reads the images of a cycle's training set, once those that are gone are set aside.

    Raises:
        BadImage: of `work`, where all labelled images can be read.
        Transient: so many cannot be read that the storage must be away; nothing is set aside.
    """
    while True:
        try:
            return work()
        except BadImage as error:
            labelled = [label.sample for label in ws.ledger.labels.training_set(cycle).labels]
            lost = lost_among(labelled)
            if not lost:
                raise
            refuse_lost_storage(lost, of=len(labelled), cause=error)
            _set_aside(ws, lost)


def lost_among(samples: Sequence[Sample]) -> list[Sample]:
    """Those whose image cannot be read now."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [sample for sample, ok in zip(samples, pool.map(is_readable, samples), strict=True) if not ok]


def refuse_lost_storage(lost: Sequence[Sample], *, of: int, cause: Exception) -> None:
    """Raise Transient where so many images of so many are lost that nobody can have deleted them one by one."""
    if len(lost) < of and len(lost) <= max(FEW, FEW_SHARE * of):
        return
    raise Transient(
        f"{len(lost)} of {of} images cannot be read, such as {lost[0].uri}: their storage seems to be away; "
        "mount it again, then run this again"
    ) from cause


def refuse_lost_holdout(samples: Sequence[Sample], *, cause: BadImage) -> None:
    """Raise BadImage that says what a person can do about images of the frozen holdout; nothing where all can be read."""
    lost = lost_among(samples)
    if not lost:
        return
    refuse_lost_storage(lost, of=len(samples), cause=cause)
    uris = " ".join(sample.uri for sample in lost)
    raise BadImage(
        f"{_count(lost)} of the frozen holdout cannot be read any more; restore what is missing, or measure all models "
        f"without it with 'alloop pool drop --holdout {uris}'"
    ) from cause


def _set_aside(ws: Workspace, lost: Sequence[Sample]) -> None:
    reason = "was labelled, and its image cannot be read any more; restore it and add it again"
    ws.ledger.samples.set_aside([Refused(sample.uri, "bad image", reason) for sample in lost])
    named = ", ".join(sample.uri for sample in lost[:NAMED]) + (" and others" if len(lost) > NAMED else "")
    log.warning(
        "%s of the label set cannot be read any more and left out from now on: %s; restore and add again what is missing",
        _count(lost),
        named,
    )


def _count(lost: Sequence[Sample]) -> str:
    return "one image" if len(lost) == 1 else f"{len(lost)} images"
