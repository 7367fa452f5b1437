"""The committee: trained models of the registry that may disagree about a sample."""

from collections.abc import Sequence

import numpy as np

from alloop.ledger import Ledger
from alloop.nouns import Floats, ModelVersion, Sample
from alloop.workspace import Workspace

__all__ = ["committee_of", "opinions", "scored_by"]


def scored_by(ledger: Ledger, cycle: int) -> ModelVersion | None:
    """The model that scored the pool for this cycle: the champion then, whoever is champion now."""
    name = ledger.steps.facts(cycle, "score_pool").get("model_version")
    return ledger.models.get(name) if name else None


def committee_of(ledger: Ledger, cycle: int) -> tuple[ModelVersion, ...]:
    """The model that scored the pool for this cycle, and what sits with it; nobody while no second model differs.

    With it sit the models that learnt the same labels with other seeds (cycle 1 trains such replicates), or else the
    newest challenger. Files that are the same byte for byte are one member.
    """
    champion = scored_by(ledger, cycle)
    if champion is None:
        return ()
    twins = {version.sha256: version for version in reversed(ledger.models.of(champion.cycle))}
    twins.pop(champion.sha256, None)
    if twins:
        return (champion, *sorted(twins.values(), key=lambda version: version.name))
    for earlier in reversed(range(cycle)):
        for rival in ledger.models.of(earlier)[:1]:
            if rival.sha256 != champion.sha256:
                return (champion, rival)
    return ()


def opinions(ws: Workspace, members: Sequence[ModelVersion], samples: Sequence[Sample]) -> Floats:
    """What each of E members says about each of N samples: (N, E, C) float32."""
    return np.stack([ws.model(version).predict(samples).probabilities for version in members], axis=1)
