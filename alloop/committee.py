"""The committee: models of the registry that learnt from other labels, or with another seed, and may disagree.

The champion that scored the pool is always a member. With it sit the other models of its cycle, which learnt the same
labels with other seeds (cycle 1 trains such replicates); where there are none, the newest challenger before it or
after it. Files that are the same byte by byte are one member, and until a second model exists there is no committee.
"""

from collections.abc import Sequence

import numpy as np

from alloop.nouns import Floats, ModelVersion, Sample
from alloop.workspace import Workspace

__all__ = ["committee_of", "opinions"]


def committee_of(ws: Workspace, champion: ModelVersion, *, before: int) -> tuple[ModelVersion, ...]:
    """The champion first, then those that sit with it, all trained in cycles before `before`; () without a second."""
    twins = ws.ledger.models.of(champion.cycle)
    challengers = [ws.ledger.models.of(cycle)[:1] for cycle in reversed(range(before))]
    newest = [found[0] for found in challengers if found]
    for others in (twins, newest[: len(newest)]):
        differ = {version.sha256: version for version in reversed(others) if version.sha256 != champion.sha256}
        if differ:
            return (champion, *_some(differ.values(), twins=others is twins))
    return ()
