"""The committee: who may disagree about a sample, and how far they do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alloop.acquisition.disagreement import MEASURES
from alloop.ledger import Ledger
from alloop.nouns import Evidence, Floats, ModelVersion, Sample, Task
from alloop.second_opinions import Doubted, masks_apart_from, mirrored_apart, rivals_apart
from alloop.workspace import Workspace

__all__ = ["Opinion", "ask_committee", "committee_of", "dissent", "scored_by"]


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a committee thinks of N samples: dissent (N,) float32, None while nobody differs, and {sample id: evidence}.

    `seconds` is what asking it cost.
    """

    members: tuple[str, ...] = ()
    dissent: Floats | None = None
    evidence: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict)
    seconds: float = 0.0


def ask_committee(ws: Workspace, cycle: int, samples: Sequence[Sample]) -> Opinion:
    """The opinion of the committee that `[committee]` names; of classifiers only other models can sit in it."""
    start, champion = time.perf_counter(), scored_by(ws.ledger, cycle)
    if champion is None:
        return Opinion()
    kind = ws.config.committee.kind
    if kind == "models":
        members = committee_of(ws.ledger, cycle)
        if not members:
            return Opinion()
        names = tuple(version.name for version in members)
        if ws.config.project.task is Task.CLASSIFY:
            return Opinion(names, dissent(ws, members, samples), seconds=time.perf_counter() - start)
        doubted = rivals_apart(ws, members, samples)
    elif kind == "views":
        names, doubted = (champion.name, f"{champion.name} mirrored"), mirrored_apart(ws, champion, samples)
    else:
        names, doubted = (champion.name, kind), masks_apart_from(ws, champion, samples)
    return _opinion(names, samples, doubted, seconds=time.perf_counter() - start)


def _opinion(
    names: tuple[str, ...], samples: Sequence[Sample], doubted: Sequence[Doubted], *, seconds: float
) -> Opinion:
    scores = np.array([score for score, _ in doubted], dtype=np.float32)
    found = {sample.id: evidence for sample, (_, evidence) in zip(samples, doubted, strict=True) if evidence}
    return Opinion(names, scores, found, seconds)


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


def dissent(ws: Workspace, members: Sequence[ModelVersion], samples: Sequence[Sample]) -> Floats:
    """How far classifiers disagree about each of N samples, (N,) float32, by the `[committee] measure`."""
    measure = MEASURES[ws.config.committee.measure]
    return measure(np.stack([ws.model(version).predict(samples).probabilities for version in members]))
