from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alloop.acquisition.balance import weigh_classes
from alloop.acquisition.contract import Candidates, Need, Strategy
from alloop.acquisition.options import Options, with_options
from alloop.acquisition.strategies import STRATEGIES
from alloop.errors import ConfigError, PoolExhausted
from alloop.nouns import Detections

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def clips() -> Candidates:
    """Ten clips of six frames that look alike; the higher the row, the higher the score."""
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(10), 6, axis=0) + rng.normal(0, 0.01, (60, 10))
    return Candidates(
        scores=np.linspace(0.1, 1, 60, dtype=np.float32),
        top_class=np.zeros(60, np.int64),
        probabilities=rng.dirichlet(np.ones(3), size=60).astype(np.float32),
        embeddings=(points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32),
        groups=np.repeat(np.arange(10), 6),
        gradients=rng.random(60, dtype=np.float32),
        dissent=rng.random(60, dtype=np.float32),
    )


@pytest.mark.parametrize("options", [Options(one_per_group=True), Options(duplicate_share=0.2)])
@each_strategy
def test_no_clip_twice_while_there_are_others(strategy: Strategy, options: Options) -> None:
    rows = with_options(strategy, options).select(clips(), 8, np.random.default_rng(0)).rows
    assert len(set(rows // 6)) == 8


@pytest.mark.parametrize("options", [Options(one_per_group=True), Options(duplicate_share=0.2)])
@each_strategy
def test_the_batch_is_full_even_so(strategy: Strategy, options: Options) -> None:
    wrapped = with_options(strategy, options)
    rows = wrapped.select(clips(), 25, np.random.default_rng(0)).rows
    assert len(set(rows)) == 25
    assert len(set(rows // 6)) == 10
    with pytest.raises(PoolExhausted, match="60 samples remain for a batch of 61"):
        wrapped.select(clips(), 61, np.random.default_rng(0))


def test_random_dedup_takes_one_of_each_heap_where_no_group_is_known() -> None:
    candidates = replace(clips(), groups=np.repeat([0, 1, 2, 3, 4, -1, -1, -1, -1, -1], 6))
    rows = STRATEGIES["random-dedup"].select(candidates, 10, np.random.default_rng(0)).rows
    assert sorted(rows // 6) == list(range(10))


def test_random_dedup_works_with_groups_alone() -> None:
    rows = STRATEGIES["random-dedup"].select(replace(clips(), embeddings=None), 10, np.random.default_rng(0)).rows
    assert sorted(rows // 6) == list(range(10))


def test_options_say_what_they_need() -> None:
    margin = STRATEGIES["margin"]
    assert with_options(margin, Options(one_per_group=True)).needs == {Need.MODEL, Need.GROUPS}
    assert with_options(margin, Options(duplicate_share=0.2)).needs == {Need.MODEL, Need.EMBEDDINGS}
    assert with_options(STRATEGIES["random"], Options(class_weight=True)).needs == {Need.MODEL}


def test_a_strategy_that_takes_the_top_gets_a_shortlist_to_thin() -> None:
    assert with_options(STRATEGIES["margin"], Options(one_per_group=True)).shortlist_size(10, 1000) == 100


@pytest.mark.parametrize(
    ("name", "size"), [("auto", 500), ("badge", 500), ("margin", 10), ("typiclust", 1000), ("clustered-start", 1000)]
)
def test_the_shortlist_is_as_long_as_asked_where_there_is_one(name: str, size: int) -> None:
    assert with_options(STRATEGIES[name], Options(shortlist_ratio=50)).shortlist_size(10, 1000) == size


def test_nothing_asked_changes_nothing() -> None:
    assert with_options(STRATEGIES["auto"], Options()) == STRATEGIES["auto"]


@pytest.mark.parametrize(
    "values",
    [
        {"duplicate_share": 0},
        {"duplicate_share": 2.5},
        {"shortlist_ratio": 0.5},
        {"empty_share": -0.1},
        {"empty_share": 1.1},
        {"box_score": "dout"},
        {"box_score": "doubt", "box_aggregate": "top"},
        {"box_aggregate": "max"},
    ],
)
def test_options_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=list(values)[-1]):
        Options(**values)


# What a detector sees.

each_capped = pytest.mark.parametrize(
    "strategy", [strategy for strategy in STRATEGIES.values() if Need.MODEL in strategy.needs], ids=lambda one: one.name
)


def mostly_empty(seen: Sequence[int] = range(0, 60, 2)) -> Candidates:
    """The same clips, of which a detector sees something in the rows `seen` only; what it does not see scores higher."""
    empty = np.ones(60, dtype=bool)
    empty[list(seen)] = False
    one = clips()
    return replace(one, is_empty=empty, scores=one.scores + empty, dissent=one.scores + empty)


def empties(candidates: Candidates, rows: np.ndarray) -> int:
    assert candidates.is_empty is not None
    return int(candidates.is_empty[rows].sum())


@each_capped
@pytest.mark.parametrize(("n", "most"), [(10, 2), (14, 2), (15, 3), (4, 1), (1, 1), (0, 0)])
def test_empty_images_are_at_most_their_share_of_a_batch(strategy: Strategy, n: int, most: int) -> None:
    candidates = mostly_empty()
    chosen = with_options(strategy, Options(empty_share=0.2)).select(candidates, n, np.random.default_rng(0))
    assert len(set(chosen.rows.tolist())) == len(chosen.clusters) == len(chosen.distances) == n
    assert empties(candidates, chosen.rows) <= most


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.29, 2), (0.5, 5), (1.0, 10)])
def test_of_the_empty_ones_the_highest_scores_fill_the_share(share: float, most: int) -> None:
    candidates = mostly_empty()
    rows = (
        with_options(STRATEGIES["margin"], Options(empty_share=share))
        .select(candidates, 10, np.random.default_rng(0))
        .rows
    )
    assert rows.tolist() == [*range(59, 59 - 2 * most, -2), *range(58, 58 - 2 * (10 - most), -2)]


@pytest.mark.parametrize(
    ("share", "n", "most"), [(0.29, 100, 29), (0.2, 4, 1), (0.2, 9, 1), (0.2, 0, 0), (0.0, 9, 0), (None, 9, 9)]
)
def test_how_many_of_a_batch_may_be_empty(share: float | None, n: int, most: int) -> None:
    """Nothing is lost to rounding, and a share above 0 is one sample at least."""
    assert Options(empty_share=share).most_empty(n) == most


@each_capped
def test_where_there_are_too_few_others_the_batch_is_full_all_the_same(strategy: Strategy) -> None:
    candidates = mostly_empty(seen=[3, 30, 50])
    rows = with_options(strategy, Options(empty_share=0.2)).select(candidates, 10, np.random.default_rng(0)).rows
    assert len(set(rows.tolist())) == 10
    assert empties(candidates, rows) == 7
    with pytest.raises(PoolExhausted, match="60 samples remain for a batch of 61"):
        with_options(strategy, Options(empty_share=0.2)).select(candidates, 61, np.random.default_rng(0))


@each_capped
def test_the_cap_chooses_the_same_again_for_the_same_seed(strategy: Strategy) -> None:
    capped = with_options(strategy, Options(empty_share=0.2))
    first, again = (capped.select(mostly_empty(), 10, np.random.default_rng(3)).rows.tolist() for _ in range(2))
    assert first == again


@each_capped
def test_a_cap_that_is_kept_anyway_changes_nothing(strategy: Strategy) -> None:
    candidates = replace(clips(), is_empty=np.zeros(60, dtype=bool))
    plain = strategy.select(candidates, 10, np.random.default_rng(0)).rows
    capped = with_options(strategy, Options(empty_share=0.2)).select(candidates, 10, np.random.default_rng(0)).rows
    assert plain.tolist() == capped.tolist()


def test_where_nobody_knows_what_is_empty_nothing_is_capped() -> None:
    rows = (
        with_options(STRATEGIES["margin"], Options(empty_share=0.2)).select(clips(), 5, np.random.default_rng(0)).rows
    )
    assert rows.tolist() == [59, 58, 57, 56, 55]


def test_thinned_and_capped_at_once() -> None:
    candidates = mostly_empty()
    both = with_options(STRATEGIES["margin"], Options(one_per_group=True, empty_share=0.2))
    rows = both.select(candidates, 10, np.random.default_rng(0)).rows
    assert len(set(rows // 6)) == 10
    assert empties(candidates, rows) == 2


@each_strategy
def test_only_what_asks_a_model_is_capped(strategy: Strategy) -> None:
    changed = with_options(strategy, Options(empty_share=0.2))
    assert (changed == strategy) == (Need.MODEL not in strategy.needs)
    assert changed.needs == strategy.needs


@pytest.mark.parametrize(("name", "size"), [("margin", 100), ("random", 10), ("auto", 500)])
def test_a_capped_strategy_that_takes_the_top_gets_a_shortlist_with_others(name: str, size: int) -> None:
    assert with_options(STRATEGIES[name], Options(empty_share=0.2)).shortlist_size(10, 1000) == size


def test_a_box_score_by_name_replaces_the_own_one() -> None:
    changed = with_options(STRATEGIES["auto"], Options(box_score="least-confidence", box_aggregate="max"))
    assert changed.score_boxes is not None
    scores = np.array([[0.9], [0.4]], dtype=np.float32)
    assert changed.score_boxes([Detections(np.zeros((2, 4), np.float32), scores, 0.9)]) == pytest.approx([0.6])
    assert changed.score is STRATEGIES["auto"].score


@pytest.mark.parametrize("name", ["random", "badge", "typiclust"])
def test_what_scores_no_boxes_is_given_no_box_score(name: str) -> None:
    assert with_options(STRATEGIES[name], Options(box_score="doubt")) == STRATEGIES[name]


def test_rare_classes_weigh_more_by_hand() -> None:
    """Shares 0.8 and 0.2 of two classes: 1.6 ** -0.25 and 0.4 ** -0.25; a class never predicted counts as 0.1."""
    scores = weigh_classes(np.ones(3, np.float32), np.array([0, 1, 2]), np.array([0.8, 0.2, 0.0], np.float32))
    assert scores == pytest.approx([2.4**-0.25, 0.6**-0.25, 0.1**-0.25])
    assert scores.dtype == np.float32


def test_the_one_class_of_a_detector_weighs_nothing() -> None:
    scores = np.array([0.2, 0.9], np.float32)
    assert weigh_classes(scores, np.zeros(2, np.int64), np.ones(1, np.float32)).tolist() == scores.tolist()


def test_images_of_a_detector_are_weighed_by_the_class_that_scores_highest() -> None:
    """Rows of sigmoids need not sum to 1: three images of a car and one of a bus, with 0.75 and 0.25 of the pool."""
    highest = np.array([[0.9, 0.8], [0.7, 0.1], [0.04, 0.01], [0.3, 0.6]], dtype=np.float32)
    top = highest.argmax(axis=1)
    share = np.bincount(top, minlength=2) / 4
    by_hand = [1.5**-0.25] * 3 + [0.5**-0.25]
    assert weigh_classes(np.ones(4, np.float32), top, share.astype(np.float32)) == pytest.approx(by_hand)
