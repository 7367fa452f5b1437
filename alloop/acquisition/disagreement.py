"""How far models disagree: (E, N, C) probabilities of E models to (N,) scores; higher is more worth labelling."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from alloop.acquisition.scores import entropy
from alloop.nouns import Floats

__all__ = ["MEASURES", "jensen_shannon", "vote_entropy"]


def jensen_shannon(committee: Floats) -> Floats:
    """Entropy of the mean minus the mean entropy, in nats: (E, N, C) to (N,) float32 in [0, log E].

    0 where all models say the same, however unsure they are. Source: McCallum & Nigam 1998 (its KL to the mean);
    the same as BALD, Houlsby 2011, arXiv 1112.5745.
    """
    apart = entropy(committee.mean(axis=0)) - np.mean([entropy(member) for member in committee], axis=0)
    return np.asarray(np.maximum(apart, 0), dtype=np.float32)


def vote_entropy(committee: Floats) -> Floats:
    """Entropy of the models' top classes, in nats: (E, N, C) to (N,) float32 in [0, log E].

    It has few values, and so many ties: two models either agree or do not.
    Source: Dagan & Engelson 1995, Committee-Based Sampling for Training Probabilistic Classifiers.
    """
    votes = committee.argmax(axis=2)
    shares = np.stack([(votes == one).mean(axis=0) for one in range(committee.shape[2])], axis=1)
    return entropy(shares.astype(np.float32))


MEASURES: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {"jensen-shannon": jensen_shannon, "vote-entropy": vote_entropy}
)
"""The names that `[committee] measure` knows."""
