"""The first images of a batch in one picture, for pages that show pictures and know no layout."""

import io
import re
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from alloop.gallery import KINDS, UNITS, Drawing, Tile

__all__ = ["Sheet", "contact_sheet"]

WIDTH = 720
GAP, STRIPE, LINE = 6, 5, 18
"""Pixels between tiles, of the stripe that tells the outcome, and of a line of text."""
SMALL, LARGE = 8, 4
"""Tiles in a row: images of a class, and images with boxes, in which there is more to see."""
ROWS = 3
QUALITY = 72
FLAT = 0.75
"""Height by width of a tile with boxes; most cameras make images like this."""
PAPER, INK, GROUND = "#ffffff", "#1c2024", "#808080"
STRIPES = {
    "labelled": ("#009e73", "green"),
    "unclear": ("#e69f00", "amber"),
    "skipped": ("#56b4e9", "light blue"),
    "rejected": ("#d55e00", "red"),
    "expired": ("#6a7078", "dark grey"),
    "open": ("#c3c8ce", "light grey"),
}
"""The colours of the report, and how they are called."""
LINES = {"answered": ("#f0e442", 2, "yellow"), "proposed": ("#56b4e9", 1, "blue"), "doubted": ("#ff6ad5", 1, "pink")}
CORNER = re.compile(r"(-?\d+) (-?\d+)")


@dataclass(frozen=True)
class Sheet:
    """A JPEG 720 pixels wide, how many images it shows, and what its colours mean."""

    jpeg: bytes
    shown: int
    legend: tuple[str, ...]


def contact_sheet(tiles: Sequence[Tile]) -> Sheet | None:
    """The first tiles in rows, each with what the model proposed and people answered; None without tiles."""
    if not tiles:
        return None
    has_boxes = any(tile.drawing for tile in tiles)
    columns = LARGE if has_boxes else SMALL
    tiles = tiles[: columns * ROWS]
    wide = (WIDTH - GAP * (columns + 1)) // columns
    size = wide, round(FLAT * wide) if has_boxes else wide
    step = STRIPE + size[1] + LINE + GAP
    sheet = Image.new("RGB", (WIDTH, GAP + step * -(-len(tiles) // columns)), PAPER)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet.paste(_tile(tile, size), (GAP + column * (wide + GAP), GAP + row * step))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return Sheet(file.getvalue(), len(tiles), _legend(tiles))


def _tile(tile: Tile, size: tuple[int, int]) -> Image.Image:
    """One tile: its stripe, its image of at most that (width, height) with lines over it, and a line of words."""
    wide, high = size
    card = Image.new("RGB", (wide, STRIPE + high + LINE), PAPER)
    draw = ImageDraw.Draw(card)
    draw.rectangle((0, 0, wide, STRIPE - 1), fill=STRIPES.get(tile.outcome, STRIPES["open"])[0])
    draw.rectangle((0, STRIPE, wide, STRIPE + high - 1), fill=GROUND)
    thumbnail = Image.open(io.BytesIO(b64decode(tile.src.partition(",")[2])))
    scale = min(wide / thumbnail.width, high / thumbnail.height)
    image = thumbnail.resize((max(1, round(thumbnail.width * scale)), max(1, round(thumbnail.height * scale))))
    left, top = (wide - image.width) // 2, STRIPE + (high - image.height) // 2
    card.paste(image, (left, top))
    if tile.drawing:
        _outline(draw, tile.drawing, (left, top), max(image.size) / UNITS)
    _write(draw, tile, wide, STRIPE + high + 1)
    return card


def _outline(draw: ImageDraw.ImageDraw, drawing: Drawing, corner: tuple[int, int], scale: float) -> None:
    for outline in drawing.outlines:
        colour, width, _ = LINES[outline.kind]
        for polygon in filter(None, outline.path.split("Z")):
            points = [(corner[0] + scale * int(x), corner[1] + scale * int(y)) for x, y in CORNER.findall(polygon)]
            draw.line([*points, points[0]], fill=colour, width=width)


def _write(draw: ImageDraw.ImageDraw, tile: Tile, wide: int, top: int) -> None:
    """What was proposed and answered, shortened until it fits."""
    font = ImageFont.load_default(13)
    answer = "?" if tile.outcome == "open" else tile.answer
    words = f"{tile.proposed} > {answer}" if tile.proposed else answer
    words = words.replace("\xa0", " ").replace("×", "x")
    while draw.textlength(words, font=font) > wide and len(words) > 1:
        words = f"{words.rstrip('…')[:-1]}…"
    draw.text((0, top), words, fill=INK, font=font)


def _legend(tiles: Sequence[Tile]) -> tuple[str, ...]:
    """The stripes and the lines that are there, in words."""
    outcomes = dict.fromkeys(tile.outcome for tile in tiles)
    kinds = {line.kind for tile in tiles if tile.drawing for line in tile.drawing.outlines}
    stripes = ", ".join(f"{STRIPES.get(outcome, STRIPES['open'])[1]} for {outcome}" for outcome in outcomes)
    lines = ", ".join(f"{LINES[kind][2]} {KINDS[kind]}" for kind in KINDS if kind in kinds)
    below = "In words: proposed > answered" if any(tile.proposed for tile in tiles) else ""
    told = (f"Stripes: {stripes}", f"Lines: {lines}" if lines else "", below)
    return tuple(part for part in told if part)
