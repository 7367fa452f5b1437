from dataclasses import replace

import numpy as np
import pytest

from alloop.acquisition.contract import Candidates
from alloop.acquisition.strategies import STRATEGIES
from alloop.acquisition.unclear import discount, predict_unclear


def around(centre: list[float], size: int, seed: int) -> np.ndarray:
    rows = np.array(centre) + np.random.default_rng(seed).normal(0, 0.1, (size, len(centre)))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


CLEAR, MURKY = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
LABELLED, FLAGGED = around(CLEAR, 60, 0), around(MURKY, 20, 1)
POINTS = np.concatenate([around(CLEAR, 30, 2), around(MURKY, 30, 3)])


def candidates(flags: int) -> Candidates:
    return Candidates(
        np.ones(60, np.float32),
        np.zeros(60, np.int64),
        embeddings=POINTS,
        labelled=LABELLED,
        flagged=FLAGGED[:flags],
    )


def test_what_looks_like_the_flagged_is_called_unclear() -> None:
    unclear = predict_unclear(POINTS, labelled=LABELLED, flagged=FLAGGED)
    assert unclear[:30].max() < unclear[30:].min()


def test_doubt_of_a_head_is_a_feature_when_classes_are_known() -> None:
    """Two classes left and right, unclear ones between them: no plane finds those, doubt does."""
    rng = np.random.default_rng(0)
    left, right, between = (
        (rng.normal(0, 0.1, (80, 2)) + centre).astype(np.float32) for centre in ([-1, 0], [1, 0], [0, 0])
    )
    labelled, classes = np.concatenate([left[:40], right[:40]]), np.repeat([0, 1], 40)
    points = np.concatenate([left[40:], right[40:], between[40:]])
    unclear = predict_unclear(points, labelled=labelled, flagged=between[:40], labelled_class=classes)
    assert (unclear[:80] < 0.5).all()
    assert (unclear[80:] > 0.5).mean() > 0.95


def test_classes_with_few_labels_do_no_harm() -> None:
    classes = np.r_[np.zeros(30), np.ones(28), 2, 3].astype(np.int64)
    unclear = predict_unclear(POINTS, labelled=LABELLED, flagged=FLAGGED, labelled_class=classes)
    assert np.isfinite(unclear).all()


@pytest.mark.parametrize(("flags", "changed"), [(7, False), (8, True)])
def test_the_discount_starts_at_8_flags(flags: int, changed: bool) -> None:
    scores = discount(candidates(flags), np.random.default_rng(0))
    assert (scores < 1).any() == changed


def test_auto_wastes_fewer_slots_once_there_are_flags() -> None:
    def wasted(flags: int) -> int:
        rows = STRATEGIES["auto"].select(candidates(flags), 10, np.random.default_rng(0)).rows
        return int((rows >= 30).sum())

    assert wasted(20) < wasted(0)


def test_a_detector_learns_what_is_unclear_without_classes() -> None:
    """An image with boxes has no class of its own, and its sigmoids do not sum to 1: embeddings are all it takes."""
    sigmoids = np.random.default_rng(0).random((60, 3), dtype=np.float32)
    seen = replace(candidates(20), probabilities=sigmoids, labelled_class=None, is_empty=np.zeros(60, dtype=bool))
    scores = discount(seen, np.random.default_rng(0))
    assert scores[30:].max() < scores[:30].min()
    assert scores.tolist() == discount(candidates(20), np.random.default_rng(0)).tolist()
