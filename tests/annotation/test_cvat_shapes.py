import math

import numpy as np
import pytest
from cvat_sdk.masks import encode_mask
from hypothesis import given
from hypothesis import strategies as st

from alloop.annotation.cvat_shapes import Marks, check_prelabel, read_marks, write_prelabel
from alloop.annotation.form import Form
from alloop.errors import BadLabel
from alloop.nouns import Box, Content, Prelabel, Task

SIZE = (40, 30)
NAMES = {1: "cat", 2: "dog", 9: "unclear"}
DETECT, SEGMENT, CLASSIFY = (Form(task, ("cat", "dog")) for task in (Task.DETECT, Task.SEGMENT, Task.CLASSIFY))


def shape(kind, points, label=1, **fields):
    return {"type": kind, "points": points, "label_id": label, "source": "manual", **fields}


def boxes(*shapes, form=DETECT, size=SIZE):
    return read_marks(Marks(shapes=list(shapes)), form, size, NAMES)[1].boxes


def test_a_turned_rectangle_becomes_the_upright_box_around_it():
    (box,) = boxes(shape("rectangle", [10, 10, 20, 14], rotation=90.0))
    assert (box.x0, box.y0, box.x1, box.y1) == (13, 7, 17, 17)


def test_it_turns_about_its_middle():
    (box,) = boxes(shape("rectangle", [10, 10, 20, 20], rotation=315.0))
    assert box.x1 - box.x0 == pytest.approx(10 * math.sqrt(2), abs=2e-3)
    assert (box.x0 + box.x1) / 2 == pytest.approx(15, abs=1e-3)


def test_a_polygon_becomes_its_box_and_its_outline():
    (box,) = boxes(shape("polygon", [4, 3, 20, 3, 12, 21], label=2), form=SEGMENT)
    assert box == Box("dog", 4, 3, 20, 21, polygon=((4, 3), (20, 3), (12, 21)))


def test_a_mask_becomes_the_box_and_the_outline_of_its_pixels():
    pixels = np.zeros((30, 40), bool)
    pixels[5:15, 10:30] = True
    (box,) = boxes(shape("mask", encode_mask(pixels)), form=SEGMENT)
    assert (box.x0, box.y0, box.x1, box.y1) == (10, 5, 30, 15)
    assert area(box.polygon) == pytest.approx(200, abs=1)
    assert all(10 <= x <= 30 and 5 <= y <= 15 for x, y in box.polygon)


def test_a_mask_as_the_documentation_writes_it():
    # a box 3 wide and 2 high at (4, 5): pixels 0 1 1 / 1 1 0
    (box,) = boxes(shape("mask", [1.0, 4.0, 1.0, 4.0, 5.0, 6.0, 6.0]), form=SEGMENT)
    assert (box.x0, box.y0, box.x1, box.y1) == (4, 5, 7, 7)


@given(st.integers(0, 2**20 - 1))
def test_any_mask_has_its_pixels_box_and_about_its_area(bits):
    pixels = np.array([bits >> number & 1 for number in range(20)], bool).reshape(4, 5)
    if not pixels.any():
        return
    (box,) = boxes(shape("mask", encode_mask(pixels)), form=SEGMENT, size=(5, 4))
    rows, columns = np.nonzero(pixels)
    assert (box.x0, box.y0, box.x1, box.y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def area(polygon):
    xs, ys = np.array(polygon).T
    return abs(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1))) / 2


@pytest.mark.parametrize(
    ("form", "wrong", "why"),
    [
        (DETECT, shape("ellipse", [10, 10, 15, 5]), "'ellipse'; alloop reads rectangle, polygon, mask"),
        (DETECT, shape("points", [10, 10]), "'points'"),
        (DETECT, shape("skeleton", []), "'skeleton'"),
        (DETECT, shape("polyline", [1, 1, 2, 2]), "'polyline'"),
        (SEGMENT, shape("rectangle", [1, 1, 5, 5]), "'rectangle'; alloop reads polygon, mask"),
        (DETECT, shape("rectangle", [1, 1, 5]), "3 numbers instead of 4"),
        (DETECT, shape("rectangle", [50, 50, 60, 60]), "no area inside the image"),
        (DETECT, shape("rectangle", [1, 1, 5, 5], label=77), "label '' is not in the label set"),
        (DETECT, shape("rectangle", [1, 1, 5, 5], label=9), "label 'unclear' is not in the label set"),
        (DETECT, shape("rectangle", [1, float("nan"), 5, 5]), "not finite"),
        (SEGMENT, shape("polygon", [1, 1, 5, 5]), "not three or more points"),
        (SEGMENT, shape("polygon", [1, 1, 5, 5, 7, 7, 8]), "not three or more points"),
        (SEGMENT, shape("mask", [1, 2]), "2 numbers, and no pixels"),
        (SEGMENT, shape("mask", [4, 0, 0, 1, 1]), "empty"),
        (SEGMENT, shape("mask", [0, 3, 0, 0, 1, 1]), "cannot be unpacked"),
        (SEGMENT, shape("mask", [0, 4, 39, 29, 40, 30]), "outside its image"),
    ],
)
def test_a_shape_that_cannot_be_used_says_why(form, wrong, why):
    with pytest.raises(BadLabel, match=why):
        boxes(wrong, form=form)


def tags(*names, source="manual"):
    return [{"label_id": number, "source": source} for name in names for number, said in NAMES.items() if said == name]


@pytest.mark.parametrize(
    ("form", "marks", "why"),
    [
        (CLASSIFY, Marks(tags=tags("cat", "dog")), "'cat', 'dog' instead of one"),
        (CLASSIFY, Marks([shape("rectangle", [1, 1, 5, 5])]), "1 shapes lie on the frame"),
        (DETECT, Marks(tags=tags("cat")), "has the tag 'cat', and shapes are asked for"),
        (DETECT, Marks(tracked=True), "a track runs over"),
    ],
)
def test_marks_of_another_kind_say_why(form, marks, why):
    with pytest.raises(BadLabel, match=why):
        read_marks(marks, form, SIZE, NAMES)


def test_one_tag_twice_is_one_answer():
    assert read_marks(Marks(tags=tags("cat", "cat")), CLASSIFY, SIZE, NAMES)[1] == Content("cat")


corner = st.tuples(st.floats(0, 19), st.floats(0, 14), st.floats(1, 20), st.floats(1, 15))


@given(st.lists(corner, max_size=4), st.sampled_from([DETECT, SEGMENT]))
def test_what_is_written_is_read_again_to_a_thousandth_of_a_pixel(corners, form):
    given_boxes = [Box("cat", x, y, x + width, y + height) for x, y, width, height in corners]
    shapes, _ = write_prelabel(Prelabel("v1", Content(boxes=tuple(given_boxes)), 0.5), form, SIZE)
    back = boxes(*(written | {"label_id": 1} for written in shapes), form=form)
    for one, other in zip(given_boxes, back, strict=True):
        assert (other.x0, other.y0, other.x1, other.y1) == pytest.approx((one.x0, one.y0, one.x1, one.y1), abs=6e-4)


@pytest.mark.parametrize(
    "prelabel",
    [
        Prelabel("v1", Content(boxes=(Box("cat", 0, 0, math.inf, 5),)), 0.5),
        Prelabel("v1", Content(boxes=(Box("cat", 0, 0, 5, 5, polygon=((0, 0), (1, math.nan), (2, 2))),)), 0.5),
        Prelabel("v1", Content(), math.nan),
    ],
)
def test_numbers_that_are_not_finite_are_a_fault_of_the_model(prelabel):
    with pytest.raises(BadLabel, match="not finite; train it again"):
        check_prelabel(prelabel, DETECT)
