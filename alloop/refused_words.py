"""The words for answers that cannot be used: they are missing, and whoever gave them has to hear of it."""

from collections.abc import Sequence

from alloop.nouns import Refusal
from alloop.workspace import Workspace

__all__ = ["refused_aside", "refused_words"]


def refused_words(refusals: Sequence[Refusal]) -> str:
    """How many answers cannot be used, where the first one stands and why; "" when there are none."""
    if not refusals:
        return ""
    first = f"{refusals[0].where}: {refusals[0].reason}"
    more = len(refusals) > 1
    return (
        f"{len(refusals)} answers cannot be used, the first: {first}" if more else f"1 answer cannot be used: {first}"
    )


def refused_aside(ws: Workspace) -> str:
    """The same of a project, to be put into a sentence about what its people answered."""
    words = refused_words([Refusal(where, reason) for where, reason in ws.ledger.labels.refusals()])
    return f" ({words})" if words else ""
