import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch

from alloop.errors import ConfigError, LoopError
from alloop.models.devices import seeded
from alloop.models.yolo import YoloModel
from alloop.models.yolo_environment import import_ultralytics, own_folder
from alloop.models.yolo_network import Weights, draw_design, pack_weights, read_weights
from alloop.models.yolo_training import PATIENCE_S
from alloop.nouns import Task
from alloop.testing.detection_contract import LABELS, make_scenes
from tests.models.yolo_tiny import OPTIONS, tiny

pytestmark = pytest.mark.xdist_group("yolo-training")
ENDLESS = 100_000
LAST = "model.22.cv3.0.2.weight"
PARENT = """
from pathlib import Path
from alloop.models.yolo import YoloModel
from alloop.testing.detection_contract import LABELS, make_scenes
from tests.models.yolo_tiny import OPTIONS
model = YoloModel(labels=LABELS, architecture="tiny.yaml", steps=100_000, state=Path("state"), **OPTIONS)
model.fit(make_scenes(Path("images"), 4), parent=None, out_dir=Path("out"), seed=1, progress=lambda *news: print(*news, flush=True))
"""


class Enough(Exception):
    pass


@dataclass
class Project:
    home: Path
    labels: list

    @property
    def architecture(self):
        return tiny(self.home)

    def model(self, **options):
        settings = OPTIONS | {"steps": 2, "state": self.home / "state"} | options
        return YoloModel(labels=LABELS, architecture=self.architecture, **settings)

    def fit(self, name="out", parent=None, seed=1, progress=lambda *news: None, **options):
        model = self.model(**options)
        return model.fit(self.labels, parent=parent, out_dir=self.home / name, seed=seed, progress=progress)

    @property
    def design(self):
        return draw_design(
            task=Task.DETECT, labels=LABELS, architecture=self.architecture, image_size=64, folder=own_folder()
        )

    def leftovers(self):
        return [str(path) for name in ("out", "state/trainings") for path in (self.home / name).glob("*")]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, make_scenes(tmp_path / "images", 4))


def untrained(project):
    """A parent whose weights are known: the random start of seed 5."""
    with seeded(5, torch.device("cpu")):
        weights = Weights(len(LABELS), project.design.build().state_dict())
    file = project.home / "parent.pt"
    file.write_bytes(pack_weights(weights, project.design))
    return file


def once_training(act):
    """A Progress that does `act` when the other process has begun to train."""

    def progress(what, done, total):
        if what == "train":
            act()

    return progress


def children():
    return [one for one in psutil.Process().children() if "alloop.models.yolo_train" in one.cmdline()]


def test_a_warm_start_begins_at_the_parents_weights_and_repeats_bit_for_bit(project):
    parent = untrained(project)
    first, second = (project.fit(name, parent, seed=7, learning_rate=1e-9).read_bytes() for name in "ab")
    assert first == second
    before, after = (read_weights(file, project.design).state for file in (parent, project.home / "a" / "yolo-7.pt"))
    torch.testing.assert_close(after[LAST], before[LAST], atol=1e-6, rtol=0)


def test_a_first_training_begins_at_the_users_weights(project):
    """Saved by ultralytics for 80 classes, with a head as wide as those need."""
    tasks = import_ultralytics("ultralytics.nn.tasks", state=own_folder())
    theirs = tasks.DetectionModel(project.architecture, nc=80, verbose=False)
    theirs.names = dict(enumerate(("red", *map(str, range(79)))))
    torch.save({"model": theirs, "ema": None, "train_args": {}}, project.home / "users.pt")
    file = project.fit(weights=project.home / "users.pt", learning_rate=1e-9)
    ours = read_weights(file, project.design).state
    torch.testing.assert_close(ours[LAST][0], theirs.state_dict()[LAST][0], atol=1e-6, rtol=0)


def test_an_exception_stops_the_training_cleanly(project):
    def enough():
        raise Enough

    began = time.monotonic()
    with pytest.raises(Enough):
        project.fit(steps=ENDLESS, progress=once_training(enough))
    assert time.monotonic() - began < PATIENCE_S
    assert project.leftovers() == []
    assert children() == []


@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "signal 9.*memory")])
def test_a_signal_to_the_training_is_told(project, number, told):
    act = once_training(lambda: [one.send_signal(number) for one in children()])
    with pytest.raises(LoopError, match=told):
        project.fit(steps=ENDLESS, progress=act)
    assert project.leftovers() == []


def test_a_training_dies_with_its_parent(project):
    """Killed with -9, the parent can clean up nothing itself."""
    tiny(project.home)
    command = [sys.executable, "-c", PARENT]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, cwd=project.home, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        while not parent.stdout.readline().startswith("train"):
            assert parent.poll() is None
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()
    assert project.leftovers() == []


def test_a_loss_that_is_no_number_is_told(project):
    """As a learning rate that is too high gives it; here the parent has it already."""
    parent = untrained(project)
    weights = read_weights(parent, project.design)
    weights.state[LAST].fill_(float("nan"))
    parent.write_bytes(pack_weights(weights, project.design))
    with pytest.raises(ConfigError, match=r"learning_rate = 0\.005"):
        project.fit(parent=parent)
    assert project.leftovers() == []


def test_steps_count_full_batches(project):
    """Four labels and batches of 8: each batch shows every label twice."""
    told = []
    project.fit(steps=5, progress=lambda *news: told.append(news))
    assert told[-1] == ("train", 5, 5)


def test_a_training_that_cannot_start_says_why(project):
    with pytest.raises(LoopError, match=r"lr0=2\.0"):
        project.fit(learning_rate=2.0)
    assert project.leftovers() == []
