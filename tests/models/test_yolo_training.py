import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest
import torch

from alloop.errors import ConfigError, LoopError
from alloop.models.devices import seeded
from alloop.models.yolo import YoloModel
from alloop.models.yolo_environment import import_ultralytics, own_folder
from alloop.models.yolo_network import Weights, draw_design, pack_weights, read_weights
from alloop.models.yolo_training import PATIENCE_S, Job
from alloop.nouns import Task
from alloop.testing.detection_contract import LABELS, make_scenes
from tests.models.yolo_tiny import OPTIONS, tiny

pytestmark = pytest.mark.xdist_group("yolo-training")
ENDLESS = 100_000
LAST = "model.22.cv3.0.2.weight"


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


@contextmanager
def signalled(number):
    """Within it a training's process gets the signal as soon as there is one, while it still imports torch."""

    def wait():
        while not over.is_set() and not (found := children()):
            time.sleep(0.01)
        if not over.is_set():
            found[0].send_signal(number)

    over, thread = threading.Event(), threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass
class WarmStart:
    """A training on four labels for five steps that changes next to nothing, what it told, and its parent's weights."""

    before: dict
    after: dict
    told: list


@pytest.fixture(scope="module")
def warm_start(tmp_path_factory):
    home, told = tmp_path_factory.mktemp("warm"), []
    project = Project(home, make_scenes(home / "images", 4))
    parent = untrained(project)
    file = project.fit(parent=parent, steps=5, learning_rate=1e-9, progress=lambda *news: told.append(news))
    before, after = (read_weights(path, project.design).state for path in (parent, file))
    return WarmStart(before, after, told)


def test_a_warm_start_begins_at_the_parents_weights(warm_start):
    torch.testing.assert_close(warm_start.after[LAST], warm_start.before[LAST], atol=1e-6, rtol=0)


def test_steps_count_full_batches(warm_start):
    """Four labels and batches of 8: each batch shows every label twice."""
    assert warm_start.told[-1] == ("train", 5, 5)


def test_an_exception_stops_the_training_cleanly(project):
    def enough():
        raise Enough

    began = time.monotonic()
    with pytest.raises(Enough):
        project.fit(steps=ENDLESS, progress=once_training(enough))
    assert time.monotonic() - began < PATIENCE_S
    assert project.leftovers() == []
    assert children() == []


def test_what_nobody_listens_to_any_more_is_tidied_up_by_the_one_who_watches_the_parent(tmp_path):
    """A parent that dies closes both pipes at once; whatever fails first must not end the process before that."""
    folder = tmp_path / "training"
    folder.mkdir()
    job = Job(str(folder), str(tmp_path / "state"), "none", LABELS, "tiny", {}, 64, 1, 8, 0.01, 1, 1, "cpu")  # it fails
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    command = [sys.executable, "-m", "alloop.models.yolo_train", str(folder / "job.json")]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], **streams) as process:
        process.stdout.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.stdin.close()
        process.wait(20)
    assert not folder.exists()


def test_sigterm_to_the_training_is_told(project):
    act = once_training(lambda: [one.terminate() for one in children()])
    with pytest.raises(LoopError, match="SIGTERM"):
        project.fit(steps=ENDLESS, progress=act)
    assert project.leftovers() == []


@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "signal 9.*memory")])
def test_a_signal_before_it_can_be_handled_is_told(project, number, told):
    with signalled(number), pytest.raises(LoopError, match=told):
        project.fit(steps=ENDLESS)
    assert project.leftovers() == []


def test_a_first_training_begins_at_the_users_weights_and_a_loss_that_is_no_number_is_told(project):
    """A learning rate that is too high gives such a loss; here a weight of the user's is none, and ours never are.

    The weights are as ultralytics saves them, for 80 classes, with a head as wide as those need.
    """
    tasks = import_ultralytics("ultralytics.nn.tasks", state=own_folder())
    theirs = tasks.DetectionModel(project.architecture, nc=80, verbose=False)
    theirs.names = dict(enumerate(("red", *map(str, range(79)))))
    theirs.state_dict()[LAST][0].fill_(float("nan"))
    torch.save({"model": theirs, "ema": None, "train_args": {}}, project.home / "users.pt")
    with pytest.raises(ConfigError, match=r"learning_rate = 0\.01"):
        project.fit(weights=project.home / "users.pt")
    assert project.leftovers() == []


def test_a_training_that_cannot_start_says_why(project):
    with pytest.raises(LoopError, match=r"lr0=2\.0"):
        project.fit(learning_rate=2.0)
    assert project.leftovers() == []
