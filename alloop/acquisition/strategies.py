"""The table of strategies, and how to find one by name.

A strategy of your own is a `Strategy` value in a module of yours; name it "package.module:attribute" in the ladder.
"""

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from alloop.acquisition import boxes
from alloop.acquisition.balance import weigh_classes
from alloop.acquisition.contract import Candidates, Need, Selection, Strategy
from alloop.acquisition.options import Options, with_options
from alloop.acquisition.rescoring import select_contested, select_contested_kinds, select_steepest
from alloop.acquisition.scores import entropy, least_confidence, margin, power_margin
from alloop.acquisition.selection import (
    CLUSTERED,
    select_auto,
    select_clustered,
    select_gradients,
    select_near_centres,
    select_spread_out,
    select_top,
    select_unlike,
)
from alloop.acquisition.typical import select_typical
from alloop.errors import ConfigError
from alloop.nouns import Floats

__all__ = ["STRATEGIES", "Candidates", "Need", "Options", "Selection", "Strategy", "find_strategy", "with_options"]

TWO_STAGE = 10.0  # shortlist of 5,000 for a batch of 500
AUTO = 50.0  # of which auto clusters 20 per sample; with a ratio of 20 it is the rule measured first (2026-11)
SOME = 5_000  # candidates of which one per heap is kept, in a tenth of a second
MANY = 20_000  # candidates where the whole pool is asked for: every distance between them takes seconds, not minutes


def score_random(probabilities: Floats, rng: np.random.Generator) -> Floats:
    """A score that knows nothing: (N, any) to (N,) float32, uniform in [0, 1)."""
    return rng.random(len(probabilities), dtype=np.float32)


def score_least_confidence(probabilities: Floats, _: np.random.Generator) -> Floats:
    """`scores.least_confidence`; the generator is not used."""
    return least_confidence(probabilities)


def score_margin(probabilities: Floats, _: np.random.Generator) -> Floats:
    """`scores.margin`; the generator is not used."""
    return margin(probabilities)


def score_entropy(probabilities: Floats, _: np.random.Generator) -> Floats:
    """`scores.entropy`; the generator is not used."""
    return entropy(probabilities)


_TABLE = (
    Strategy(
        name="random",
        score=score_random,
        select=select_top,
        needs=frozenset(),
        shortlist_ratio=1.0,
        source="the baseline of every comparison",
        when="As the yardstick, and as the last rung of a ladder: it cannot be fooled by a bad model.",
    ),
    Strategy(
        name="random-dedup",
        score=score_random,
        select=select_unlike,
        needs=frozenset({Need.GROUPS, Need.EMBEDDINGS, Need.LABELLED, Need.FLAGGED}),
        shortlist_ratio=None,
        shortlist_limit=SOME,
        source="random on a pool without its near-duplicates, the second baseline of every comparison",
        when="As the honest yardstick on video and other pools with repetition.",
    ),
    Strategy(
        name="least-confidence",
        score=score_least_confidence,
        score_boxes=boxes.least_confidence,
        select=select_top,
        needs=frozenset({Need.MODEL}),
        shortlist_ratio=1.0,
        source="Lewis & Gale 1994, arXiv cmp-lg/9407020",
        when="When only the top answer matters and embeddings cannot be had.",
    ),
    Strategy(
        name="margin",
        score=score_margin,
        score_boxes=boxes.class_margin,
        select=select_top,
        needs=frozenset({Need.MODEL}),
        shortlist_ratio=1.0,
        source="Scheffer et al. 2001, Active Hidden Markov Models for Information Extraction",
        when="When embeddings cannot be had; it saved far more than entropy on video.",
    ),
    Strategy(
        name="entropy",
        score=score_entropy,
        score_boxes=boxes.binary_entropy,
        select=select_top,
        needs=frozenset({Need.MODEL}),
        shortlist_ratio=1.0,
        source="Shannon 1948; Settles 2009, section 3.1",
        when="To compare with what others use; it saved least of all, fails on pools with repetition, and prefers the "
        "images that a young detector sees best.",
    ),
    Strategy(
        name="power-margin",
        score=power_margin,
        select=select_top,
        needs=frozenset({Need.MODEL}),
        shortlist_ratio=1.0,
        source="Kirsch et al. 2021, arXiv 2106.12059",
        when="When embeddings cannot be had and batches are large: chance keeps them from being all alike.",
    ),
    Strategy(
        name="uncertainty-kmeans",
        score=score_margin,
        score_boxes=boxes.doubt,
        select=select_near_centres,
        needs=frozenset({Need.MODEL, Need.EMBEDDINGS}),
        shortlist_ratio=TWO_STAGE,
        source="Zhdanov 2019, arXiv 1901.05954",
        when="On pools with near-duplicates, such as video: the uncertain ones, one for each kind.",
    ),
    Strategy(
        name="uncertainty-coreset",
        score=score_margin,
        score_boxes=boxes.doubt,
        select=select_spread_out,
        needs=frozenset({Need.MODEL, Need.EMBEDDINGS, Need.LABELLED, Need.FLAGGED}),
        shortlist_ratio=TWO_STAGE,
        source="Sener & Savarese 2018, arXiv 1708.00489, on an uncertain shortlist",
        when="When rare kinds must not be missed; it likes outliers, so keep an eye on the unclear rate.",
    ),
    Strategy(
        name="badge",
        score=score_margin,
        select=select_gradients,
        needs=frozenset({Need.MODEL, Need.EMBEDDINGS, Need.PROBABILITIES}),
        shortlist_ratio=TWO_STAGE,
        source="Ash et al. 2020, arXiv 1906.03671, on an uncertain shortlist",
        when="When the last layer is what learns; close behind auto in most measurements.",
    ),
    Strategy(
        name="expected-gradient",
        score=score_margin,
        select=select_steepest,
        needs=frozenset({Need.MODEL, Need.GRADIENTS}),
        shortlist_ratio=TWO_STAGE,
        source="Settles & Craven 2008, An Analysis of Active Learning Strategies for Sequence Labeling Tasks, on an "
        "uncertain shortlist",
        when="When the whole network learns and time is no object: it tells its cost and refuses above "
        "`gradient_budget_s`; keep an eye on the unclear rate.",
    ),
    Strategy(
        name="disagreement",
        score=score_margin,
        score_boxes=boxes.doubt,
        select=select_contested,
        needs=frozenset({Need.MODEL, Need.COMMITTEE}),
        shortlist_ratio=TWO_STAGE,
        source="McCallum & Nigam 1998, with two or more trained models as the committee, on an uncertain shortlist",
        when="When training has luck in it, as networks have; it is margin while there is only one model.",
    ),
    Strategy(
        name="disagreement-kmeans",
        score=score_margin,
        score_boxes=boxes.doubt,
        select=select_contested_kinds,
        needs=frozenset({Need.MODEL, Need.COMMITTEE, Need.EMBEDDINGS}),
        shortlist_ratio=TWO_STAGE,
        source="McCallum & Nigam 1998 as the weights of Zhdanov 2019, arXiv 1901.05954",
        when="The same on pools with near-duplicates; it is uncertainty-kmeans while there is only one model.",
    ),
    Strategy(
        name="auto",
        score=score_margin,
        score_boxes=boxes.doubt,
        reweigh=weigh_classes,
        select=select_auto,
        needs=frozenset({Need.MODEL, Need.EMBEDDINGS, Need.LABELLED, Need.FLAGGED}),
        shortlist_ratio=AUTO,
        source="weighted k-means of Zhdanov 2019, arXiv 1901.05954, with fixed labelled centres, class weights, a discount "
        "for unclear samples and a shortlist cut by score x squared distance to what is answered (alloop's own measurements)",
        when="By default.",
        predicts_unclear=True,
    ),
    Strategy(
        name="typiclust",
        score=score_random,
        select=select_typical,
        needs=frozenset({Need.EMBEDDINGS, Need.LABELLED}),
        shortlist_ratio=None,
        shortlist_limit=MANY,
        source="Hacohen, Dekel & Weinshall 2022, arXiv 2202.02794",
        when="For the first batches on a good frozen backbone, when labels are very few.",
    ),
    Strategy(
        name="clustered-start",
        score=score_random,
        select=select_clustered,
        needs=frozenset({Need.EMBEDDINGS}),
        shortlist_ratio=None,
        shortlist_limit=CLUSTERED,
        source="Zhdanov 2019, arXiv 1901.05954, without weights",
        when="For the first batch, when there is no model yet.",
    ),
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType({strategy.name: strategy for strategy in _TABLE})


def find_strategy(name: str) -> Strategy:
    """The strategy called `name` in STRATEGIES, or the user's own at "package.module:attribute".

    Raises:
        ConfigError: no such strategy; the message names the nearest one.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    if ":" in name:
        return _imported(name)
    near = difflib.get_close_matches(name, STRATEGIES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(STRATEGIES)}"
    raise ConfigError(f"there is no strategy '{name}'; {hint}")


def _imported(name: str) -> Strategy:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"strategy '{name}' cannot be imported: {error}; write 'package.module:attribute'") from error
    if not isinstance(found, Strategy):
        raise ConfigError(
            f"'{name}' is a {type(found).__name__}, not a Strategy; make it an alloop.acquisition.strategies.Strategy"
        )
    return found
