"""The third step: the batch into the annotators' queue."""

import alloop.cycle as loop
from tasks.step import do, step

__all__ = ["push_to_annotation"]


@step(name="push-to-annotation", timeout_seconds=3600)
def push_to_annotation(config: str, cycle: str) -> str:
    """Push the batch; what the tool has already stays as it is."""
    return do(config, cycle, "push_to_annotation", loop.push_to_annotation)
