"""After a change of champion: what people are shown of tasks that are open is what the new champion would answer."""

from collections.abc import Mapping, Sequence

from alloop.errors import BadImage
from alloop.nouns import ModelVersion, Prelabel, Sample
from alloop.pool_scores import is_readable
from alloop.prelabels import prelabels_of
from alloop.workspace import Workspace

__all__ = ["publish_champion", "readable_prelabels"]


def publish_champion(ws: Workspace) -> int:
    """Renew the pre-labels of what is pushed and not answered; how many samples that was. Twice is once.

    Where the push showed none on purpose, none is shown now, and where an image cannot be read any more the old one stays.
    While nothing is open, neither the model nor the tool is asked. The ledger keeps the pre-label of the push: what people
    change is measured against that. ToolUnavailable when the tool does not answer; trying again helps.
    """
    champion = ws.ledger.models.champion()
    samples = _open_samples(ws) if champion is not None else []
    if champion is None or not samples:
        return 0
    prelabels = readable_prelabels(ws, champion, samples)
    ws.tool.publish_model(champion.name, prelabels)
    return len(prelabels)


def readable_prelabels(ws: Workspace, version: ModelVersion, samples: Sequence[Sample]) -> Mapping[str, Prelabel]:
    """{sample id: pre-label} by a model of those samples whose image can be read."""
    try:
        return prelabels_of(ws, version, samples)
    except BadImage:
        readable = [sample for sample in samples if is_readable(sample)]
        if len(readable) == len(samples):
            raise
        return prelabels_of(ws, version, readable)


def _open_samples(ws: Workspace) -> list[Sample]:
    """The samples of the open batch that people are helped with and that nobody has answered, as far as the ledger knows."""
    cycles = ws.ledger.cycles.all()
    if not cycles or cycles[-1].closed_at is not None:
        return []
    cycle = cycles[-1].number
    if any(stage.step == "wait_for_labels" and stage.finished_at is not None for stage in ws.ledger.steps.of(cycle)):
        return []
    asked, refs = {item.sample_id for item in ws.ledger.expiry.items(cycle)}, ws.ledger.batches.refs(cycle)
    answered = {label.sample_id for label, joined in ws.ledger.labels.given() if joined is None}
    wanted = asked.intersection(refs) - answered
    return [x.sample for x in ws.ledger.batches.get(cycle).items if x.shown is not None and x.sample.id in wanted]
