"""The contract of an annotation tool: every adapter passes `alloop.testing.annotation_contract`."""

from collections.abc import Collection, Mapping
from typing import Protocol

from alloop.nouns import Batch, Changes, Prelabel

__all__ = ["AnnotationTool"]


class AnnotationTool(Protocol):
    """Where people label. `name` is the key of its observations in the ledger."""

    name: str

    def push(self, batch: Batch) -> Mapping[str, str]:
        """Put the batch into the annotators' queue in order of rank; {sample id: task ref}. Twice is once.

        One for several `annotators` is one task that so many different people answer. What people see is `shown`.
        """

    def changed_since(self, cursor: str) -> Changes:
        """All labels that are new or changed since `cursor` ("" is the beginning), and the next cursor.

        An answer that was changed to something unusable is told as deleted, and refused.
        """

    def withdraw(self, refs: Collection[str]) -> None:
        """Take these tasks out of the queue, if nobody answered them; unknown refs are no error."""

    def publish_model(self, version: str, predictions: Mapping[str, Prelabel]) -> None:
        """Show these pre-labels {sample id: Prelabel} of `version` on the open tasks from now on.

        Never on tasks of the holdout, nor where the push had none: those are answered without help on purpose.
        """
