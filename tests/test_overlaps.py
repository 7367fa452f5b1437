"""How much boxes and outlines overlap: shapes whose areas are known by hand, and a fine raster as the judge of others."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from alloop.nouns import Box, Polygon, Task
from alloop.overlaps import PLAUSIBLE, box_overlaps, overlaps_of, shapes_of

SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
CORNER = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))
ELL = ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (5.0, 5.0), (5.0, 10.0), (0.0, 10.0))
BOW_TIE = ((0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0))


def box(*corners: float) -> Box:
    return Box("a", *corners)  # type: ignore[arg-type]


def outlined(polygon: Polygon) -> Box:
    xs, ys = zip(*polygon, strict=True)
    return Box("a", min(xs), min(ys), max(xs), max(ys), polygon)


def iou(ours: Box, theirs: Box, task: Task = Task.SEGMENT) -> float:
    return float(overlaps_of(shapes_of([ours]), shapes_of([theirs]), task=task)[0, 0])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Polygon:
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


corners = st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(1, 50), st.floats(1, 50)).map(
    lambda four: (four[0], four[1], four[0] + four[2], four[1] + four[3])
)


@st.composite
def stars(draw: st.DrawFn) -> Polygon:
    """Outlines around one middle, with dents."""
    radii = draw(st.lists(st.floats(10, 40), min_size=3, max_size=12))
    turns = [2 * math.pi * place / len(radii) for place in range(len(radii))]
    x, y = draw(st.floats(40, 60)), draw(st.floats(40, 60))
    return tuple((x + r * math.cos(turn), y + r * math.sin(turn)) for r, turn in zip(radii, turns, strict=True))


# Boxes


def test_box_overlaps_broadcast_and_keep_their_precision() -> None:
    """Half of one and half of the other: 50 of 150. Side by side: 0. A box without area overlaps nothing, nor itself."""
    first = np.array([[0, 0, 10, 10], [3, 3, 3, 3]], np.float32)
    second = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [3, 3, 3, 3]], np.float32)
    found = box_overlaps(first[:, None], second[None])
    assert found == pytest.approx(np.array([[1, 1 / 3, 0, 0], [0, 0, 0, 0]]))
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        ((0, 0, 10, 10), 1),
        ((5, 0, 15, 10), 1 / 3),
        ((0, 0, 5, 5), 1 / 4),
        ((10, 0, 20, 10), 0),
        ((30, 30, 40, 40), 0),
        ((3, 3, 3, 8), 0),
    ],
)
def test_two_boxes_overlap_by_what_they_share_of_what_they_cover(
    theirs: tuple[int, int, int, int], expected: float
) -> None:
    assert iou(box(0, 0, 10, 10), box(*theirs), Task.DETECT) == pytest.approx(expected, abs=1e-12)


def test_a_box_without_area_overlaps_not_even_itself() -> None:
    assert iou(box(3, 3, 3, 8), box(3, 3, 3, 8), Task.DETECT) == 0


def test_every_pair_has_its_place() -> None:
    ours, theirs = [box(0, 0, 10, 10), box(20, 0, 30, 10)], [box(20, 0, 30, 10), box(0, 0, 10, 5), box(90, 0, 99, 9)]
    found = overlaps_of(shapes_of(ours), shapes_of(theirs), task=Task.DETECT)
    assert found.tolist() == [[0, 0.5, 0], [1, 0, 0]]


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 2), (2, 0)])
def test_without_objects_there_are_no_pairs(task: Task, ours: int, theirs: int) -> None:
    a, b = shapes_of([outlined(ELL)] * ours), shapes_of([outlined(ELL)] * theirs)
    assert overlaps_of(a, b, task=task).shape == (ours, theirs)


# Outlines


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [(CORNER, 0.5), (ELL, 0.75), (BOW_TIE, 0.5), (SQUARE[::-1], 1), (SQUARE[2:] + SQUARE[:2], 1)],
)
def test_an_outline_overlaps_the_square_around_it_by_its_share_of_the_area(polygon: Polygon, expected: float) -> None:
    assert iou(outlined(SQUARE), outlined(polygon)) == pytest.approx(expected, abs=0.005)


def test_the_box_is_what_counts_when_the_task_has_no_masks() -> None:
    assert iou(outlined(SQUARE), outlined(CORNER), Task.DETECT) == 1


def test_a_box_without_an_outline_stands_for_itself() -> None:
    assert iou(box(0, 0, 10, 10), outlined(ELL)) == pytest.approx(0.75, abs=0.005)
    assert iou(outlined(ELL), box(0, 0, 10, 10)) == pytest.approx(0.75, abs=0.005)


def test_two_boxes_without_outlines_overlap_as_boxes_beside_others_with_outlines() -> None:
    boxes = [box(0, 0, 30, 7), outlined(ELL)]
    assert overlaps_of(shapes_of(boxes), shapes_of([box(0, 0, 30, 6)]), task=Task.SEGMENT)[0, 0] == 6 / 7


def test_a_flat_outline_overlaps_nothing() -> None:
    flat = outlined(((0, 5), (10, 5), (4, 5)))
    assert iou(flat, flat) == 0


@given(stars())
def test_equal_outlines_overlap_exactly_wholly(polygon: Polygon) -> None:
    assert iou(outlined(polygon), outlined(polygon)) == 1


@given(stars(), stars())
def test_the_overlap_of_outlines_is_the_same_from_both_sides_and_between_0_and_1(a: Polygon, b: Polygon) -> None:
    found = iou(outlined(a), outlined(b))
    assert 0 <= found <= 1
    assert found == pytest.approx(iou(outlined(b), outlined(a)), abs=1e-9)


@given(corners, corners)
def test_rectangles_overlap_as_outlines_like_the_boxes_that_they_are(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> None:
    as_boxes = iou(box(*a), box(*b), Task.DETECT)
    as_outlines = iou(outlined(rectangle(*a)), outlined(rectangle(*b)))
    assert as_outlines == pytest.approx(as_boxes, abs=0.01) or (as_outlines == 0 and as_boxes < PLAUSIBLE + 0.01)


@given(stars(), stars())
def test_outlines_overlap_as_their_masks_do_on_a_fine_raster(a: Polygon, b: Polygon) -> None:
    mine, theirs = (_mask(polygon) for polygon in (a, b))
    on_raster = (mine & theirs).sum() / (mine | theirs).sum()
    found = iou(outlined(a), outlined(b))
    assert found == pytest.approx(on_raster, abs=0.015) or (found == 0 and on_raster < PLAUSIBLE + 0.015)


def _mask(polygon: Polygon, *, scale: int = 8) -> np.ndarray:
    """Pillow's fill takes the pixels of the edge in: half a pixel too much all around, little on a raster this fine."""
    image = Image.new("1", (100 * scale, 100 * scale))
    ImageDraw.Draw(image).polygon([(x * scale, y * scale) for x, y in polygon], fill=1)
    return np.array(image)
