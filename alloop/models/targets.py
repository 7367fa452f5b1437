"""From labels to class numbers."""

from collections.abc import Sequence

import numpy as np

from alloop.errors import BadLabel, ConfigError
from alloop.nouns import Integers, Task, TrainingLabel

__all__ = ["class_numbers", "in_order", "only_classify"]


def in_order(labels: Sequence[TrainingLabel]) -> list[TrainingLabel]:
    """The labels sorted by sample id and class, so that training does not depend on the order they came in."""
    return sorted(labels, key=lambda label: (label.sample.id, label.content.class_name or ""))


def class_numbers(labels: Sequence[TrainingLabel], label_set: Sequence[str]) -> Integers:
    """The class of each label as its place in the label set, (N,) int64; BadLabel for none or a class outside it."""
    if not labels:
        raise BadLabel("there are 0 labels to train on; have at least one sample labelled first")
    places = {name: place for place, name in enumerate(label_set)}
    for label in labels:
        if label.content.class_name not in places:
            raise BadLabel(
                f"sample {label.sample.uri} has the label {label.content.class_name!r}, which is not in the label set"
                f" ({', '.join(label_set)}); correct the label or add it to [project] labels"
            )
    return np.array([places[str(label.content.class_name)] for label in labels], dtype=np.int64)


def only_classify(task: Task, kind: str) -> Task:
    """The task, if it is classification; ConfigError says that a model of this kind does nothing else."""
    if task is not Task.CLASSIFY:
        raise ConfigError(f'a {kind} model cannot {task.value}; set task = "classify" or choose another model kind')
    return task
