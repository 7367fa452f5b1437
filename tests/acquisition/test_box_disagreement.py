"""Two opinions about an image, by hand and against an oracle that knows the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.acquisition.box_disagreement import (
    CLASS,
    ONE_ONLY,
    PLACE,
    SURENESS,
    UNBOXED,
    UNFIT,
    MaskBoxes,
    boxes_apart,
    calibrate_quality,
    masks_apart,
)
from alloop.nouns import Detections, Evidence

LEFT, RIGHT, BELOW = [0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 10, 30]
few = settings(max_examples=40)


def sees(*found: tuple[list[float], list[float]]) -> Detections:
    """Boxes with a score for each class."""
    boxes = np.array([box for box, _ in found], dtype=np.float32).reshape(-1, 4)
    scores = np.array([scores for _, scores in found], dtype=np.float32) if found else np.empty((0, 2), np.float32)
    return Detections(boxes, scores, float(scores.max(initial=0)))


def masks(*boxes: list[float], quality: float = 1.0, stability: float = 1.0, area: float = 0.1) -> MaskBoxes:
    full = np.ones(len(boxes), dtype=np.float32)
    corners = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return MaskBoxes(corners, full * np.float32(quality), full * np.float32(stability), full * np.float32(area))


def kinds(evidence: tuple[Evidence, ...]) -> dict[str, float]:
    return {kind: sum(one.weight for one in evidence if one.kind == kind) for kind in {one.kind for one in evidence}}


NOTHING = sees()


# Two detectors.


def test_where_neither_sees_anything_they_agree() -> None:
    assert boxes_apart(NOTHING, NOTHING) == (0.0, ())


def test_what_only_one_sees() -> None:
    score, evidence = boxes_apart(sees((LEFT, [0.8, 0.1])), NOTHING)
    assert score == 1
    assert evidence == (Evidence(ONE_ONLY, 0, 0, 10, 10, 1.0),)


def test_a_box_more_by_hand() -> None:
    """Both see the left one alike, with 0.6; the first alone sees 0.2 at the right: 0.2 of 0.8."""
    score, evidence = boxes_apart(sees((LEFT, [0.6]), (RIGHT, [0.2])), sees((LEFT, [0.6])))
    assert score == pytest.approx(0.25)
    assert kinds(evidence) == pytest.approx({ONE_ONLY: 0.25})
    assert (evidence[0].x0, evidence[0].y0, evidence[0].x1, evidence[0].y1) == (20, 0, 30, 10)


def test_a_box_at_another_place_by_hand() -> None:
    """8 of 12 columns overlap: half of 1 - 2/3."""
    score, evidence = boxes_apart(sees((LEFT, [0.6])), sees(([2, 0, 12, 10], [0.6])))
    assert score == pytest.approx(1 / 6)
    assert kinds(evidence) == pytest.approx({PLACE: 1 / 6})


def test_another_class_by_hand() -> None:
    """Sure of the one class, and sure of the other: a whole bit apart, and half of it counts."""
    score, evidence = boxes_apart(sees((LEFT, [1, 0])), sees((LEFT, [0, 1])))
    assert score == pytest.approx(0.5)
    assert kinds(evidence) == pytest.approx({CLASS: 0.5})


def test_the_same_class_but_less_sure_by_hand() -> None:
    """A yes of 0.9 and one of 0.1 are 1 - H(0.9) bits apart, and half of it counts; the only pair has all the weight."""
    score, evidence = boxes_apart(sees((LEFT, [0.9])), sees((LEFT, [0.1])))
    by_hand = (1 + 0.9 * math.log2(0.9) + 0.1 * math.log2(0.1)) / 2
    assert score == pytest.approx(by_hand, abs=1e-5)
    assert kinds(evidence) == pytest.approx({SURENESS: by_hand}, abs=1e-5)


def test_of_a_pair_the_surer_box_is_shown() -> None:
    _, evidence = boxes_apart(sees((LEFT, [0.5])), sees(([2, 0, 12, 10], [0.6])))
    assert {one.x0 for one in evidence} == {2}


def test_boxes_that_overlap_by_less_than_half_are_two_objects() -> None:
    score, evidence = boxes_apart(sees((LEFT, [0.6])), sees(([4, 0, 14, 10], [0.6])))
    assert score == 1
    assert [one.kind for one in evidence] == [ONE_ONLY, ONE_ONLY]


def test_two_that_nearly_overlap_do_not_take_the_partner_of_one_that_does() -> None:
    """The middle two overlap by 0.6, each of them and its other neighbour by 0.43."""
    first = sees(([20, 0, 30, 10], [0.6]), ([26.5, 0, 36.5, 10], [0.6]))
    second = sees(([22.5, 0, 32.5, 10], [0.6]), ([16, 0, 26, 10], [0.6]))
    score, _ = boxes_apart(first, second)
    assert score == pytest.approx((0.5 * 0.4 + 1 + 1) / 3)


def test_the_class_that_differs_most_counts_however_many_there_are() -> None:
    few_classes = boxes_apart(sees((LEFT, [0.9, 0.8])), sees((LEFT, [0.9, 0.1])))
    many_classes = boxes_apart(sees((LEFT, [0.9, 0.8, 0, 0, 0, 0])), sees((LEFT, [0.9, 0.1, 0, 0, 0, 0])))
    assert few_classes == many_classes
    assert few_classes[0] > 0


def test_two_classes_on_one_place_are_not_crossed() -> None:
    both = ((LEFT, [0.9, 0.0]), (LEFT, [0.0, 0.6]))
    assert boxes_apart(sees(*both), sees(*reversed(both))) == (0.0, ())


def any_boxes(rng: np.random.Generator, size: int) -> Detections:
    corners = rng.uniform(0, 80, (size, 2))
    boxes = np.hstack([corners, corners + rng.uniform(0, 40, (size, 2))]).astype(np.float32)
    scores = rng.random((size, 3), dtype=np.float32)
    return Detections(boxes, scores, float(scores.max(initial=0)))


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(0, 12)


@few
@given(seed=seeds, first=sizes, second=sizes)
def test_a_score_from_0_to_1_is_the_sum_of_its_evidence_the_heaviest_first(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    score, evidence = boxes_apart(any_boxes(rng, first), any_boxes(rng, second))
    assert 0 <= score <= 1
    assert score == pytest.approx(sum(one.weight for one in evidence), abs=1e-6)
    weights = [one.weight for one in evidence]
    assert weights == sorted(weights, reverse=True)
    assert all(0 < weight <= 1 for weight in weights)


@few
@given(seed=seeds, first=sizes, second=sizes)
def test_who_is_first_does_not_matter(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = any_boxes(rng, first), any_boxes(rng, second)
    assert boxes_apart(one, other)[0] == pytest.approx(boxes_apart(other, one)[0], abs=1e-5)


@few
@given(seed=seeds, size=sizes)
def test_a_model_agrees_with_itself_in_any_order(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    one, order = any_boxes(rng, size), rng.permutation(size)
    # A box of next to no area overlaps nothing, so every one is given some.
    one.boxes[:, 2:] += 1
    score, evidence = boxes_apart(one, Detections(one.boxes[order], one.class_scores[order], one.best))
    assert score == pytest.approx(0, abs=1e-6)
    assert sum(one.weight for one in evidence) == pytest.approx(0, abs=1e-6)


# Against the truth: objects far apart, and a detector that loses some and shifts the others.


def truth(size: int, seed: int) -> Detections:
    rng = np.random.default_rng(seed)
    corners = np.stack([100 * np.arange(size), np.zeros(size)], axis=1) + rng.uniform(0, 20, (size, 2))
    boxes = np.hstack([corners, corners + rng.uniform(10, 30, (size, 2))]).astype(np.float32)
    scores = np.column_stack([rng.uniform(0.3, 0.9, size), rng.uniform(0, 0.1, size)]).astype(np.float32)
    return Detections(boxes, scores, float(scores.max(initial=0)))


def without(seen: Detections, dropped: int) -> Detections:
    """The last so many are not seen."""
    keep = slice(0, len(seen) - dropped)
    return Detections(seen.boxes[keep], seen.class_scores[keep], seen.best)


def shifted(seen: Detections, share: float) -> Detections:
    """Every box moved to the right by this share of its width."""
    step = share * (seen.boxes[:, 2] - seen.boxes[:, 0])
    return Detections(seen.boxes + np.stack([step, 0 * step] * 2, axis=1), seen.class_scores, seen.best)


def asked(seen: Detections, *, quality: float = 1.0) -> MaskBoxes:
    """What the oracle draws for those boxes: the object that each overlaps most, as it is."""
    return masks(*seen.boxes.tolist(), quality=quality)


@few
@given(seed=seeds, size=st.integers(1, 9))
def test_the_more_boxes_one_model_loses_the_farther_the_two_are_apart(seed: int, size: int) -> None:
    all_of_it = truth(size, seed)
    scores = [boxes_apart(all_of_it, without(all_of_it, dropped))[0] for dropped in range(size + 1)]
    assert scores == sorted(scores)
    assert (scores[0], scores[-1]) == (0, pytest.approx(1))


@few
@given(seed=seeds, size=st.integers(1, 9))
def test_the_more_boxes_are_moved_the_farther_the_two_are_apart(seed: int, size: int) -> None:
    all_of_it = truth(size, seed)
    scores = [boxes_apart(all_of_it, shifted(all_of_it, share))[0] for share in (0, 0.1, 0.2, 0.3, 0.4, 0.8)]
    assert scores == sorted(scores)
    assert scores[0] < scores[1] < scores[2] < scores[-1] == pytest.approx(1)


@few
@given(seed=seeds, size=st.integers(1, 9), quality=st.floats(0.9, 1))
def test_the_more_boxes_are_lost_the_farther_the_mask_model_is_apart(seed: int, size: int, quality: float) -> None:
    objects, scores = truth(size, seed), []
    for dropped in range(size + 1):
        seen = without(objects, dropped)
        proposed = masks(*objects.boxes.tolist(), quality=quality)
        scores.append(masks_apart(seen, asked(seen), proposed=proposed)[0])
    assert scores == pytest.approx(sorted(scores), abs=1e-6)
    assert (scores[0], scores[-1]) == (pytest.approx(0, abs=1e-6), pytest.approx(1))


@few
@given(seed=seeds, size=st.integers(1, 9), proposes=st.booleans())
def test_the_more_boxes_are_moved_the_farther_the_mask_model_is_apart(seed: int, size: int, proposes: bool) -> None:
    objects = truth(size, seed)
    proposed = asked(objects, quality=0.95) if proposes else None
    scores = [
        masks_apart(shifted(objects, share), asked(objects), proposed=proposed)[0] for share in (0, 0.1, 0.2, 0.4, 0.8)
    ]
    assert scores == sorted(scores)
    assert scores[0] < scores[1] < scores[-1]


# A detector and a mask model.


def test_a_mask_that_fills_half_of_its_box_by_hand() -> None:
    """0.75 weighs the box whose mask fills half of it, 0.25 the one that is filled: 0.375 of 1."""
    seen = sees((LEFT, [0.75]), (RIGHT, [0.25]))
    score, evidence = masks_apart(seen, masks([0, 0, 5, 10], RIGHT))
    assert score == pytest.approx(0.375)
    assert evidence == (Evidence(UNFIT, 0, 0, 10, 10, pytest.approx(0.375)),)


def test_what_nobody_boxed_by_hand() -> None:
    """A box of 0.9 that fits, and a mask of quality 0.9 elsewhere: half."""
    score, evidence = masks_apart(sees((LEFT, [0.9])), masks(LEFT), proposed=masks(RIGHT, LEFT, quality=0.9))
    assert score == pytest.approx(0.5)
    assert evidence == (Evidence(UNBOXED, 20, 0, 30, 10, pytest.approx(0.5)),)


def test_quality_and_stability_take_from_the_fit_by_hand() -> None:
    assert masks_apart(sees((LEFT, [0.5])), masks(LEFT, quality=0.9, stability=0.5))[0] == pytest.approx(0.55)


def test_an_empty_mask_does_not_fit() -> None:
    assert masks_apart(sees((LEFT, [0.5])), masks([0, 0, 0, 0]))[0] == 1


def test_where_neither_model_sees_anything_there_is_nothing_to_doubt() -> None:
    assert masks_apart(NOTHING, masks(), proposed=masks()) == (0.0, ())
    assert masks_apart(NOTHING, masks()) == (0.0, ())


def test_proposals_can_be_left_out() -> None:
    assert masks_apart(NOTHING, masks(), proposed=masks(LEFT))[0] == 1
    assert masks_apart(NOTHING, masks())[0] == 0


@pytest.mark.parametrize(
    ("quality", "area", "bar", "counts"),
    [
        (0.85, 0.1, 0.85, True),
        (0.84, 0.1, 0.85, False),
        (0.9, 0.1, 0.95, False),
        (0.9, 0.5, 0.85, True),
        (0.9, 0.6, 0.85, False),
        (0.9, 1e-4, 0.85, True),
        (0.9, 5e-5, 0.85, False),
    ],
)
def test_a_proposal_has_to_be_good_and_of_a_likely_size(quality: float, area: float, bar: float, counts: bool) -> None:
    score, _ = masks_apart(NOTHING, masks(), proposed=masks(LEFT, quality=quality, area=area), bar=bar)
    assert (score > 0) == counts


@pytest.mark.parametrize(("confidence", "counts"), [(0.25, False), (0.2, True)])
def test_a_box_that_is_hardly_believed_covers_nothing(confidence: float, counts: bool) -> None:
    _, evidence = masks_apart(sees((LEFT, [confidence])), masks(LEFT), proposed=masks(LEFT))
    assert (UNBOXED in kinds(evidence)) == counts


def test_a_mask_for_every_box() -> None:
    with pytest.raises(ValueError, match="1 masks for 2 boxes"):
        masks_apart(sees((LEFT, [0.5]), (RIGHT, [0.5])), masks(LEFT))


def test_calibrated_quality_by_hand() -> None:
    """The median is 0.7: what is 0.1 below it has lost 0.1, and what is above it nothing."""
    calibrated = calibrate_quality(np.array([0.6, 0.7, 0.9], np.float32))
    assert calibrated == pytest.approx([0.9, 1, 1])
    assert calibrated.dtype == np.float32
    assert calibrate_quality(np.empty(0, np.float32)).shape == (0,)


@given(qualities=st.lists(st.floats(0, 1, width=32), max_size=20))
def test_calibration_keeps_the_order_and_the_range(qualities: list[float]) -> None:
    given_order = np.sort(np.array(qualities, np.float32))
    calibrated = calibrate_quality(given_order)
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


def test_boxes_around_masks_by_hand() -> None:
    """Pixels (1, 2) to (3, 2) of 5 x 4, a whole image, and an empty mask."""
    pixels = np.zeros((3, 4, 5), dtype=bool)
    pixels[0, 2, 1:4] = True
    pixels[1] = True
    found = MaskBoxes.around(pixels, np.ones(3, np.float32), np.zeros(3, np.float32))
    assert found.boxes.tolist() == [[1, 2, 4, 3], [0, 0, 5, 4], [0, 0, 0, 0]]
    assert found.area_share == pytest.approx([3 / 20, 1, 0])
    assert found.boxes.dtype == np.float32


def test_no_masks_have_no_boxes() -> None:
    nothing = np.empty(0, np.float32)
    assert MaskBoxes.around(np.empty((0, 4, 5), dtype=bool), nothing, nothing).boxes.shape == (0, 4)
