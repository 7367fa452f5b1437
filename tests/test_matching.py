"""Which detections found which objects, on boxes that can be checked by eye."""

from collections.abc import Sequence

import numpy as np
import pytest

from alloop.average_precision import IOUS, DetectionResults
from alloop.errors import BadLabel
from alloop.matching import Matching, match
from alloop.nouns import Box, Content, Detections, Polygon, Sample, Task, TrainingLabel

LABELS = ("cat", "dog")
Seen = tuple[str, float, tuple[float, float, float, float]]
UPPER: Polygon = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0))
LOWER: Polygon = ((0.0, 0.0), (0.0, 10.0), (10.0, 10.0))


def truth(*boxes: Box, name: str = "s") -> TrainingLabel:
    return TrainingLabel(Sample(name, f"{name}.png"), Content(boxes=boxes))


def cat(*corners: float, polygon: Polygon = ()) -> Box:
    return Box("cat", *corners, polygon)  # type: ignore[arg-type]


def seen(*found: Seen, polygons: tuple[Polygon, ...] = ()) -> Detections:
    scores = [[confidence if label == name else 0.001 for label in LABELS] for name, confidence, _ in found]
    return Detections(
        boxes=np.array([corners for _, _, corners in found], dtype=np.float32).reshape(-1, 4),
        class_scores=np.array(scores, dtype=np.float32).reshape(-1, len(LABELS)),
        polygons=polygons,
    )


def matched(label: TrainingLabel, found: Detections, how: Matching | None = None) -> DetectionResults:
    return match([label], [found], how or Matching(LABELS))


def hits_at_half(found: DetectionResults) -> list[bool]:
    return found.hits[:, 0].tolist()


def levels(hits: Sequence[bool]) -> list[float]:
    return [round(float(level), 2) for level, hit in zip(IOUS, hits, strict=True) if hit]


def test_a_detection_hits_at_every_overlap_up_to_its_own() -> None:
    found = matched(truth(cat(0, 0, 10, 10)), seen(("cat", 0.9, (0, 0, 10, 7.2))))
    assert levels(found.hits[0]) == [0.5, 0.55, 0.6, 0.65, 0.7]


def test_an_overlap_of_exactly_one_half_is_enough() -> None:
    assert hits_at_half(matched(truth(cat(0, 0, 10, 10)), seen(("cat", 0.9, (0, 0, 10, 5))))) == [True]


def test_an_object_is_found_once_and_by_the_surest() -> None:
    twice = seen(("cat", 0.6, (0, 0, 10, 10)), ("cat", 0.9, (0, 0, 10, 9)))
    found = matched(truth(cat(0, 0, 10, 10)), twice)
    assert found.confidence.tolist() == pytest.approx([0.9, 0.6])
    assert hits_at_half(found) == [True, False]


def test_each_overlap_begins_anew_so_what_was_taken_at_a_low_one_is_free_at_a_high_one() -> None:
    loose_then_tight = seen(("cat", 0.9, (0, 0, 10, 6)), ("cat", 0.8, (0, 0, 10, 9)))
    found = matched(truth(cat(0, 0, 10, 10)), loose_then_tight)
    assert levels(found.hits[0]) == [0.5, 0.55, 0.6]
    assert levels(found.hits[1]) == [0.65, 0.7, 0.75, 0.8, 0.85, 0.9]


def test_a_detection_takes_the_object_that_it_overlaps_most() -> None:
    two = truth(cat(0, 0, 10, 10), cat(0, 3, 10, 13))
    found = matched(two, seen(("cat", 0.9, (0, 2, 10, 12)), ("cat", 0.8, (0, 0, 10, 10))))
    assert hits_at_half(found) == [True, True]


def test_a_detection_is_content_with_what_is_left() -> None:
    two = truth(cat(0, 0, 10, 10), cat(0, 3, 10, 13))
    found = matched(two, seen(("cat", 0.9, (0, 0, 10, 10)), ("cat", 0.8, (0, 0, 10, 10))))
    assert hits_at_half(found) == [True, True]  # the second shares 7 of 13 with the other cat


def test_a_dog_is_no_cat_however_well_it_fits() -> None:
    found = matched(truth(cat(0, 0, 10, 10)), seen(("dog", 0.9, (0, 0, 10, 10))))
    assert hits_at_half(found) == [False]
    assert found.class_index.tolist() == [1]


def test_targets_are_counted_for_each_sample_and_class() -> None:
    held = [truth(cat(0, 0, 1, 1), cat(5, 5, 6, 6), name="a"), truth(name="b")]
    assert match(held, [seen(), seen()], Matching(LABELS)).targets.tolist() == [[2, 0], [0, 0]]


def test_only_the_surest_of_a_class_in_an_image_count() -> None:
    many = seen(*[("cat", 0.1 * k, (0, 0, 10, 10)) for k in range(1, 6)], ("dog", 0.05, (0, 0, 10, 10)))
    found = matched(truth(cat(0, 0, 10, 10)), many, Matching(LABELS, most=2))
    assert found.confidence.tolist() == pytest.approx([0.5, 0.4, 0.05])
    assert found.class_index.tolist() == [0, 0, 1]


def test_detections_stand_class_by_class_and_the_surest_first_over_all_images() -> None:
    held = [truth(name="a"), truth(name="b")]
    found = match(
        held,
        [seen(("dog", 0.5, (0, 0, 1, 1)), ("cat", 0.2, (0, 0, 1, 1))), seen(("cat", 0.7, (0, 0, 1, 1)))],
        Matching(LABELS),
    )
    assert found.class_index.tolist() == [0, 0, 1]
    assert found.image.tolist() == [1, 0, 0]


# Masks


def test_masks_that_share_a_box_and_nothing_else_are_no_hit() -> None:
    label, found = truth(cat(0, 0, 10, 10, polygon=UPPER)), seen(("cat", 0.9, (0, 0, 10, 10)), polygons=(LOWER,))
    assert hits_at_half(matched(label, found, Matching(LABELS, Task.SEGMENT))) == [False]
    assert hits_at_half(matched(label, found, Matching(LABELS, Task.DETECT))) == [True]


def test_the_mask_that_fits_is_a_hit_at_every_overlap() -> None:
    label, found = truth(cat(0, 0, 10, 10, polygon=UPPER)), seen(("cat", 0.9, (0, 0, 10, 10)), polygons=(UPPER,))
    assert matched(label, found, Matching(LABELS, Task.SEGMENT)).hits.all()


def test_a_box_stands_in_for_a_missing_outline() -> None:
    found = seen(("cat", 0.9, (0, 0, 10, 9)), polygons=((),))
    assert levels(matched(truth(cat(0, 0, 10, 10)), found, Matching(LABELS, Task.SEGMENT)).hits[0])[-1] == 0.9


def test_outlines_stay_with_their_boxes_when_the_surest_is_not_first() -> None:
    label = truth(cat(0, 0, 10, 10, polygon=UPPER))
    found = seen(("cat", 0.3, (0, 0, 10, 10)), ("cat", 0.9, (0, 0, 10, 10)), polygons=(UPPER, LOWER))
    assert hits_at_half(matched(label, found, Matching(LABELS, Task.SEGMENT))) == [False, True]


# What is refused


def test_an_object_of_a_class_outside_the_label_set_is_refused_with_its_name() -> None:
    with pytest.raises(BadLabel, match=r"s\.png has a box labelled 'bird', which is not in the label set cat, dog"):
        matched(truth(Box("bird", 0, 0, 1, 1)), seen())


def test_detections_must_be_of_every_sample() -> None:
    with pytest.raises(ValueError, match="2 holdout samples, but detections in 1"):
        match([truth(name="a"), truth(name="b")], [seen()], Matching(LABELS))
