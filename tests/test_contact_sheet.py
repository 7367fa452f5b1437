"""The first images of a batch as one picture."""

import io
from base64 import b64encode
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from alloop.contact_sheet import FLAT, GAP, LINE, STRIPE, Sheet, contact_sheet
from alloop.gallery import Drawing, Outline, Tile

WIDE = {8: (720 - 9 * GAP) // 8, 4: (720 - 5 * GAP) // 4}
"""Pixels of a tile in rows of eight and of four."""


def picture(colour: str, size: tuple[int, int]) -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=95)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


TILE = Tile(picture("black", (32, 32)), "a.png", 1, "active", "score 0.9", "8", "3", "labelled")
BOXED = replace(
    TILE,
    src=picture("black", (120, 90)),
    drawing=Drawing(480, 360, (Outline("answered", "M120 90L360 90L360 270L120 270Z", 1),), ()),
)


def sheet_of(*tiles: Tile) -> Sheet:
    sheet = contact_sheet(tiles)
    assert sheet is not None
    return sheet


def pixels(sheet: Sheet) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.asarray(Image.open(io.BytesIO(sheet.jpeg)))


def is_near(pixel: object, colour: tuple[int, int, int]) -> bool:
    """As far as JPEG, which has half the resolution for colours, lets thin lines keep theirs."""
    return bool(np.abs(np.asarray(pixel, dtype=int) - colour).max() < 90)


def test_without_images_there_is_no_sheet() -> None:
    assert contact_sheet(()) is None


def test_images_of_classes_stand_eight_in_a_row_and_three_rows_at_most() -> None:
    sheet = sheet_of(*[TILE] * 30)
    assert sheet.shown == 24
    assert pixels(sheet).shape == (GAP + 3 * (STRIPE + WIDE[8] + LINE + GAP), 720, 3)


def test_images_with_boxes_stand_four_in_a_row() -> None:
    sheet = sheet_of(*[BOXED] * 5)
    assert sheet.shown == 5
    assert pixels(sheet).shape == (GAP + 2 * (STRIPE + round(FLAT * WIDE[4]) + LINE + GAP), 720, 3)


def test_the_stripe_tells_the_outcome() -> None:
    shown = pixels(sheet_of(TILE, replace(TILE, outcome="unclear", answer="unclear")))
    middle = GAP + WIDE[8] // 2
    assert is_near(shown[GAP + 2, middle], (0, 158, 115))
    assert is_near(shown[GAP + 2, middle + WIDE[8] + GAP], (230, 159, 0))


def test_the_image_fills_its_tile() -> None:
    shown = pixels(sheet_of(TILE))[GAP + STRIPE + 3 : GAP + STRIPE + WIDE[8] - 3, GAP + 3 : GAP + WIDE[8] - 3]
    assert shown.max() < 40


def test_a_box_is_drawn_where_it_is_in_the_image() -> None:
    """A quarter to three quarters of the image both ways, whose upper left corner is below the stripe."""
    shown, scale = pixels(sheet_of(BOXED)), WIDE[4] / 480
    left, top = GAP + round(120 * scale), GAP + STRIPE + round(90 * scale)
    assert is_near(shown[top : top + 2, GAP + WIDE[4] // 2].max(axis=0), (240, 228, 66))
    assert is_near(shown[GAP + STRIPE + round(180 * scale), left - 1 : left + 2].max(axis=0), (240, 228, 66))
    assert is_near(shown[GAP + STRIPE + round(180 * scale), GAP + WIDE[4] // 2], (0, 0, 0))


def test_the_legend_says_what_colours_mean() -> None:
    assert sheet_of(BOXED, replace(BOXED, outcome="unclear")).legend == (
        "Stripes: green for labelled, amber for unclear",
        "Lines: yellow of people",
        "In words: proposed > answered",
    )


def test_where_nothing_was_proposed_the_legend_speaks_of_no_proposal() -> None:
    assert sheet_of(replace(TILE, proposed="")).legend == ("Stripes: green for labelled",)


@pytest.mark.parametrize("word", ["a word that is far too long for a tile " * 3, "犬", "", "×2\xa0cats"])
def test_any_word_stays_in_its_tile(word: str) -> None:
    shown = pixels(sheet_of(replace(TILE, answer=word)))
    assert shown[GAP + STRIPE + WIDE[8] + 2 :, GAP + WIDE[8] + 2 :].min() > 200
