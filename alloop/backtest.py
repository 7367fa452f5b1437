"""Which strategy saves how many labels here: the loop of `alloop.cycle` with simulated annotators, over many seeds.

Every strategy walks from the same start with the same schedule, and trains from scratch each cycle. Each arm that is
finished is a file, so a backtest that was killed goes on where it was.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from shutil import rmtree

from alloop.acquisition.strategies import find_strategy
from alloop.arms import LOOP, Arm, Point, Terms, begin_seed, walk_arm
from alloop.errors import ConfigError
from alloop.labelled import LabelledPool, prepare_pool
from alloop.nouns import Progress, no_progress
from alloop.sections import ModelSection
from alloop.variants import Variant
from alloop.whole_files import write_atomically
from alloop.workers import Tick, run_all

__all__ = ["BASELINES", "Backtest", "Plan", "run_backtest"]

BASELINES = {"random": 3, "random-dedup": 1}
"""What every strategy is compared with, and how many runs of it per seed make the reference, which is their mean: one
lucky run of random would move the targets that all savings are measured at."""


@dataclass(frozen=True)
class Plan:
    """What to compare, on what, and how; the folder `out` keeps all that is worth keeping for another run.

    Raises:
        ConfigError: a strategy that does not exist, or numbers that make no backtest.
    """

    manifest: str
    out: Path
    strategies: tuple[str, ...]
    seeds: int
    terms: Terms
    model: ModelSection = field(default_factory=lambda: ModelSection(kind="frozen"))
    variant: Variant = field(default_factory=Variant)
    workers: int = 0

    def __post_init__(self) -> None:
        terms = self.terms
        for name in (*self.names, *terms.ladder):
            if name != LOOP:
                find_strategy(name)
        if min(self.seeds, terms.start, terms.batch) < 1:
            raise ConfigError(
                f"{self.seeds} seeds, a start of {terms.start} and a batch of {terms.batch} make no backtest; "
                "choose each at least 1"
            )
        if terms.budget <= terms.start:
            raise ConfigError(f"a budget of {terms.budget} leaves nothing after a start of {terms.start}; raise it")

    @property
    def names(self) -> tuple[str, ...]:
        """The strategies without repetition, the baselines first."""
        return tuple(dict.fromkeys((*BASELINES, *self.strategies)))

    @property
    def processes(self) -> int:
        """How many processes walk: as asked, or one per processor that this one may use."""
        if self.workers:
            return self.workers
        return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Every walk, all strategies of a seed together; the further runs of the baselines last."""
        once = [Arm(name, seed) for seed in range(self.seeds) for name in self.names]
        again = [
            Arm(name, seed, run)
            for name, runs in BASELINES.items()
            for run in range(1, runs)
            for seed in range(self.seeds)
        ]
        return (*once, *again)


@dataclass(frozen=True)
class Backtest:
    """What was walked: the points of every arm, cycle by cycle."""

    plan: Plan
    pool: LabelledPool
    points: Mapping[Arm, tuple[Point, ...]]

    @property
    def dataset(self) -> str:
        """What it was walked on, in words."""
        words = self.plan.variant.words
        return f"{self.pool.name} ({words})" if words else self.pool.name


@dataclass(frozen=True)
class Job:
    """All that a worker process needs to walk an arm, or to begin a seed."""

    plan: Plan
    pool: LabelledPool
    arm: Arm
    path: Path
    start: Path


def run_backtest(plan: Plan, *, progress: Progress = no_progress) -> Backtest:
    """Walk what has not been walked yet in `plan.out`, in several processes, and give everything.

    ConfigError when the budget is more than the pool, or another backtest is at work in that folder.
    """
    with _alone(plan.out):
        pool = prepare_pool(
            plan.manifest,
            plan.out,
            model=plan.model,
            variant=plan.variant,
            workers=plan.processes,
            progress=progress,
        )
        if plan.terms.budget > pool.pool:
            raise ConfigError(
                f"a budget of {plan.terms.budget} is more than the pool of {pool.pool} images; lower the budget"
            )
        jobs = [_job(plan, pool, arm) for arm in plan.arms]
        _walk([job for job in jobs if not job.path.exists()], progress)
        return Backtest(plan, pool, {job.arm: _read(job.path) for job in jobs})


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder, and take away what a killed backtest left half-done in it."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another backtest is at work in {out}; wait for it or choose another folder") from None
        for left in out.glob("starts/walk-*"):
            rmtree(left, ignore_errors=True)
        yield


def _job(plan: Plan, pool: LabelledPool, arm: Arm) -> Job:
    """The file of an arm is named after all that defines its result, the program included."""
    shared = [
        pool.folder.name,
        plan.model.model_dump_json(),
        asdict(plan.terms),
        _program(),
        _own_code(plan.model.kind),
    ]
    start = _sha([*shared, arm.seed])
    path = _sha([*shared, asdict(arm), _own_code(arm.strategy)])
    name = "".join(letter if letter.isalnum() else "-" for letter in arm.strategy)
    return Job(
        plan,
        pool,
        arm,
        path=plan.out / "arms" / f"{name}-{arm.seed:03d}-{arm.run}-{path}.json",
        start=plan.out / "starts" / f"{arm.seed:03d}-{start}",
    )


def _sha(says: object) -> str:
    return hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()[:16]


@cache
def _program() -> str:
    """The sha256 of alloop's own source: another program may choose another batch."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _own_code(name: str) -> str:
    """The sha256 of the module of a strategy or model of the user's own, "" for one of ours."""
    spec = importlib.util.find_spec(name.partition(":")[0]) if ":" in name else None
    if spec is None or spec.origin is None:
        return ""
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def _walk(jobs: Sequence[Job], progress: Progress) -> None:
    """Begin the seeds that are needed, then walk their arms."""
    if not jobs:
        return
    workers = jobs[0].plan.processes
    starts = [job for job in {job.start: job for job in jobs}.values() if not job.start.exists()]
    jobs[0].start.parent.mkdir(parents=True, exist_ok=True)
    jobs[0].path.parent.mkdir(parents=True, exist_ok=True)
    if starts:
        run_all(_begin, starts, workers=workers, ticked=partial(_tell, progress, "starting each seed", len(starts)))
    total = sum(job.plan.terms.cycles for job in jobs)
    run_all(_do, jobs, workers=workers, ticked=partial(_tell, progress, "walking cycles", total))


def _tell(progress: Progress, what: str, total: int, done: int) -> None:
    progress(what, done, total)


def _begin(job: Job, tick: Tick) -> None:
    begin_seed(job.pool, job.plan.model, job.plan.terms, seed=job.arm.seed, start=job.start)
    tick()


def _do(job: Job, tick: Tick) -> None:
    points = walk_arm(job.pool, job.plan.model, job.plan.terms, job.arm, start=job.start, tick=tick)
    write_atomically(job.path, json.dumps([asdict(point) for point in points]).encode())


def _read(path: Path) -> tuple[Point, ...]:
    records = json.loads(path.read_text(encoding="utf-8"))
    return tuple(Point(**record | {"batch": tuple(record["batch"])}) for record in records)
