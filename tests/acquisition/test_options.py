from dataclasses import replace

import numpy as np
import pytest

from alloop.acquisition.balance import weigh_classes
from alloop.acquisition.contract import Candidates, Need, Strategy
from alloop.acquisition.options import Options, with_options
from alloop.acquisition.strategies import STRATEGIES
from alloop.errors import ConfigError, PoolExhausted

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
        committee=rng.dirichlet(np.ones(3), size=(60, 2)).astype(np.float32),
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


@pytest.mark.parametrize("values", [{"duplicate_share": 0}, {"duplicate_share": 2.5}, {"shortlist_ratio": 0.5}])
def test_options_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        Options(**values)


def test_rare_classes_weigh_more_by_hand() -> None:
    """Shares 0.8 and 0.2 of two classes: 1.6 ** -0.25 and 0.4 ** -0.25; a class never predicted counts as 0.1."""
    scores = weigh_classes(np.ones(3, np.float32), np.array([0, 1, 2]), np.array([0.8, 0.2, 0.0], np.float32))
    assert scores == pytest.approx([2.4**-0.25, 0.6**-0.25, 0.1**-0.25])
    assert scores.dtype == np.float32
