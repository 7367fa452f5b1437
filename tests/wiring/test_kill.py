"""kill -9 in the middle of each step, in a real process: the same command again ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alloop.workspace import open_workspace

pytestmark = pytest.mark.xdist_group("prefect")

CYCLES = 3
LAST_ACT = {
    "score_pool": ("alloop.ledger.batches", "Batches.record_scores"),
    "diversity_select": ("alloop.ledger.batches", "Batches.record"),
    "push_to_annotation": ("alloop.ledger.batches", "Batches.confirm"),
    "wait_for_labels": ("alloop.ledger.labels", "Labels.close_batch"),
    "retrain": ("alloop.ledger.models", "Models.record"),
    "holdout_eval": ("alloop.ledger.models", "Models.record_evaluations"),
    "strategy_switch": ("alloop.ledger.decisions", "Decisions.record"),
}
"""What a step does last: its work is done then, and the ledger does not know it yet."""

DYING = """
import importlib, os, signal, sys
module, verb, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
owner, name = verb.split(".")
owner = getattr(importlib.import_module(module), owner)
keep, calls = getattr(owner, name), []
def die(*args, **kwargs):
    calls.append(1)
    if len(calls) == times:
        os.kill(os.getpid(), signal.SIGKILL)
    return keep(*args, **kwargs)
setattr(owner, name, die)
sys.argv = ["alloop", *sys.argv[4:]]
from alloop.cli import main
main()
"""


def alloop(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alloop", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=os.environ | (env or {}))


def alloop_that_dies(step: str, times: int, *arguments: str, env: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-c", DYING, *LAST_ACT[step], str(times), *arguments]
    return subprocess.run(command, capture_output=True, timeout=240, env=os.environ | (env or {})).returncode


def story(config: Path) -> dict[str, Any]:
    """Everything that a run decided, without the times."""
    with open_workspace(config) as ws:
        numbers = [cycle.number for cycle in ws.ledger.cycles.all()]
        return {
            "decisions": ws.ledger.decisions.all(),
            "batches": [[(i.sample.id, i.rank, i.lane) for i in ws.ledger.batches.get(n).items] for n in numbers],
            "refs": [dict(ws.ledger.batches.refs(n)) for n in numbers],
            "labels": [ws.ledger.labels.training_set(n).hash for n in numbers],
            "models": [[(m.name, m.sha256, m.labels) for m in ws.ledger.models.of(n)] for n in numbers],
            "files": len(list((config.parent / ".alloop" / "models").iterdir())),
            "hours": ws.ledger.labels.annotator_hours(),
        }


@pytest.fixture(scope="module")
def undisturbed(build_project: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    config = build_project(tmp_path_factory.mktemp("undisturbed") / "project")
    done = alloop("run", "--direct", "--cycles", str(CYCLES), "--config", str(config))
    assert done.returncode == 0, done.stderr
    return story(config)


def run_to_the_end(config: Path, *options: str, env: dict[str, str] | None = None) -> None:
    with open_workspace(config) as ws:
        left = CYCLES - len(ws.ledger.decisions.all())
    done = alloop("run", *options, "--cycles", str(left), "--config", str(config), env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("step", LAST_ACT)
def test_killed_in_a_step_the_loop_goes_on_where_it_was(
    make_project: Callable[..., Path], undisturbed: dict[str, Any], step: str
) -> None:
    config = make_project()
    status = alloop_that_dies(step, 2, "run", "--direct", "--cycles", str(CYCLES), "--config", str(config))
    assert status == -signal.SIGKILL
    run_to_the_end(config, "--direct")
    assert story(config) == undisturbed


def test_killed_under_prefect_the_loop_goes_on_where_it_was(
    make_project: Callable[..., Path], undisturbed: dict[str, Any], prefect_api: str
) -> None:
    config, env = make_project(), {"PREFECT_API_URL": prefect_api}
    status = alloop_that_dies("retrain", 1, "run", "--cycles", str(CYCLES), "--config", str(config), env=env)
    assert status == -signal.SIGKILL
    run_to_the_end(config, env=env)
    assert story(config) == undisturbed
