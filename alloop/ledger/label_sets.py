"""A set of labels to train on, and the hash that names exactly this set."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from alloop.ledger.observations import content_hash
from alloop.nouns import Outcome, TrainingLabel

__all__ = ["LabelSet", "label_set_hash"]


@dataclass(frozen=True)
class LabelSet:
    """What a model is trained on, and the hash that names exactly this set."""

    labels: tuple[TrainingLabel, ...]
    hash: str


def label_set_hash(labels: Sequence[TrainingLabel]) -> str:
    """The sha256 of which samples carry which contents, in order of sample id."""
    digest = hashlib.sha256()
    for label in sorted(labels, key=lambda label: label.sample.id):
        says = content_hash(Outcome.LABELLED, label.content, deleted=False)
        digest.update(f"{label.sample.id} {says}\n".encode())
    return digest.hexdigest()
