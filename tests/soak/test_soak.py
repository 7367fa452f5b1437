"""`alloop up` by itself for three cycles while its children are killed: the ledger ends as if nothing had happened.

Run by `make soak`; a plain pytest leaves it alone, since it takes minutes.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle as again
from pathlib import Path
from typing import Any

import psutil
import pytest

from alloop.workspace import open_workspace
from tests.wiring.conftest import build_project, digit_files  # noqa: F401 (fixtures)
from tests.wiring.deployed_up import Up, environment, ready, until
from tests.wiring.test_kill import alloop, story

CYCLES = 3
LIVE = """
clock = "wall"
annotators = 3
pickup_hours = 0
seconds_per_sample = 2.0
"""
"""Fifteen seconds or so for a batch of 20."""
EVERY_S = 17.0
"""Not in step with the minute of the cron line: else each run that opens a cycle is the one that is killed."""
PATIENCE_S = 400.0
STOP_S = 15.0
UP = ("--cron", "* * * * *", "--watch-s", "5")


@pytest.fixture(scope="module")
def make(build_project: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:  # noqa: F811
    def made(name: str) -> Path:
        config = build_project(
            tmp_path_factory.mktemp(name) / "project", loop='\n[switching]\non_exhausted = "continue"'
        )
        text = config.read_text().replace("poll_s = 3600", "poll_s = 5").replace("pickup_hours = 1\n", LIVE)
        config.write_text(text)
        return config

    return made


@pytest.fixture(scope="module")
def undisturbed(make: Callable[[str], Path]) -> Callable[[int], dict[str, Any]]:
    """What the ledger holds after so many cycles of `alloop run`."""
    config = make("undisturbed")
    told: dict[int, dict[str, Any]] = {}
    for number in range(1, CYCLES + 1):
        done = alloop("run", "--direct", "--config", str(config))
        assert done.returncode == 0, done.stderr
        told[number] = story(config)
    return told.__getitem__


def closed(config: Path) -> int:
    with open_workspace(config) as ws:
        return len(ws.ledger.decisions.all())


def kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def victims(up: Up) -> Iterator[str]:
    """Kills one part after the other, at every second turn the process of a flow run if there is one."""
    for name in again(["relay", "runner", "service", "server"]):
        parts = up.parts()
        if "runner" in parts:
            for run in parts["runner"].children():
                kill(run)
                yield "run"
        if name in parts:
            kill(parts[name])
            yield name


def test_three_cycles_pass_while_every_part_is_killed_again_and_again(
    make: Callable[[str], Path], undisturbed: Callable[[int], dict[str, Any]]
) -> None:
    config, killed = make("killed"), []
    with ready(config, *UP, env=environment()) as up:
        deadline, victim = time.monotonic() + PATIENCE_S, victims(up)
        while closed(config) < CYCLES:
            assert time.monotonic() < deadline, f"{closed(config)} cycles after the death of {killed}"
            time.sleep(EVERY_S)
            killed.append(next(victim))
        began = time.monotonic()
        up.stop(signal.SIGTERM)
        assert time.monotonic() - began < STOP_S
    print(f"killed: {killed}")
    assert set(killed) >= {"relay", "runner", "service", "server"}
    assert first(story(config)) == undisturbed(CYCLES)


def first(told: dict[str, Any]) -> dict[str, Any]:
    """Without a cycle that was opened after the last of them."""
    return {name: value[:CYCLES] if isinstance(value, list | tuple) else value for name, value in told.items()}


def test_runner_and_run_are_killed_at_the_end_of_each_step_and_the_cycle_ends(
    make: Callable[[str], Path], undisturbed: Callable[[int], dict[str, Any]], tmp_path: Path
) -> None:
    config = make("deadly")
    marks = tmp_path / "marks"
    marks.mkdir()
    dying = str(Path(__file__).with_name("dying"))
    env = environment(ALLOOP_SOAK_MARKS=str(marks))
    env["PYTHONPATH"] = ":".join(filter(None, [dying, env.get("PYTHONPATH")]))
    with ready(config, *UP, env=env) as up:
        until(lambda: closed(config) == 1, within_s=PATIENCE_S)
        up.stop(signal.SIGTERM)
    assert len(list(marks.iterdir())) == 7
    told = story(config)
    expected = undisturbed(1)
    for name in ("decisions", "batches", "refs", "labels", "models"):
        assert told[name][:1] == expected[name][:1]
