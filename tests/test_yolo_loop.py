"""The loop with a real YOLO: small networks, small scenes, and kill -9 in the middle of a training."""

import os
import signal
import subprocess
import sys
import time
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


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
def test_a_yolo_goes_round_to_its_decision(tmp_path: Path, task: Task) -> None:
    with open_workspace(yolo(tmp_path, task, steps=6)) as ws:
        for _ in range(2):
            walk(ws, open_cycle(ws), wait=True)
        rows = summarise(ws).cycles
        parents = [ws.ledger.models.of(number)[0].parent for number in range(2)]
    assert [row.labels for row in rows] == [12, 24]
    assert [row.decision is not None for row in rows] == [True, True]
    assert parents == [None, "v0"]  # trained on from the champion


def test_killed_in_the_middle_of_a_training_it_goes_on_without_a_second_model(tmp_path: Path) -> None:
    config = yolo(tmp_path, Task.DETECT, steps=400)
    command = [sys.executable, "-m", "alloop", "run", "--direct", "--config", str(config)]
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as killed:
        assert killed.stdout is not None
        training = next(line for line in killed.stdout if "train: " in line)
        children = psutil.Process(killed.pid).children(recursive=True)
        killed.send_signal(signal.SIGKILL)
    assert training.startswith("cycle 0: train: ")
    assert gone(children)
    config.write_text(config.read_text().replace("steps = 400", "steps = 6"))
    subprocess.run(command, check=True, capture_output=True, env=env, timeout=120)
    with open_workspace(config) as ws:
        assert [version.name for version in ws.ledger.models.of(0)] == ["v0"]
        assert len(list((ws.config.state / "models").rglob("*"))) == 1
        assert ws.ledger.models.champion().name == "v0"


def gone(children: list[psutil.Process]) -> bool:
    """Whether none of the processes is left after a while."""
    deadline = time.monotonic() + 30
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not any(child.is_running() for child in children)
