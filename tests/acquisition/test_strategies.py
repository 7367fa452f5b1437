"""What must hold for every strategy, on pools that break naive ones."""

import pickle
import sys
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.acquisition.contract import Candidates, Need, Selection, Strategy
from alloop.acquisition.disagreement import jensen_shannon
from alloop.acquisition.scores import top_rows
from alloop.acquisition.strategies import STRATEGIES, Options, find_strategy, with_options
from alloop.errors import ConfigError, PoolExhausted

CLASSES = 4
DIMENSIONS = 6
LABELLED = 20
KINDS = (
    "plain",
    "equal",
    "one-class-missing",
    "duplicates",
    "zero-embeddings",
    "certain",
    "nothing-labelled",
    "groups",
)
UNCERTAIN = sorted(name for name, strategy in STRATEGIES.items() if Need.MODEL in strategy.needs)

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
few = settings(max_examples=25)


@dataclass(frozen=True)
class Pool:
    """A pool as the loop sees it."""

    probabilities: np.ndarray
    embeddings: np.ndarray
    groups: np.ndarray
    labelled: np.ndarray | None
    flagged: np.ndarray | None

    def __len__(self) -> int:
        return len(self.probabilities)

    def permuted(self, order: np.ndarray) -> "Pool":
        return Pool(self.probabilities[order], self.embeddings[order], self.groups[order], self.labelled, self.flagged)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def make_pool(kind: str, size: int, seed: int) -> Pool:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(CLASSES, 0.5), size=size).astype(np.float32)
    embeddings = unit(rng.normal(size=(size, DIMENSIONS)))
    groups = np.full(size, -1, dtype=np.int64)
    labelled: np.ndarray | None = unit(rng.normal(size=(LABELLED, DIMENSIONS)))
    flagged: np.ndarray | None = unit(rng.normal(size=(9, DIMENSIONS)))
    if kind == "equal":
        probabilities[:] = 1 / CLASSES
    elif kind == "one-class-missing":
        probabilities = np.pad(rng.dirichlet(np.ones(CLASSES - 1), size=size), ((0, 0), (0, 1))).astype(np.float32)
    elif kind == "duplicates":
        probabilities[:], embeddings[:] = probabilities[:1], embeddings[:1]
    elif kind == "zero-embeddings":
        embeddings[:] = 0
    elif kind == "certain":
        probabilities = np.eye(CLASSES, dtype=np.float32)[rng.integers(CLASSES, size=size)]
    elif kind == "nothing-labelled":
        labelled = flagged = None
    elif kind == "groups":
        groups = rng.integers(-1, 5, size=size)
    return Pool(probabilities, embeddings, groups, labelled, flagged)


def dissent(pool: Pool, rows: np.ndarray) -> np.ndarray | None:
    """Of two models of opposite taste; none while nothing is labelled, as in the first cycle after the start."""
    if pool.labelled is None:
        return None
    return jensen_shannon(np.stack([pool.probabilities[rows], pool.probabilities[rows, ::-1]]))


def choose(strategy: Strategy, pool: Pool, n: int, seed: int) -> tuple[np.ndarray, Selection]:
    """The rows of the pool that the loop would choose, and the selection among the shortlist."""
    rng = np.random.default_rng(seed)
    scores, top = strategy.score(pool.probabilities, rng), pool.probabilities.argmax(axis=1)
    if strategy.reweigh is not None:
        scores = strategy.reweigh(scores, top, np.bincount(top, minlength=CLASSES) / len(pool))
    shortlist = top_rows(scores, strategy.shortlist_size(n, len(pool)), rng)
    candidates = Candidates(
        scores=scores[shortlist],
        top_class=top[shortlist],
        probabilities=pool.probabilities[shortlist] if Need.PROBABILITIES in strategy.needs else None,
        embeddings=pool.embeddings[shortlist] if Need.EMBEDDINGS in strategy.needs else None,
        groups=pool.groups[shortlist] if Need.GROUPS in strategy.needs else None,
        labelled=pool.labelled if Need.LABELLED in strategy.needs else None,
        labelled_class=np.arange(LABELLED) % CLASSES
        if Need.LABELLED in strategy.needs and pool.labelled is not None
        else None,
        flagged=pool.flagged if Need.FLAGGED in strategy.needs else None,
        gradients=np.linalg.norm(pool.probabilities, axis=1)[shortlist] if Need.GRADIENTS in strategy.needs else None,
        dissent=dissent(pool, shortlist) if Need.COMMITTEE in strategy.needs else None,
    )
    selection = strategy.select(candidates, n, rng)
    return shortlist[selection.rows], selection


pools = st.builds(make_pool, st.sampled_from(KINDS), st.integers(1, 120), st.integers(0, 2**32 - 1))
shares = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


@each_strategy
@few
@given(pool=pools, share=shares, seed=seeds)
def test_exactly_n_distinct_rows(strategy: Strategy, pool: Pool, share: float, seed: int) -> None:
    n = round(share * len(pool))
    rows, selection = choose(strategy, pool, n, seed)
    assert len(set(rows.tolist())) == n
    assert selection.rows.shape == selection.clusters.shape == selection.distances.shape == (n,)
    assert (selection.rows.dtype, selection.clusters.dtype) == (np.int64, np.int64)
    assert selection.distances.dtype == np.float32
    assert not np.isinf(selection.distances).any()


@each_strategy
@few
@given(pool=pools, share=shares, seed=seeds)
def test_the_same_seed_gives_the_same_batch(strategy: Strategy, pool: Pool, share: float, seed: int) -> None:
    n = round(share * len(pool))
    first, again = choose(strategy, pool, n, seed), choose(strategy, pool, n, seed)
    assert first[0].tolist() == again[0].tolist()
    assert first[1].clusters.tolist() == again[1].clusters.tolist()


@each_strategy
@few
@given(pool=pools, seed=seeds)
def test_the_order_of_the_pool_does_no_harm(strategy: Strategy, pool: Pool, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(pool))
    rows, _ = choose(strategy, pool.permuted(order), len(pool) // 2, seed)
    assert len(set(order[rows].tolist())) == len(pool) // 2


@each_strategy
@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_smaller_than_the_batch_is_exhausted(strategy: Strategy, kind: str) -> None:
    with pytest.raises(PoolExhausted, match=r"7 samples remain for a batch of 8; .*loop\.batch to 7"):
        choose(strategy, make_pool(kind, 7, 0), 8, 0)


@each_strategy
def test_other_seeds_give_other_batches_where_all_is_equal(strategy: Strategy) -> None:
    pool = make_pool("duplicates", 100, 0)
    assert len({tuple(choose(strategy, pool, 10, seed)[0].tolist()) for seed in range(5)}) > 1


@each_strategy
def test_no_global_randomness(strategy: Strategy) -> None:
    before = np.random.get_state()  # noqa: NPY002
    choose(strategy, make_pool("plain", 50, 0), 10, 0)
    after = np.random.get_state()  # noqa: NPY002
    assert str(before) == str(after)


@each_strategy
def test_the_inputs_are_left_as_they_were(strategy: Strategy) -> None:
    pool, untouched = make_pool("plain", 50, 0), make_pool("plain", 50, 0)
    choose(strategy, pool, 10, 0)
    assert (pool.probabilities == untouched.probabilities).all()
    assert (pool.embeddings == untouched.embeddings).all()


@pytest.mark.parametrize("name", UNCERTAIN)
@pytest.mark.parametrize("seed", range(5))
def test_a_uniform_row_scores_above_a_confident_one(name: str, seed: int) -> None:
    rows = np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    uniform, confident = STRATEGIES[name].score(rows, np.random.default_rng(seed))
    assert uniform > confident


@pytest.mark.parametrize("name", ["least-confidence", "margin", "entropy"])
@few
@given(seed=seeds)
def test_plain_scores_choose_the_true_top_in_any_order(name: str, seed: int) -> None:
    pool = make_pool("plain", 80, seed)
    order = np.random.default_rng(seed).permutation(len(pool))
    scores = STRATEGIES[name].score(pool.probabilities, np.random.default_rng(0))
    rows, _ = choose(STRATEGIES[name], pool, 20, seed)
    permuted, _ = choose(STRATEGIES[name], pool.permuted(order), 20, seed)
    assert scores[rows].tolist() == scores[order[permuted]].tolist() == sorted(scores.tolist(), reverse=True)[:20]


def test_uncertainty_kmeans_takes_one_of_each_heap() -> None:
    heaps = unit(np.repeat(np.eye(4, 6), 10, axis=0) + np.random.default_rng(0).normal(0, 0.01, (40, 6)))
    scores = np.linspace(0.5, 1, 40, dtype=np.float32)
    candidates = Candidates(scores, np.zeros(40, np.int64), embeddings=heaps)
    selection = STRATEGIES["uncertainty-kmeans"].select(candidates, 4, np.random.default_rng(0))
    assert sorted(selection.rows // 10) == [0, 1, 2, 3]
    assert sorted(selection.clusters) == [0, 1, 2, 3]
    assert (selection.distances < 0.1).all()
    assert selection.rows.tolist() == sorted(selection.rows, reverse=True), "the highest score first"


def test_uncertainty_coreset_keeps_away_from_what_is_labelled() -> None:
    heaps = unit(np.repeat(np.eye(4, 6), 10, axis=0))
    candidates = Candidates(
        np.ones(40, np.float32), np.zeros(40, np.int64), embeddings=heaps, labelled=heaps[:1], flagged=heaps[10:11]
    )
    selection = STRATEGIES["uncertainty-coreset"].select(candidates, 2, np.random.default_rng(0))
    assert sorted(selection.rows // 10) == [2, 3]
    assert selection.distances.tolist() == pytest.approx([2**0.5, 2**0.5])


CONTESTED = Candidates(
    np.array([0.9, 0.8, 0.1], np.float32),
    np.zeros(3, np.int64),
    embeddings=np.eye(3, dtype=np.float32),
    dissent=np.array([0, 0.1, 0.7], np.float32),
)


@pytest.mark.parametrize("name", ["disagreement", "disagreement-kmeans"])
def test_what_the_committee_disagrees_about_comes_first(name: str) -> None:
    assert STRATEGIES[name].select(CONTESTED, 1, np.random.default_rng(0)).rows.tolist() == [2]


def test_while_there_is_only_one_model_the_margin_decides() -> None:
    alone = replace(CONTESTED, dissent=None)
    assert STRATEGIES["disagreement"].select(alone, 2, np.random.default_rng(0)).rows.tolist() == [0, 1]


def test_what_is_known_of_a_candidate_goes_where_it_goes() -> None:
    taken = replace(CONTESTED, is_empty=np.array([True, True, False])).take(np.array([2, 0]))
    assert taken.dissent is not None
    assert taken.dissent.tolist() == pytest.approx([0.7, 0])
    assert taken.is_empty is not None
    assert taken.is_empty.tolist() == [False, True]


def test_the_longest_gradients_come_first_whatever_the_score() -> None:
    steep = replace(CONTESTED, gradients=np.array([1, 3, 2], np.float32))
    assert STRATEGIES["expected-gradient"].select(steep, 2, np.random.default_rng(0)).rows.tolist() == [1, 2]


def test_a_strategy_that_reads_gradients_says_so() -> None:
    with pytest.raises(ValueError, match=r"Need\.GRADIENTS"):
        STRATEGIES["expected-gradient"].select(CONTESTED, 2, np.random.default_rng(0))


def test_auto_passes_over_copies_of_what_is_labelled() -> None:
    rng = np.random.default_rng(0)
    copies = unit(np.eye(1, 6) + rng.normal(0, 0.01, (60, 6)))
    candidates = Candidates(
        np.r_[np.ones(60), np.full(20, 0.5)].astype(np.float32),
        np.zeros(80, np.int64),
        embeddings=np.concatenate([copies, unit(rng.normal(size=(20, 6)))]),
        labelled=unit(np.eye(1, 6)),
    )
    assert STRATEGIES["auto"].select(candidates, 1, rng).rows.min() >= 60


def test_auto_with_nothing_answered_clusters_the_highest_scores() -> None:
    points = make_pool("plain", 100, 0).embeddings
    candidates = Candidates(np.linspace(0, 1, 100, dtype=np.float32), np.zeros(100, np.int64), embeddings=points)
    assert STRATEGIES["auto"].select(candidates, 2, np.random.default_rng(0)).rows.min() >= 60


def test_a_strategy_that_clusters_says_that_it_needs_embeddings() -> None:
    candidates = Candidates(np.ones(3, np.float32), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"Need\.EMBEDDINGS"):
        STRATEGIES["uncertainty-kmeans"].select(candidates, 2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "pool", "size"),
    [
        ("margin", 10_000, 500),
        ("margin", 100, 100),
        ("uncertainty-kmeans", 10_000, 5_000),
        ("uncertainty-kmeans", 800, 800),
        ("clustered-start", 50_000, 10_000),
        ("clustered-start", 300, 300),
    ],
)
def test_the_size_of_the_shortlist(name: str, pool: int, size: int) -> None:
    assert STRATEGIES[name].shortlist_size(500, pool) == size


def test_a_batch_larger_than_the_limit_still_fits_the_shortlist() -> None:
    assert STRATEGIES["clustered-start"].shortlist_size(12_000, 50_000) == 12_000


@each_strategy
def test_a_strategy_travels_to_another_process(strategy: Strategy) -> None:
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    assert pickle.loads(pickle.dumps(with_options(strategy, Options(one_per_group=True)))).name == strategy.name


@each_strategy
def test_each_is_explained(strategy: Strategy) -> None:
    assert strategy.source
    assert strategy.when.endswith(".")


def test_a_strategy_is_found_by_name() -> None:
    assert find_strategy("margin") is STRATEGIES["margin"]


def test_a_strategy_of_the_users_own_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("our_signs")
    module.RAREST = replace(STRATEGIES["margin"], name="rarest")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "our_signs", module)
    assert find_strategy("our_signs:RAREST").name == "rarest"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("margins", "there is no strategy 'margins'; did you mean 'margin'?"),
        ("zzz", "known are random, "),
        ("no.such:thing", "cannot be imported: No module named 'no'"),
        ("alloop.nouns:STEPS", "is a tuple, not a Strategy"),
        ("alloop.nouns:", "cannot be imported"),
        (":x", "cannot be imported"),
    ],
)
def test_an_unknown_strategy_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_strategy(name)
    assert sentence in str(error.value)
