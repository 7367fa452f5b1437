"""The images of a batch as they appear in the report: why each was chosen, and what people said."""

import math
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from alloop.figures import thumbnail
from alloop.nouns import Batch, BatchItem, Content, Lane, Outcome
from alloop.workspace import Workspace

__all__ = ["Agreement", "Gallery", "Tile", "show_batch"]

SHOWN = 24


@dataclass(frozen=True)
class Tile:
    """One image: a data URI, why it was chosen, what the champion proposed and what people answered."""

    src: str
    uri: str
    rank: int
    lane: str
    why: str
    proposed: str
    answer: str
    outcome: str


@dataclass(frozen=True)
class Agreement:
    """On how many labelled samples of a lane people gave the answer that the pre-label proposed."""

    lane: str
    agreed: int
    labelled: int


@dataclass(frozen=True)
class Gallery:
    """The first images of a batch in order of rank, how many there are in all, and agreement by lane."""

    tiles: tuple[Tile, ...]
    batch: int
    agreements: tuple[Agreement, ...]


def show_batch(ws: Workspace, cycle: int) -> Gallery:
    """What was chosen in a cycle; samples of a holdout to be are left out."""
    batch, outcomes = ws.ledger.batches.get(cycle), ws.ledger.batches.outcomes(cycle)
    answers = {label.sample.id: label.content for label in ws.ledger.labels.training_set(cycle).labels}
    items = [item for item in batch.items if item.lane is not Lane.HOLDOUT]
    tiles = [_tile(item, outcomes.get(item.sample.id), answers.get(item.sample.id)) for item in items[:SHOWN]]
    return Gallery(tuple(tiles), len(items), _agreements(batch, answers))


def _tile(item: BatchItem, outcome: Outcome | None, answer: Content | None) -> Tile:
    prelabel = item.prelabel
    return Tile(
        src=f"data:image/jpeg;base64,{b64encode(thumbnail(item.sample.uri)).decode()}",
        uri=item.sample.uri,
        rank=item.rank + 1,
        lane=item.lane.value,
        why=_why(item),
        proposed=_say(prelabel.content) if prelabel else "",
        answer=_say(answer) if outcome is Outcome.LABELLED and answer else (outcome or "not answered yet"),
        outcome=outcome or "open",
    )


def _why(item: BatchItem) -> str:
    if item.lane is Lane.CONTROL:
        return "drawn at random"
    score = "" if math.isnan(item.score) else f"score {item.score:.2f}"
    cluster = "" if item.cluster < 0 else f"cluster {item.cluster}"
    sure = f"{item.prelabel.confidence:.0%} sure" if item.prelabel else ""
    return ", ".join(part for part in (score, cluster, sure) if part)


def _say(content: Content) -> str:
    """A content in a word or two."""
    if content.class_name is not None:
        return content.class_name
    return f"{len(content.boxes)} object{'' if len(content.boxes) == 1 else 's'}"


def _agreements(batch: Batch, answers: Mapping[str, Content]) -> tuple[Agreement, ...]:
    """By lane; boxes are never drawn twice alike, so only classes are compared."""
    found: dict[str, list[bool]] = {}
    for item in batch.items:
        answer = answers.get(item.sample.id)
        if item.prelabel and answer and answer.class_name is not None:
            found.setdefault(item.lane.value, []).append(item.prelabel.content.class_name == answer.class_name)
    return tuple(Agreement(lane, sum(same), len(same)) for lane, same in sorted(found.items(), reverse=True))
