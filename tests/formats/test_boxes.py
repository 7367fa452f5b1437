"""Boxes are made to fit their image, or refused."""

import math

import pytest

from alloop.errors import BadLabel
from alloop.formats.boxes import agree, around, fitted, told
from alloop.nouns import Box, Content

SQUARE = ((10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0))
OTHER = ((50.0, 10.0), (60.0, 10.0), (60.0, 20.0), (50.0, 20.0))


def fit(*corners: float, polygon: tuple[tuple[float, float], ...] = ()) -> Box:
    (box,) = fitted([("here", Box("cat", *corners, polygon))], 100, 80).boxes
    return box


def refusal(*corners: float, polygon: tuple[tuple[float, float], ...] = ()) -> str:
    with pytest.raises(BadLabel) as caught:
        fit(*corners, polygon=polygon)
    return str(caught.value)


def test_what_is_inside_stays_as_it_is() -> None:
    assert fit(0, 0.5, 100, 80) == Box("cat", 0, 0.5, 100, 80)


def test_what_sticks_out_a_pixel_is_cut_off() -> None:
    assert fit(-1, -0.5, 101, 80.25) == Box("cat", 0, 0, 100, 80)


def test_what_sticks_out_further_is_refused() -> None:
    assert refusal(0, 0, 101.1, 80) == "here reaches 1.1 px out of the image of 100 x 80 pixels; mend it"


def test_an_outline_is_cut_off_too() -> None:
    assert fit(0, 0, 9, 9, polygon=((-1, 0), (9, 0), (9, 9))).polygon == ((0, 0), (9, 0), (9, 9))


def test_an_outline_that_sticks_out_further_is_refused() -> None:
    assert "reaches 20.0 px out" in refusal(0, 0, 9, 9, polygon=((0, 0), (9, 0), (9, 100)))


@pytest.mark.parametrize("corners", [(5, 5, 5, 9), (5, 5, 9, 5), (9, 9, 5, 5), (100, 0, 101, 9)])
def test_a_box_without_area_is_refused(corners: tuple[float, ...]) -> None:
    assert "has no area" in refusal(*corners)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    assert refusal(0, 0, value, 9) == "here has a coordinate that is not a finite number; mend it"


def test_the_box_around_an_outline() -> None:
    assert around(SQUARE[:3], "dog") == Box("dog", 10, 10, 30, 30, SQUARE[:3])


def test_labels_agree_to_a_hundredth_of_a_pixel() -> None:
    one, near, far = (Content(boxes=(Box("cat", 0, 0, 9 + more, 9),)) for more in (0, 0.009, 0.02))
    assert agree(one, near)
    assert not agree(one, far)


@pytest.mark.parametrize(
    "other",
    [
        Content(),
        Content("cat"),
        Content(boxes=(Box("dog", 10, 10, 30, 30, SQUARE),)),
        Content(boxes=(Box("cat", 10, 10, 30, 30),)),
    ],
)
def test_other_labels_do_not_agree(other: Content) -> None:
    assert not agree(Content(boxes=(around(SQUARE, "cat"),)), other)


def test_a_label_is_told_in_a_few_words() -> None:
    boxes = (Box("cat", 0, 1.25, 9, 9),) * 5
    assert told(None) == "None"
    assert told(Content("cat")) == "'cat'"
    assert told(Content()) == "[]"
    assert told(Content(boxes=boxes)) == "[cat 0,1.25-9,9; cat 0,1.25-9,9; cat 0,1.25-9,9 and 2 more]"
