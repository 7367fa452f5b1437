"""Scores of images with boxes, by hand and for whatever a detector may see."""

import math
import pickle
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alloop.acquisition.boxes import (
    AGGREGATES,
    BOX_SCORES,
    average_of_all,
    average_of_three,
    binary_entropy,
    bits,
    class_margin,
    doubt,
    guarded_entropy,
    highest,
    least_confidence,
    lowest,
    mask_doubt,
    missed_mass,
    score_with,
)
from alloop.acquisition.contract import ScoreBoxes
from alloop.errors import ConfigError
from alloop.nouns import Detections

CLOSE = 1e-5


def image(*rows: tuple[float, ...] | float, best: float = 0.0, doubts: tuple[float, ...] | None = None) -> Detections:
    """One box for each row of class scores, or for each score of a single class."""
    scores = np.array([row if isinstance(row, tuple) else (row,) for row in rows], dtype=np.float32)
    return Detections(
        boxes=np.tile(np.array([0, 0, 9, 9], np.float32), (len(rows), 1)),
        class_scores=scores if len(rows) else np.empty((0, 1), np.float32),
        best=max([best, *(float(row.max()) for row in scores)]),
        mask_doubt=None if doubts is None else np.array(doubts, np.float32),
    )


def seen(size: int, *, classes: int, seed: int, low: float = 0.05) -> Detections:
    """Any image with `size` boxes, the surest first, with masks."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.6, 1.5, size=(size, classes)).astype(np.float32)
    scores[np.arange(size), rng.integers(classes, size=size)] = rng.uniform(low, 1, size)
    scores = scores[np.argsort(-scores.max(axis=1))]
    best = float(scores.max()) if size else float(rng.uniform(0, 0.05))
    return Detections(np.zeros((size, 4), np.float32), scores, best, mask_doubt=rng.random(size, dtype=np.float32))


every_score: dict[str, ScoreBoxes] = {
    **{f"{name} {how}": score_with(name, how) for name in BOX_SCORES if name != "missed-mass" for how in AGGREGATES},
    **BOX_SCORES,
}
few = settings(max_examples=25)
each_score = pytest.mark.parametrize("score", every_score.values(), ids=every_score)
seeds = st.integers(0, 2**32 - 1)
images = st.builds(partial(seen), st.integers(0, 12), classes=st.integers(1, 4), seed=seeds)


def one(score: ScoreBoxes, what: Detections) -> float:
    return float(score([what])[0])


# By hand.


@pytest.mark.parametrize(
    ("aggregate", "value"), [(lowest, 0.1), (highest, 0.9), (average_of_three, 0.7), (average_of_all, 2.2 / 7)]
)
def test_aggregates_by_hand(aggregate, value: float) -> None:
    """The three highest of 0.1, 0.9, 0.7 and 0.5 are 2.1 together; all are 2.2, and three more than there are is 7."""
    assert aggregate(np.array([0.1, 0.9, 0.7, 0.5], np.float32)) == pytest.approx(value)


def test_fewer_than_three_are_averaged_as_they_are() -> None:
    assert average_of_three(np.array([0.2, 0.4], np.float32)) == pytest.approx(0.3)


def test_doubt_by_hand() -> None:
    """Seen are 0.9, 0.8, 0.6 and 0.5: of their doubts 0.5, 0.4 and 0.2 the mean is 11/30. Missed 0.2 + 0.05: 0.25 / 1.25."""
    assert one(doubt, image(0.9, 0.8, 0.6, 0.5, 0.2, 0.05)) == pytest.approx(0.5 * 11 / 30 + 0.5 * 0.2, abs=CLOSE)


def test_least_confidence_is_one_minus_the_best() -> None:
    assert least_confidence([image(0.7, 0.3, 0.1), image(0.12), image(best=0.03)]) == pytest.approx([0.3, 0.88, 0.97])


def test_class_margin_takes_no_softmax() -> None:
    """Sigmoids 0.9 and 0.8 are 0.1 apart, and 0.9 and 0.0 are 0.9 apart, whatever they sum to."""
    assert class_margin([image((0.9, 0.8)), image((0.9, 0.0))]) == pytest.approx([0.9, 0.1], abs=CLOSE)


def test_a_single_class_has_no_rival() -> None:
    assert one(class_margin, image(0.7)) == pytest.approx(0.3)


def test_missed_mass_by_hand() -> None:
    """0.2 + 0.05 of 1.25; what is seen, or lower than a box can be, does not count."""
    assert missed_mass([image(0.9, 0.2, 0.05, 0.01), image(0.9)]) == pytest.approx([0.2, 0])


def test_binary_entropy_by_hand() -> None:
    quarter = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert binary_entropy([image(0.5), image(0.75), image(1.0)]) == pytest.approx([1, quarter, 0], abs=CLOSE)


def test_binary_entropy_prefers_the_better_of_two_poor_detections_and_the_others_do_not() -> None:
    better, worse = image(0.45), image(0.3)
    assert one(binary_entropy, better) > one(binary_entropy, worse)
    for score in (doubt, least_confidence, class_margin, guarded_entropy):
        assert one(score, better) <= one(score, worse)


def test_guarded_entropy_by_hand() -> None:
    assert guarded_entropy([image(0.3), image(0.5), image(1.0), image(best=0.01)]) == pytest.approx([1, 1, 0, 1])


def test_mask_doubt_by_hand() -> None:
    """The third box is not seen: its mask does not count."""
    assert one(mask_doubt, image(0.9, 0.5, 0.1, doubts=(0.2, 0.4, 1.0))) == pytest.approx(0.3)


def test_mask_doubt_is_for_segmenters() -> None:
    with pytest.raises(ConfigError, match="needs masks, and the model gives none"):
        mask_doubt([image(0.9)])


def test_without_boxes_mask_doubt_needs_no_masks() -> None:
    assert one(mask_doubt, image(best=0.02)) == pytest.approx(0.98)


def test_between_0_05_and_0_25_an_image_is_partly_empty() -> None:
    """Half way, at 0.15: half of 0.85, and half of what the box gives, 0.5 x 0.85 + 0.5 x 0.15 / 1.15."""
    by_hand = 0.5 * 0.85 + 0.5 * (0.5 * 0.85 + 0.5 * 0.15 / 1.15)
    assert one(doubt, image(0.15)) == pytest.approx(by_hand, abs=CLOSE)


def test_bits_of_certain_scores_are_0() -> None:
    assert bits(np.array([0, 1, 0.5], np.float32)).tolist() == [0, 0, 1]


# For whatever is seen.


@each_score
@few
@given(some=st.lists(images, max_size=4))
def test_scores_are_finite_float32_from_0_to_1(score: ScoreBoxes, some: list[Detections]) -> None:
    scores = score(some)
    assert scores.dtype == np.float32
    assert scores.shape == (len(some),)
    assert ((scores >= 0) & (scores <= 1)).all()


@each_score
@few
@given(some=images, seed=seeds)
def test_the_order_of_boxes_does_not_matter(score: ScoreBoxes, some: Detections, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(some))
    assert some.mask_doubt is not None
    turned = Detections(some.boxes[order], some.class_scores[order], some.best, mask_doubt=some.mask_doubt[order])
    assert one(score, turned) == pytest.approx(one(score, some), abs=1e-7)


@each_score
@few
@given(some=st.lists(images, min_size=1, max_size=4))
def test_an_image_scores_the_same_in_any_company(score: ScoreBoxes, some: list[Detections]) -> None:
    assert score(some).tolist() == [one(score, single) for single in some]


@each_score
@few
@given(rivals=st.lists(st.floats(0, 0.05), max_size=3), low=st.floats(0, 1), gap=st.floats(0, 1e-4))
def test_nothing_jumps_where_the_last_box_disappears(
    score: ScoreBoxes, rivals: list[float], low: float, gap: float
) -> None:
    just_seen = image((0.05 + gap, *rivals), doubts=(low,))
    just_not = image(best=0.05 - gap)
    assert one(score, just_seen) == pytest.approx(one(score, just_not), abs=20 * gap + CLOSE)


@each_score
def test_an_image_without_any_box_or_score_is_scored(score: ScoreBoxes) -> None:
    assert math.isfinite(one(score, Detections(np.empty((0, 4), np.float32), np.empty((0, 3), np.float32))))


@pytest.mark.parametrize("score", [doubt, least_confidence, class_margin, mask_doubt])
@given(lower=st.floats(0, 0.05), higher=st.floats(0, 0.05))
def test_of_two_images_without_boxes_the_lower_best_score_comes_first(
    score: ScoreBoxes, lower: float, higher: float
) -> None:
    assume(lower <= higher)
    assert one(score, image(best=lower)) >= one(score, image(best=higher))


@given(some=images)
def test_what_is_not_seen_at_all_is_doubted_more_than_what_is_seen(some: Detections) -> None:
    assume(some.best >= 0.25)
    assert one(doubt, image(best=0.05)) > one(doubt, some)


@pytest.mark.parametrize("how", AGGREGATES)
@pytest.mark.parametrize("name", ["doubt", "least-confidence", "guarded-entropy"])
@few
@given(scores=st.lists(st.floats(0.25, 1, width=32), min_size=1, max_size=8), row=seeds, raised=st.floats(0, 1))
def test_a_surer_box_is_never_doubted_more(name: str, how: str, scores: list[float], row: int, raised: float) -> None:
    row %= len(scores)
    surer = [*scores[:row], scores[row] + raised * (1 - scores[row]), *scores[row + 1 :]]
    assert one(score_with(name, how), image(*surer)) <= one(score_with(name, how), image(*scores)) + CLOSE


@given(scores=st.lists(st.floats(0.25, 1), min_size=1, max_size=5), low=st.floats(0.05, 0.24))
def test_one_more_box_that_is_nearly_believed_is_doubted_more(scores: list[float], low: float) -> None:
    for score in (doubt, missed_mass):
        assert one(score, image(*scores, low)) > one(score, image(*scores))


@given(first=st.floats(0.25, 1), second=st.floats(0, 1), third=st.floats(0, 1))
def test_a_nearer_rival_is_doubted_more(first: float, second: float, third: float) -> None:
    near, far = max(second, third) * first, min(second, third) * first
    assert one(class_margin, image((first, near))) >= one(class_margin, image((first, far)))


@pytest.mark.parametrize("how", AGGREGATES)
@given(masks=st.lists(st.floats(0, 1), min_size=1, max_size=6), row=seeds, raised=st.floats(0, 1))
def test_a_more_doubtful_mask_is_doubted_more(how: str, masks: list[float], row: int, raised: float) -> None:
    row %= len(masks)
    worse = [*masks[:row], masks[row] + raised * (1 - masks[row]), *masks[row + 1 :]]
    sure = [0.9] * len(masks)
    score = score_with("mask-doubt", how)
    assert one(score, image(*sure, doubts=tuple(worse))) >= one(score, image(*sure, doubts=tuple(masks))) - CLOSE


@given(score=st.floats(0.25, 0.99), boxes=st.integers(3, 200))
def test_doubt_does_not_grow_with_the_number_of_objects(score: float, boxes: int) -> None:
    assert one(doubt, image(*[score] * boxes)) == pytest.approx(one(doubt, image(score, score, score)), abs=CLOSE)


# By name.


def test_without_an_aggregate_a_score_has_its_own() -> None:
    assert score_with("doubt") is doubt
    assert score_with("missed-mass") is missed_mass


def test_an_aggregate_by_name() -> None:
    assert one(score_with("least-confidence", "max"), image(0.9, 0.4)) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("name", "aggregate", "sentence"),
    [
        ("dout", None, "there is no box_score 'dout'; did you mean 'doubt'?"),
        ("zzz", None, "there is no box_score 'zzz'; known are doubt, "),
        ("doubt", "top", "there is no box_aggregate 'top'; did you mean 'top3'?"),
        ("missed-mass", "max", "box_score 'missed-mass' adds up scores and has no box_aggregate 'max'; leave it out"),
    ],
)
def test_names_that_nothing_stands_for_are_refused(name: str, aggregate: str | None, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        score_with(name, aggregate)
    assert sentence in str(error.value)


@each_score
def test_a_score_travels_to_another_process(score: ScoreBoxes) -> None:
    some = [seen(5, classes=2, seed=0), image(best=0.01)]
    assert pickle.loads(pickle.dumps(score))(some).tolist() == score(some).tolist()
