"""The same seed tells the same story; two projects do not see each other; two processes do nothing twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alloop.cycle import open_cycle, patiently, score_pool
from alloop.errors import LeaseHeld
from alloop.nouns import STEPS
from alloop.summary import summarise
from alloop.workspace import open_workspace
from tests.loop_project import Row, for_holdout, project, story, write_digits
from tests.small_project import run_cycles, run_until_pushed

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    digits = write_digits(tmp_path_factory.mktemp("digits") / "images", 110)
    blends = [(uri, "unclear", group, split) for uri, _, group, split in digits[100:]]
    return for_holdout(digits[:30]) + digits[30:100] + blends


@pytest.mark.parametrize("model", ["tests.small_project:nearest_centroid", "classifier"])
def test_the_same_seed_tells_the_same_story_twice(tmp_path: Path, rows: list[Row], model: str) -> None:
    told = []
    for name in ("a", "b"):
        with project(tmp_path / name, rows, model=model) as ws:
            run_cycles(ws, 3)
            told.append(story(ws))
    assert told[0] == told[1]


def test_another_seed_tells_another_one(tmp_path: Path, rows: list[Row]) -> None:
    told = []
    for seed in (1, 2):
        with project(tmp_path / str(seed), rows, seed=seed, name="same") as ws:
            run_cycles(ws, 2)
            told.append(story(ws)["asked"])
    assert told[0] != told[1]


def test_the_name_of_a_project_is_no_seed(tmp_path: Path, rows: list[Row]) -> None:
    told = []
    for name in ("a", "b"):
        with project(tmp_path / name, rows, name=name) as ws:
            run_cycles(ws, 2)
            told.append(story(ws)["asked"])
    assert told[0] == told[1]


# Two projects in one ledger


def test_two_projects_in_one_ledger_do_not_see_each_other(tmp_path: Path, rows: list[Row]) -> None:
    shared = f"sqlite:///{tmp_path / 'shared.db'}"
    with project(tmp_path / "alone", rows) as alone:
        run_cycles(alone, 3)
        expected = story(alone)
    with project(tmp_path / "a", rows, ledger=shared) as a, project(tmp_path / "b", rows, ledger=shared) as b:
        run_until_pushed(a)
        before = story(b)
        assert (before["decisions"], before["asked"], before["hours"]) == ((), [], 0)
        assert summarise(b).counts.unlabelled == 80
        for _ in range(3):
            run_cycles(b, 1)
            run_cycles(a, 1)
        assert story(a) == expected
        assert story(b) == expected


# Two processes on one project


def alloop(config: Path, cycles: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "alloop", "run", "--direct", "--cycles", str(cycles), "--config", str(config)]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def test_two_processes_at_once_end_with_one_consistent_ledger(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "alone", rows) as ws:
        run_cycles(ws, 3)
        expected = story(ws)
    with project(tmp_path / "both", rows) as ws:
        running = [alloop(ws.config.file, 3) for _ in range(2)]
        said = [child.communicate(timeout=120) for child in running]
        assert [child.returncode for child in running] == [0, 0], said
        assert all("Traceback" not in err for _, err in said)
        together = story(ws)
        cycles = len(together["asked"])
        assert all(len(ws.ledger.steps.of(number)) == len(STEPS) for number in range(cycles))
        models = [model for number in together["models"] for model in number]
        assert len(models) == cycles + 1, "one for each cycle, and the second training of cycle 1"
        asked = [sample for batch in together["asked"] for sample, *_ in batch]
        assert len(asked) == len(set(asked))
    assert {key: together[key][:3] for key in ("decisions", "asked", "labels", "models")} == {
        key: expected[key] for key in ("decisions", "asked", "labels", "models")
    }


def test_who_finds_a_step_held_waits_says_for_whom_and_goes_on(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        cycle, told = open_cycle(ws), list[str]()
        held = ws.ledger.steps.begin(cycle, "score_pool", lease_s=1.0)
        assert held is not None
        patiently(score_pool, ws.telling(lambda what, *_: told.append(what)), cycle)
        assert ws.ledger.steps.facts(cycle, "score_pool")["samples"] == 80
        assert told[0] == (
            f"cycle 0: waiting here, because score_pool of cycle 0 is being done by process {os.getpid()} on "
            f"{os.uname().nodename}"
        )


def test_who_waits_for_long_says_so_once(tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alloop.cycle.LOOK_AGAIN_S", 0.2)
    with project(tmp_path / "p", rows) as ws:
        cycle, told = open_cycle(ws), list[str]()
        ws.ledger.steps.begin(cycle, "score_pool", lease_s=1.0)
        patiently(score_pool, ws.telling(lambda what, *_: told.append(what)), cycle)
        assert len([what for what in told if "waiting" in what]) == 1


def test_a_single_step_does_not_wait(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        cycle = open_cycle(ws)
        ws.ledger.steps.begin(cycle, "score_pool", lease_s=60)
        with pytest.raises(LeaseHeld, match="is being done by process"):
            score_pool(ws, cycle)


def test_what_a_killed_process_held_is_taken_over_at_once(tmp_path: Path, rows: list[Row]) -> None:
    program = (
        "import os, sys, signal; from pathlib import Path; from alloop.workspace import open_workspace\n"
        "with open_workspace(Path(sys.argv[1])) as ws:\n"
        "    ws.ledger.steps.begin(0, 'score_pool', lease_s=3600); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with project(tmp_path / "p", rows) as ws:
        open_cycle(ws)
        subprocess.run([sys.executable, "-c", program, str(ws.config.file)], check=False, cwd=CHECKOUT)
        assert len(ws.ledger.steps.of(0)) == 1
        with open_workspace(ws.config) as again:
            score_pool(again, 0)
        assert ws.ledger.steps.of(0)[0].finished_at is not None
