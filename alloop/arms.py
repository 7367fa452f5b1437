"""One arm of a backtest: the loop from `alloop.cycle`, walked with one strategy and simulated annotators to a budget.

Every strategy of a seed goes on from the same start: cycle 0 is walked once per seed up to its evaluation, with what
ships for a first batch, and copied. So all have the same first labels and the same first model.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alloop.config import Config
from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    wait_until_labelled,
    walk,
)
from alloop.judging import results_of
from alloop.labelled import NAME, LabelledPool, PinnedConfig
from alloop.metrics import macro_recall
from alloop.nouns import Action, Lane, Outcome
from alloop.sections import (
    AnnotationSection,
    LedgerSection,
    LoopSection,
    ModelSection,
    Project,
    PromotionSection,
    SimulatedSection,
    SwitchingSection,
)
from alloop.workspace import Workspace, open_workspace

__all__ = ["LOOP", "Arm", "Point", "Terms", "begin_seed", "walk_arm"]

LOOP = "loop"
"""Not a strategy: the whole loop as it ships, with its ladder, switching and promotion."""
LONG_S = 400 * 24 * 3600.0
"""Simulated annotators have answered any batch after so many virtual seconds."""
ANY_POINTS = 100.0
"""A tolerance that promotes every challenger."""
OTHER_RUN = 1_000_003
"""What another run of one seed adds to the seed, so that the same start is followed by other chances."""

Tick = Callable[[], None]
"""Called after each cycle; it may raise to end the walk."""


@dataclass(frozen=True)
class Terms:
    """What every arm of a backtest has in common.

    Attributes:
        start, batch, budget: answers that people give in cycle 0, in each later cycle, and in all.
        annotator_error: the share of wrong answers.
        ladder: what the loop climbs; strategies stay what they are.
        control_share: the random part of each batch.
    """

    start: int
    batch: int
    budget: int
    annotator_error: float = 0.0
    ladder: tuple[str, ...] = LoopSection().ladder
    control_share: float = LoopSection().control_share

    @property
    def cycles(self) -> int:
        """How many cycles it takes; the last batch may be smaller."""
        return 1 + -(-(self.budget - self.start) // self.batch)


@dataclass(frozen=True)
class Arm:
    """One walk: a strategy, a seed, and which of several runs from that seed's start."""

    strategy: str
    seed: int
    run: int = 0


@dataclass(frozen=True)
class Point:
    """What one cycle came to.

    Attributes:
        n: answers that people have given by now, unclear ones included.
        labels: labels that the model learnt from.
        accuracy, macro_recall: on the holdout, 0 to 1.
        unclear_share: of this cycle's batch.
        select_s: seconds that choosing the batch took.
        strategy: what chose it.
        batch: the ids of its samples in order of rank.
    """

    n: int
    labels: int
    accuracy: float
    macro_recall: float
    unclear_share: float
    select_s: float
    strategy: str
    batch: tuple[str, ...]


def begin_seed(pool: LabelledPool, model: ModelSection, terms: Terms, *, seed: int, start: Path) -> None:
    """Walk cycle 0 up to its evaluation and leave it in the folder `start`, which every arm of the seed copies."""
    with _scratch(start.parent) as folder:
        config = _config(folder, pool, model, terms, Arm("random", seed))
        with _opened(config, pool, ledger=pool.ledger) as ws:
            cycle = open_cycle(ws)
            for step in (score_pool, diversity_select, push_to_annotation, wait_until_labelled, retrain, holdout_eval):
                step(ws, cycle)
            ws.ledger.database.copy_to(folder / "ledger.db")
        shutil.rmtree(folder / ".alloop" / "scores")
        folder.rename(start)


def walk_arm(
    pool: LabelledPool, model: ModelSection, terms: Terms, arm: Arm, *, start: Path, tick: Tick
) -> tuple[Point, ...]:
    """Walk the loop from a seed's start to the budget: one point per cycle."""
    with _scratch(start.parent) as folder:
        shutil.copytree(start, folder, symlinks=True, dirs_exist_ok=True)
        config = _config(folder, pool, model, terms, arm)
        with _opened(config, pool, ledger=folder / "ledger.db") as ws:
            walk(ws, 0, wait=True)
            points = [_point(ws, 0, before=0)]
            tick()
            while (left := terms.budget - points[-1].n) > 0:
                points.append(_walk_next(_with_batch(ws, min(left, terms.batch)), before=points[-1].n))
                tick()
    return tuple(points)


def _walk_next(ws: Workspace, *, before: int) -> Point:
    cycle = open_cycle(ws)
    decision = walk(ws, cycle, wait=True)
    if decision.action is Action.HOLD:
        ws.ledger.cycles.go_on()  # somebody says: go on
    return _point(ws, cycle, before=before)


def _with_batch(ws: Workspace, size: int) -> Workspace:
    loop = ws.config.loop.model_copy(update={"batch": size})
    return replace(ws, config=ws.config.model_copy(update={"loop": loop}))


@contextmanager
def _scratch(beside: Path) -> Iterator[Path]:
    """A folder for one walk; what a killed walk leaves is taken away by the next backtest."""
    folder = Path(tempfile.mkdtemp(prefix="walk-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _opened(config: Config, pool: LabelledPool, *, ledger: Path) -> Iterator[Workspace]:
    """A project whose ledger is in memory, a copy of the file, and whose features are the pool's."""
    features = config.state / "features"
    if not features.is_symlink():
        config.state.mkdir(parents=True, exist_ok=True)
        features.symlink_to(pool.features.absolute(), target_is_directory=True)
    with open_workspace(config) as ws:
        ws.ledger.database.copy_from(ledger)
        yield ws


def _config(folder: Path, pool: LabelledPool, model: ModelSection, terms: Terms, arm: Arm) -> Config:
    """The settings of an arm. A strategy alone never switches, and every challenger is promoted."""
    alone: dict[str, Any] = {
        "switching": SwitchingSection(rule="off"),
        "promotion": PromotionSection(tolerance_points=ANY_POINTS),
    }
    ladder = terms.ladder if arm.strategy == LOOP else (arm.strategy,)
    return PinnedConfig(
        file=folder / Config.name,
        project=Project(name=NAME, labels=pool.labels, seed=arm.seed + OTHER_RUN * arm.run),
        ledger=LedgerSection(url="sqlite://"),
        model=model.model_copy(update={"threads": 1}),
        loop=LoopSection(
            batch=terms.batch,
            start=terms.start,
            ladder=ladder,
            control_share=terms.control_share,
            control_least=0,  # nobody reads the control figures of a backtest
            poll_s=LONG_S,
        ),
        annotation=AnnotationSection(
            tool="simulated", simulated=SimulatedSection(error_rate=terms.annotator_error, pickup_hours=0)
        ),
        **({} if arm.strategy == LOOP else alone),
    )


def _point(ws: Workspace, cycle: int, *, before: int) -> Point:
    version = ws.ledger.models.of(cycle)[0]
    found = results_of(ws, version)
    batch = [item.sample.id for item in ws.ledger.batches.get(cycle).items if item.lane is not Lane.HOLDOUT]
    tally = ws.ledger.batches.tally(cycle)
    chosen = next(stage for stage in ws.ledger.steps.of(cycle) if stage.step == "diversity_select")
    return Point(
        n=before + len(batch),
        labels=version.labels,
        accuracy=found.measure.share,
        macro_recall=macro_recall(found),
        unclear_share=tally.get(Outcome.UNCLEAR, 0) / len(batch),
        select_s=chosen.work_s or 0.0,
        strategy=ws.ledger.cycles.get(cycle).strategy,
        batch=tuple(batch),
    )
