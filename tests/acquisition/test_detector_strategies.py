"""Which strategies are for detectors, and that their batches are full and not empty images all over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.acquisition import boxes
from alloop.acquisition.contract import Candidates, Need, Strategy
from alloop.acquisition.strategies import STRATEGIES, Options, with_options
from alloop.nouns import Detections


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


SEES_BOXES = {
    "least-confidence": boxes.least_confidence,
    "margin": boxes.class_margin,
    "entropy": boxes.binary_entropy,
    "uncertainty-kmeans": boxes.doubt,
    "uncertainty-coreset": boxes.doubt,
    "disagreement": boxes.doubt,
    "disagreement-kmeans": boxes.doubt,
    "auto": boxes.doubt,
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_strategy_for_detectors_scores_boxes(strategy: Strategy) -> None:
    assert strategy.score_boxes is SEES_BOXES.get(strategy.name)


def test_what_asks_a_model_and_scores_no_boxes_is_for_classifiers() -> None:
    found = {name for name, one in STRATEGIES.items() if Need.MODEL in one.needs and one.score_boxes is None}
    assert found == {"power-margin", "badge", "expected-gradient"}


@pytest.mark.parametrize("name", SEES_BOXES)
def test_an_image_with_a_sure_box_scores_below_one_where_nothing_is_seen(name: str) -> None:
    """But not by entropy: the best score of an empty image is surely no box."""
    sure = Detections(np.zeros((1, 4), np.float32), np.array([[0.95, 0.01]], np.float32), 0.95)
    empty = Detections(np.empty((0, 4), np.float32), np.empty((0, 2), np.float32), 0.01)
    score = STRATEGIES[name].score_boxes
    assert score is not None
    first, second = score([sure, empty])
    assert (first < second) == (name != "entropy")


@pytest.mark.parametrize("name", SEES_BOXES)
@settings(max_examples=25)
@given(size=st.integers(1, 60), share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_a_batch_of_a_detectors_images_is_full_and_capped(name: str, size: int, share: float, seed: int) -> None:
    """Rows that do not sum to 1, no classes of what is labelled, and most images empty."""
    rng = np.random.default_rng(seed)
    n, empty = round(share * size), rng.random(size) < 0.7
    candidates = Candidates(
        scores=rng.random(size, dtype=np.float32),
        top_class=rng.integers(3, size=size),
        probabilities=rng.random((size, 3), dtype=np.float32),
        embeddings=unit(rng.normal(size=(size, 6))),
        labelled=unit(rng.normal(size=(20, 6))),
        flagged=unit(rng.normal(size=(9, 6))),
        is_empty=empty,
    )
    options = Options(empty_share=0.2)
    rows = with_options(STRATEGIES[name], options).select(candidates, n, rng).rows
    assert len(set(rows.tolist())) == n
    assert empty[rows].sum() <= max(options.most_empty(n), n - (~empty).sum())
