"""The loop with a real YOLO: small networks, small scenes, and kill -9 in the middle of a training."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from alloop.cycle import open_cycle, walk
from alloop.nouns import Task
from alloop.summary import summarise
from alloop.workspace import open_workspace
from tests.models.yolo_tiny import tiny
from tests.scene_project import scene_project

CHECKOUT = Path(__file__).parents[1]
MODEL = """image_size = 64
architecture = "{yaml}"
steps = {steps}
batch_size = 8
threads = 1
device = "cpu"
"""


def yolo(folder: Path, task: Task, *, steps: int) -> Path:
    """A project whose model is a tiny YOLO."""
    yaml = tiny(folder / "network", "-seg" if task is Task.SEGMENT else "")
    with scene_project(folder / "p", task=task, ladder=["auto"], model=MODEL.format(yaml=yaml, steps=steps)):
        pass
    config = folder / "p" / "alloop.toml"
    config.write_text(config.read_text().replace("tests.scene_project:make_detector", "yolo"))
    return config


@dataclass(frozen=True)
class Killed:
    """What was to be seen when `alloop run` was killed, and the project after the loop went on to its decision."""

    told: str
    children_gone: bool
    left: list[Path]
    config: Path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Killed in the middle of the first training, and then two cycles of the same project."""
    config = yolo(tmp_path_factory.mktemp("killed"), Task.DETECT, steps=400)
    command = [sys.executable, "-m", "alloop", "run", "--direct", "--config", str(config)]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        assert process.stdout is not None
        training = next(line for line in process.stdout if "train: " in line)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    seen = Killed(training, bool(children) and gone(children), list(trainings(config).iterdir()), config)
    config.write_text(config.read_text().replace("steps = 400", "steps = 6"))
    two_cycles(config)
    return seen


def trainings(config: Path) -> Path:
    """The folder in which a training keeps its files while it runs."""
    return config.parent / ".alloop" / "yolo" / "trainings"


def two_cycles(config: Path) -> None:
    """The loop, to the decision of cycle 1."""
    with open_workspace(config) as ws:
        for _ in range(2):
            walk(ws, open_cycle(ws), wait=True)


def decided(config: Path) -> None:
    """That two cycles ended in decisions, and the second model went on from the first."""
    with open_workspace(config) as ws:
        rows = summarise(ws).cycles
        parents = [ws.ledger.models.of(number)[0].parent for number in range(2)]
    assert [row.labels for row in rows] == [12, 24]
    assert [row.decision is not None for row in rows] == [True, True]
    assert parents == [None, "v0"]  # trained on from the champion


def test_a_segmenter_goes_round_to_its_decision(tmp_path: Path) -> None:
    config = yolo(tmp_path, Task.SEGMENT, steps=6)
    two_cycles(config)
    decided(config)


@pytest.mark.xdist_group("yolo-killed")
class TestKilledInTheMiddleOfATraining:
    """kill -9 lets the killed process clean up nothing itself."""

    def test_the_training_was_on(self, killed: Killed) -> None:
        assert killed.told.startswith("cycle 0: train: ")

    def test_the_training_dies_too(self, killed: Killed) -> None:
        assert killed.children_gone

    def test_the_training_leaves_no_files(self, killed: Killed) -> None:
        assert killed.left == []

    def test_the_rerun_goes_on_without_a_second_model(self, killed: Killed) -> None:
        with open_workspace(killed.config) as ws:
            assert [version.name for version in ws.ledger.models.of(0)] == ["v0"]
            files = [version.sha256 for number in range(2) for version in ws.ledger.models.of(number)]
            assert len(list((ws.config.state / "models").rglob("*"))) == len(set(files)) == 2

    def test_a_detector_goes_round_to_its_decision(self, killed: Killed) -> None:
        decided(killed.config)


def gone(children: list[psutil.Process]) -> bool:
    """Whether none of the processes is left after a while."""
    deadline = time.monotonic() + 30
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not any(child.is_running() for child in children)
