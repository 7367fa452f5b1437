"""The images of a batch as they appear in the report: why each was chosen, and what people said."""

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from alloop.acquisition.box_disagreement import CLASS, PLACE, SURENESS
from alloop.figures import THUMBNAIL, thumbnail
from alloop.nouns import Batch, BatchItem, Box, Content, Evidence, Lane, Outcome, Polygon, Task
from alloop.workspace import Workspace

__all__ = ["KINDS", "TAG_UNITS", "Agreement", "Drawing", "Gallery", "Outline", "Tag", "Tile", "draw_over", "show_batch"]

SHOWN = 24
DRAWN_ON = 240
"""Pixels of the longer side of an image with boxes, which are small already."""
UNITS = 480
"""The longer side of a drawing: half a pixel of the thumbnail to a unit, finer than anybody sees."""
PLACES = 5
"""A committee disagrees a little everywhere; this many of the places that weigh most are drawn and counted."""
TAG_UNITS, TAG_GAP = 36, 8
"""The height of a class name, and its distance to the box below it."""
TAGGED = 8
"""Boxes that get their class written to them; more would cover the image."""
KINDS = {"proposed": "of the pre-label", "answered": "of people", "doubted": "where the committee disagrees most"}
"""Whose lines there are, in the order of a legend."""
DOUBTS = {CLASS: "classes differ", SURENESS: "sureness differs", PLACE: "places differ"}
"""How a kind of evidence is told, where its own words are not enough."""


@dataclass(frozen=True)
class Outline:
    """So many closed lines over an image as SVG path data: `kind` says whose, one of KINDS."""

    kind: str
    path: str
    number: int


@dataclass(frozen=True)
class Tag:
    """A class name above the upper left corner of its box, at (x, y), or on the box where the image ends."""

    x: int
    y: int
    name: str
    kind: str


@dataclass(frozen=True)
class Drawing:
    """What is drawn over an image of so many units, of which the longer side has UNITS."""

    width: int
    height: int
    outlines: tuple[Outline, ...]
    tags: tuple[Tag, ...]

    @property
    def told(self) -> str:
        """What is drawn, in words, for those who do not see it."""
        found = [f"{line.number} {KINDS[line.kind]}" for line in self.outlines]
        return ", ".join(reversed(found)) or "nothing"


@dataclass(frozen=True)
class Tile:
    """One image: a data URI, why it was chosen, what the champion proposed and what people answered.

    `drawing` is None for a classifier, and for an image that cannot be read.
    """

    src: str
    uri: str
    rank: int
    lane: str
    why: str
    proposed: str
    answer: str
    outcome: str
    drawing: Drawing | None = None


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

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of outlines that are drawn anywhere, for a legend."""
        seen = {line.kind for tile in self.tiles if tile.drawing for line in tile.drawing.outlines}
        return tuple(kind for kind in KINDS if kind in seen)


def show_batch(ws: Workspace, cycle: int) -> Gallery:
    """What was chosen in a cycle; samples of a holdout to be are left out."""
    batch, outcomes = ws.ledger.batches.get(cycle), ws.ledger.batches.outcomes(cycle)
    answers = {label.sample.id: label.content for label in ws.ledger.labels.training_set(cycle).labels}
    items = [item for item in batch.items if item.lane is not Lane.HOLDOUT]
    side = THUMBNAIL if ws.config.project.task is Task.CLASSIFY else DRAWN_ON
    tiles = [
        _tile(item, outcomes.get(item.sample.id), answers.get(item.sample.id), side=side) for item in items[:SHOWN]
    ]
    return Gallery(tuple(tiles), len(items), _agreements(batch, answers))


def _tile(item: BatchItem, outcome: Outcome | None, answer: Content | None, *, side: int) -> Tile:
    proposed = item.prelabel.content if item.prelabel else None
    answered = answer if outcome is Outcome.LABELLED else None
    image, doubted = thumbnail(item.sample.uri, side=side), _heaviest(item.evidence)
    has_boxes = any(content and content.class_name is None for content in (proposed, answered))
    over = {"proposed": proposed, "answered": answered}
    return Tile(
        src=f"data:image/jpeg;base64,{b64encode(image.jpeg).decode()}",
        uri=item.sample.uri,
        rank=item.rank + 1,
        lane=item.lane.value,
        why=_why(item),
        proposed=_say(proposed) if proposed else "",
        answer=_say(answered) if answered else (outcome or "not answered yet"),
        outcome=outcome or "open",
        drawing=draw_over(image.shown, **over, doubted=doubted) if has_boxes and image.shown else None,
    )


def _why(item: BatchItem) -> str:
    if item.lane is Lane.CONTROL:
        return "drawn at random, pre-label hidden" if item.blind else "drawn at random"
    if item.lane is Lane.RELABEL:
        return "asked again: two people disagreed"
    score = "" if math.isnan(item.score) else f"score {item.score:.2f}"
    cluster = "" if item.cluster < 0 else f"cluster {item.cluster}"
    sure = f"{item.prelabel.confidence:.0%} sure" if item.prelabel else ""
    return ", ".join(part for part in (score, cluster, sure, *_doubts(item.evidence)) if part)


def _heaviest(evidence: Iterable[Evidence]) -> list[Evidence]:
    return sorted(evidence, key=lambda place: -place.weight)[:PLACES]


def _doubts(evidence: Iterable[Evidence]) -> list[str]:
    """What a committee disagrees about in the places that are drawn, such as "seen by one model only: 2 places"."""
    kinds = Counter(place.kind for place in _heaviest(evidence))
    return [f"{DOUBTS.get(kind, kind)}: {times} place{'' if times == 1 else 's'}" for kind, times in kinds.items()]


def _say(content: Content) -> str:
    """A content in a word or two: the class, or the classes of its objects, such as "cat ×2, dog"."""
    if content.class_name is not None:
        return content.class_name
    found = sorted(Counter(box.class_name for box in content.boxes).items())
    named = (name if times == 1 else f"{name}\N{NO-BREAK SPACE}×{times}" for name, times in found)
    return ", ".join(named) or "nothing"


def draw_over(
    size: tuple[int, int], *, proposed: Content | None, answered: Content | None, doubted: Sequence[Evidence]
) -> Drawing:
    """The lines over an image of (width, height) pixels: doubts, then people's boxes, then the pre-label's dashes above them.

    So both are seen where a pre-label was kept. Class names are those of the answer, or of the pre-label before there is one.
    """
    scale = UNITS / max(size)
    shapes = {
        "doubted": [_corners(place) for place in doubted],
        "answered": [box.polygon or _corners(box) for box in answered.boxes] if answered else [],
        "proposed": [box.polygon or _corners(box) for box in proposed.boxes] if proposed else [],
    }
    outlines = [Outline(kind, _path(polygons, scale), len(polygons)) for kind, polygons in shapes.items() if polygons]
    kind, named = ("answered", answered) if answered else ("proposed", proposed)
    width, height = (max(1, round(side * scale)) for side in size)
    return Drawing(width, height, tuple(outlines), _tags(named.boxes if named else (), kind, scale))


def _corners(place: Box | Evidence) -> Polygon:
    return ((place.x0, place.y0), (place.x1, place.y0), (place.x1, place.y1), (place.x0, place.y1))


def _path(polygons: Sequence[Polygon], scale: float) -> str:
    """Closed polygons in whole units; points that fall on the one before are left out."""
    rounded = [[(round(x * scale), round(y * scale)) for x, y in polygon] for polygon in polygons]
    return "".join(f"M{'L'.join(f'{x} {y}' for (x, y), _ in groupby(points))}Z" for points in rounded)


def _tags(boxes: Sequence[Box], kind: str, scale: float) -> tuple[Tag, ...]:
    if len(boxes) > TAGGED:
        return ()
    places = [(round(box.x0 * scale), round(box.y0 * scale) - TAG_GAP) for box in boxes]
    return tuple(Tag(x, max(y, TAG_UNITS), box.class_name, kind) for (x, y), box in zip(places, boxes, strict=True))


def _agreements(batch: Batch, answers: Mapping[str, Content]) -> tuple[Agreement, ...]:
    """By lane; boxes are never drawn twice alike, so only classes are compared."""
    found: dict[str, list[bool]] = {}
    for item in batch.items:
        answer = answers.get(item.sample.id)
        if item.prelabel and answer and answer.class_name is not None:
            found.setdefault(item.lane.value, []).append(item.prelabel.content.class_name == answer.class_name)
    return tuple(Agreement(lane, sum(same), len(same)) for lane, same in sorted(found.items(), reverse=True))
