import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.annotation.form import Form
from alloop.annotation.label_studio_results import read_results, write_results
from alloop.errors import BadLabel
from alloop.nouns import Box, Content, Outcome, Prelabel, Task
from tests.annotation.label_studio_person import choice, rectangle, region

LABELS = ("cat", "dog")
DETECT, SEGMENT, CLASSIFY = (Form(task, LABELS) for task in (Task.DETECT, Task.SEGMENT, Task.CLASSIFY))
SIZE = (40, 30)
# what the browser sent when somebody pressed Submit on a pre-labelled task (Label Studio 1.23.2)
FROM_THE_BROWSER = {
    "original_width": 640,
    "original_height": 480,
    "image_rotation": 0,
    "value": {"x": 50, "y": 50, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": ["dog"]},
    "id": "disc5050",
    "from_name": "label",
    "to_name": "image",
    "type": "rectanglelabels",
    "origin": "prediction",
    "score": 0.4,
}


def write(content, form=DETECT, size=SIZE, confidence=0.5):
    return write_results(Prelabel("v1", content, confidence), form, size)


def boxes(results, form=DETECT, size=SIZE):
    outcome, content = read_results(results, form, size)
    assert outcome is Outcome.LABELLED
    return content.boxes


def test_a_class_is_a_choice():
    (result,) = write(Content("dog"), CLASSIFY, None)
    assert (result["type"], result["value"], result["score"]) == ("choices", {"choices": ["dog"]}, 0.5)


def test_a_box_is_written_in_percent():
    (result,) = write(Content(boxes=(Box("cat", 4, 3, 20, 30),)))
    assert result["value"] == {
        "x": 10, "y": 10, "width": 40, "height": 90, "rotation": 0, "rectanglelabels": ["cat"],
    }  # fmt: skip


def test_a_box_is_cut_at_the_edge_of_the_image():
    (result,) = write(Content(boxes=(Box("cat", -5, -5, 50, 15),)))
    value = result["value"]
    assert (value["x"], value["y"], value["width"], value["height"]) == (0, 0, 100, 50)


def test_a_box_beside_the_image_is_left_out():
    assert write(Content(boxes=(Box("cat", 41, 0, 50, 10), Box("cat", 5, 5, 5, 10)))) == []


def test_a_segment_without_a_polygon_is_its_box():
    (result,) = write(Content(boxes=(Box("cat", 0, 0, 20, 15),)), SEGMENT)
    assert result["value"]["points"] == [[0, 0], [50, 0], [50, 50], [0, 50]]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_box_that_is_not_finite_is_refused(number):
    with pytest.raises(BadLabel, match="not finite"):
        write(Content(boxes=(Box("cat", 0, 0, number, 1),)))


def test_a_confidence_that_is_not_finite_is_refused():
    with pytest.raises(BadLabel, match="nan"):
        write(Content("cat"), CLASSIFY, confidence=math.nan)


@pytest.mark.parametrize(
    ("content", "form"), [(Content("cow"), CLASSIFY), (Content(boxes=(Box("cow", 0, 0, 1, 1),)), DETECT)]
)
def test_a_class_outside_the_label_set_is_refused(content, form):
    with pytest.raises(BadLabel, match="'cow', which is not in the label set"):
        write(content, form)


def test_boxes_need_the_size_of_their_image():
    with pytest.raises(BadLabel, match="size of its image is not known"):
        write(Content(boxes=(Box("cat", 0, 0, 1, 1),)), size=None)


def test_what_the_browser_sends_is_read():
    assert boxes([FROM_THE_BROWSER], size=(640, 480)) == (Box("dog", 320, 240, 448, 336),)


def test_a_smaller_copy_shown_in_the_browser_gives_pixels_of_the_original():
    assert boxes([FROM_THE_BROWSER], size=(1280, 960)) == (Box("dog", 640, 480, 896, 672),)


def test_an_unknown_size_is_taken_from_the_browser():
    assert boxes([FROM_THE_BROWSER], size=None) == (Box("dog", 320, 240, 448, 336),)


def test_a_picture_of_another_shape_is_refused():
    with pytest.raises(BadLabel, match="a picture of 640 x 480 pixels, the sample has 480 x 640"):
        boxes([FROM_THE_BROWSER], size=(480, 640))


def test_a_turned_rectangle_becomes_the_upright_box_around_it():
    turned = rectangle(50, 50, 25, 10, rotation=90)  # 10 x 3 pixels, a quarter turn about (20, 15)
    assert boxes([turned]) == (Box("cat", 17, 15, 20, 25),)


def test_a_turned_image_is_refused():
    with pytest.raises(BadLabel, match="turned by 90 degrees"):
        boxes([rectangle(1, 1, 5, 5) | {"image_rotation": 90}])


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (region("keypointlabels", {"x": 1, "y": 1, "keypointlabels": ["cat"]}), "kind 'keypointlabels'"),
        (rectangle(1, 1, 5, 5, name="cow"), "'cow' is not in the label set"),
        (region("rectanglelabels", {"x": 1, "y": 1, "width": 1, "height": 1}), "labels None instead of one"),
        (rectangle(1, 1, 0, 5), "no area"),
        (rectangle(1, 1, float("nan"), 5), "width nan"),
        (rectangle(1, 1, "5", 5), "width '5'"),
        (rectangle(1, 1, 5, 5) | {"original_width": None}, "original_width None"),
        ({"type": "rectangle", "value": {}}, "kind 'rectangle'"),
        (choice("weird", "outcome"), "kind 'choices'"),
    ],
)
def test_a_region_that_cannot_be_used_spoils_the_answer(result, reason):
    with pytest.raises(BadLabel, match=reason):
        boxes([rectangle(1, 1, 5, 5), result])


def test_relations_between_regions_are_passed_over():
    assert len(boxes([rectangle(1, 1, 5, 5), {"type": "relation", "from_id": "a", "to_id": "b"}])) == 1


@pytest.mark.parametrize("points", [None, [[1, 1], [2, 2]], [[1, 1], [2, 2], [3]], [[1, 1], [2, 2], ["a", 3]]])
def test_a_polygon_needs_three_points(points):
    with pytest.raises(BadLabel, match="three or more points"):
        boxes([region("polygonlabels", {"points": points, "polygonlabels": ["cat"]})], SEGMENT)


def test_a_polygon_keeps_its_points_and_has_the_box_around_them():
    drawn = region("polygonlabels", {"points": [[0, 0], [50, 0], [25, 100]], "polygonlabels": ["dog"]})
    assert boxes([drawn], SEGMENT) == (Box("dog", 0, 0, 20, 30, polygon=((0, 0), (20, 0), (10, 30))),)


@pytest.mark.parametrize("made", [[], [choice("cat"), choice("dog")]])
def test_a_class_needs_exactly_one_choice(made):
    with pytest.raises(BadLabel, match="choices are made instead of one"):
        read_results(made, CLASSIFY, None)


sides = st.integers(1, 5000)


@given(st.tuples(sides, sides), st.lists(st.floats(0, 1), min_size=4, max_size=4, unique=True))
def test_every_box_comes_back_as_it_went_out(size, shares):
    (left, right), (top, bottom) = sorted(shares[:2]), sorted(shares[2:])
    box = Box(
        "cat", *(round(share * side, 3) for share, side in zip((left, top, right, bottom), size * 2, strict=True))
    )
    for form in (DETECT, SEGMENT):
        told = write(Content(boxes=(box,)), form, size)
        told = [row | {"original_width": size[0], "original_height": size[1]} for row in told]
        if box.x0 < box.x1 and box.y0 < box.y1:
            (back,) = boxes(told, form, size)
            assert (back.x0, back.y0, back.x1, back.y1) == pytest.approx((box.x0, box.y0, box.x1, box.y1), abs=2e-3)
        else:
            assert told == []
