"""A project whose cycle 2 waits for people, chosen by v1: what v0, which finds other images hard, would make of it."""

import json
import shutil
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from alloop.cycle import (
    diversity_select,
    holdout_eval,
    open_cycle,
    push_to_annotation,
    retrain,
    score_pool,
    strategy_switch,
    wait_for_labels,
)
from alloop.hands_on import roll_back
from alloop.ledger.drifts import Drift
from alloop.nouns import Lane, Sample
from alloop.workspace import Workspace, open_workspace
from tests.drift_project import RED, colour_of, drift_project, write_colours, write_holdout
from tests.loop_project import Row, answer, batch_of, truly, without_labels

UP_TO_PUSH = (score_pool, diversity_select, push_to_annotation)
AFTER_PUSH = (wait_for_labels, retrain, holdout_eval, strategy_switch)
OPEN = 2
"""The cycle that waits."""


def do(ws: Workspace, cycle: int, *steps) -> None:
    for step in steps:
        step(ws, cycle)


def until_it_waits(folder: Path, rows: Sequence[Row], **options: str) -> None:
    """v0 sees red and v1, the champion, green; cycle 2 is chosen by v1 and pushed into a folder."""
    manifest = [row if row[3] == "holdout" else without_labels([row])[0] for row in rows]
    with drift_project(folder, manifest, **options) as ws:
        for number in range(OPEN):
            do(ws, open_cycle(ws), *UP_TO_PUSH)
            answer(ws, number, truly(rows))
            do(ws, number, *AFTER_PUSH)
        assert ws.ledger.models.champion().name == "v1"
        do(ws, open_cycle(ws), *UP_TO_PUSH)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    folder = tmp_path_factory.mktemp("images")
    return [*write_colours(folder / "pool"), *write_holdout(folder / "holdout")]


Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Made:
    """The folder of a project as `until_it_waits` leaves it, made once for the same options."""
    found: dict[str, Path] = {}

    def make(**options: str) -> Path:
        key = json.dumps(options, sort_keys=True)
        if key not in found:
            found[key] = tmp_path_factory.mktemp("made") / "p"
            until_it_waits(found[key], rows, **options)
        return found[key]

    return make


@pytest.fixture(scope="module")
def made_of(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The same where all that is green is hardly red."""
    folder = tmp_path_factory.mktemp("hardly")
    rows = [*write_colours(folder / "pool", hardly_red=1), *write_holdout(folder / "holdout")]
    until_it_waits(folder / "p", rows)
    return lambda: folder / "p"


@contextmanager
def copied(made: Made, folder: Path, **options) -> Iterator[Workspace]:
    shutil.copytree(made(**options), folder)
    with open_workspace(folder) as ws:
        yield ws


@pytest.fixture
def ws(made: Made, tmp_path: Path) -> Iterator[Workspace]:
    with copied(made, tmp_path / "p") as ws:
        yield ws


def chosen(ws: Workspace, cycle: int = OPEN, lane: Lane = Lane.ACTIVE) -> dict[str, Sample]:
    return {item.sample.id: item.sample for item in batch_of(ws, cycle).items if item.lane is lane}


def middle(ws: Workspace, eye: int) -> float:
    """The median score of the pool, by hand: all of it fits into the reference."""
    pool = [sample for shard in ws.ledger.samples.unlabelled(shard=50) for sample in shard]
    return statistics.median(colour_of(sample, eye) for sample in pool) / 255


def fallen(ws: Workspace) -> set[str]:
    """What v1 chose and v0 finds easier than most of the pool."""
    bar = 255 * middle(ws, RED)
    return {key for key, sample in chosen(ws).items() if colour_of(sample, RED) < bar}


def queue(ws: Workspace) -> set[str]:
    file = ws.config.root / "annotation" / f"batch-{OPEN:04d}" / "tasks.jsonl"
    return {json.loads(line)["sample"] for line in file.read_text().splitlines()}


def shown(ws: Workspace) -> set[str]:
    file = ws.config.root / "annotation" / f"batch-{OPEN:04d}" / "tasks.jsonl"
    prelabels = [json.loads(line)["prelabel"] for line in file.read_text().splitlines()]
    return {prelabel["model_version"] for prelabel in prelabels if prelabel}


def drift_of(ws: Workspace, name: str = "v0") -> Drift:
    drift = roll_back(ws, name).drift
    assert drift is not None
    return drift


def only(rows: Sequence[Row], ids: set[str]) -> Callable[[Sample], dict | None]:
    return lambda sample: truly(rows)(sample) if sample.id in ids else None
