"""What people did to a proposal, on boxes that can be checked by eye."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.corrections import Corrections, compare, total
from alloop.nouns import Box, Content, Polygon, Task

UPPER: Polygon = ((0.0, 0.0), (40.0, 0.0), (40.0, 40.0))
LOWER: Polygon = ((0.0, 0.0), (0.0, 40.0), (40.0, 40.0))


def cat(*corners: float, polygon: Polygon = ()) -> Box:
    return Box("cat", *corners, polygon)  # type: ignore[arg-type]


def dog(*corners: float) -> Box:
    return Box("dog", *corners)  # type: ignore[arg-type]


def boxes(*found: Box) -> Content:
    return Content(boxes=found)


def became(proposed: Content, answered: Content, task: Task = Task.DETECT) -> Corrections:
    return compare(proposed, answered, task=task)


# Boxes


def test_a_box_that_nobody_touched_is_kept() -> None:
    assert became(boxes(cat(0, 0, 40, 40)), boxes(cat(0, 0, 40, 40))) == Corrections(kept=1)


def test_a_box_that_was_moved_is_corrected() -> None:
    assert became(boxes(cat(0, 0, 40, 40)), boxes(cat(5, 0, 45, 40))) == Corrections(corrected=1)


def test_a_box_that_got_another_class_is_corrected() -> None:
    assert became(boxes(cat(0, 0, 40, 40)), boxes(dog(0, 0, 40, 40))) == Corrections(corrected=1)


def test_a_box_far_from_any_answer_was_deleted_and_the_answer_drawn() -> None:
    assert became(boxes(cat(0, 0, 40, 40)), boxes(cat(30, 30, 70, 70))) == Corrections(drawn=1, deleted=1)


def test_an_empty_answer_deletes_everything_and_an_empty_proposal_leaves_everything_to_draw() -> None:
    two = boxes(cat(0, 0, 40, 40), dog(50, 50, 60, 60))
    assert became(two, Content()) == Corrections(deleted=2)
    assert became(Content(), two) == Corrections(drawn=2)
    assert became(Content(), Content()) == Corrections()


def test_corners_that_a_tool_rounds_are_not_moved() -> None:
    assert became(boxes(cat(0.4, 0.4, 200.3, 100.4)), boxes(cat(0, 0, 200, 100))) == Corrections(kept=1)


def test_corners_of_a_small_box_that_a_tool_rounds_are_not_moved_either() -> None:
    proposed, rounded, by_hand = cat(0.5, 0.5, 6.5, 6.5), cat(0, 0, 7, 7), cat(0, 0, 8, 7)
    assert became(boxes(proposed), boxes(rounded)) == Corrections(kept=1)
    assert became(boxes(proposed), boxes(by_hand)) == Corrections(corrected=1)


def test_one_proposal_is_at_most_one_answer() -> None:
    twice = boxes(cat(0, 0, 40, 40), cat(0, 0, 40, 39))
    assert became(boxes(cat(0, 0, 40, 40)), twice) == Corrections(kept=1, drawn=1)
    assert became(twice, boxes(cat(0, 0, 40, 40))) == Corrections(kept=1, deleted=1)


def test_a_box_that_was_kept_is_not_given_up_to_pair_two_that_were_not() -> None:
    proposed = boxes(cat(0, 0, 40, 40), cat(0, 0, 40, 24))  # the second shares 60 % with the first
    answered = boxes(cat(0, 0, 40, 40), cat(0, 16, 40, 40))  # and so does this one
    assert became(proposed, answered) == Corrections(kept=1, drawn=1, deleted=1)


def test_pairs_are_made_for_all_boxes_together_and_not_one_after_the_other() -> None:
    proposed = boxes(cat(0, 0, 40, 40), cat(0, 12, 40, 52))
    answered = boxes(cat(0, 7, 40, 47), cat(0, 24, 40, 64))  # the first is nearest to the second proposal
    assert became(proposed, answered) == Corrections(corrected=2)


def test_two_classes_in_one_place_are_kept_both() -> None:
    proposed, answered = boxes(cat(0, 0, 40, 40), dog(0, 0, 40, 40)), boxes(dog(0, 0, 40, 40), cat(0, 0, 40, 40))
    assert became(proposed, answered) == Corrections(kept=2)


# Masks


def test_a_mask_is_corrected_when_its_outline_changed_inside_the_same_box() -> None:
    dented = (*UPPER, (24.0, 16.0))
    proposed, answered = cat(0, 0, 40, 40, polygon=UPPER), cat(0, 0, 40, 40, polygon=dented)
    assert became(boxes(proposed), boxes(answered), Task.SEGMENT) == Corrections(corrected=1)
    assert became(boxes(proposed), boxes(proposed), Task.SEGMENT) == Corrections(kept=1)


def test_a_mask_of_the_other_half_of_a_box_is_another_object() -> None:
    proposed, answered = cat(0, 0, 40, 40, polygon=UPPER), cat(0, 0, 40, 40, polygon=LOWER)
    assert became(boxes(proposed), boxes(answered), Task.SEGMENT) == Corrections(drawn=1, deleted=1)


# Classes


@pytest.mark.parametrize(
    ("proposed", "answered", "expected"),
    [
        ("cat", "cat", Corrections(kept=1)),
        ("cat", "dog", Corrections(corrected=1)),
        (None, "dog", Corrections(drawn=1)),
        ("cat", None, Corrections(deleted=1)),
    ],
)
def test_a_class_is_kept_corrected_given_or_taken_away(
    proposed: str | None, answered: str | None, expected: Corrections
) -> None:
    assert became(Content(proposed), Content(answered), Task.CLASSIFY) == expected


# A batch


def test_a_batch_is_the_sum_of_its_samples() -> None:
    found = total([Corrections(1, 2, 3, 4), Corrections(kept=10), Corrections(deleted=1)])
    assert found == Corrections(11, 2, 3, 5)
    assert (found.instances, found.proposed) == (16, 18)


def test_an_empty_batch_costs_nothing() -> None:
    assert total(iter(())) == Corrections()


# few places, so that boxes meet in every way
some_boxes = st.lists(
    st.builds(
        lambda label, x, y, size: Box(label, x, y, x + size, y + size),
        st.sampled_from(["cat", "dog"]),
        st.integers(0, 6),
        st.integers(0, 6),
        st.integers(2, 8),
    ),
    max_size=6,
).map(lambda found: boxes(*found))
tasks = st.sampled_from([Task.DETECT, Task.SEGMENT])


def with_outlines(content: Content) -> Content:
    corners = [(box.x0, box.y0, box.x1, box.y1) for box in content.boxes]
    outlines = [((x0, y0), (x1, y0), (x1, y1)) for x0, y0, x1, y1 in corners]
    return boxes(*[replace(box, polygon=p) for box, p in zip(content.boxes, outlines, strict=True)])


@given(some_boxes, some_boxes, st.booleans(), tasks)
def test_every_box_is_counted_once(proposed: Content, answered: Content, outlined: bool, task: Task) -> None:
    found = became(with_outlines(proposed) if outlined else proposed, answered, task)
    assert found.instances == found.kept + found.corrected + found.drawn == len(answered.boxes)
    assert found.proposed == found.kept + found.corrected + found.deleted == len(proposed.boxes)


@given(some_boxes, tasks)
def test_what_nobody_touched_is_all_kept(content: Content, task: Task) -> None:
    assert became(content, content, task) == Corrections(kept=len(content.boxes))
    assert became(with_outlines(content), with_outlines(content), task) == Corrections(kept=len(content.boxes))


@given(some_boxes, some_boxes, tasks)
def test_the_order_of_boxes_does_not_matter(proposed: Content, answered: Content, task: Task) -> None:
    turned = boxes(*proposed.boxes[::-1]), boxes(*answered.boxes[::-1])
    assert became(*turned, task) == became(proposed, answered, task)
