"""Training in a process of its own: ultralytics changes seeds, threads and much else of the process it trains in.

The other side is `alloop.models.yolo_train`. It ends with this process, however this one ends.
"""

import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from alloop.errors import ConfigError, LoopError
from alloop.models.training import Schedule
from alloop.models.yolo_dataset import count_entries, write_dataset
from alloop.models.yolo_environment import REMOVED, variables
from alloop.models.yolo_network import Design, Weights
from alloop.nouns import Progress, TrainingLabel

__all__ = ["STOPPED", "Job", "Training", "train_apart"]

STOPPED = 143
"""128 + SIGTERM, as shells say it."""
PATIENCE_S = 15.0
"""How long a training may take to stop when asked: it ends after the batch it is at."""


@dataclass(frozen=True, eq=False)
class Training:
    """What to train and how: `start` None is a random start drawn from the seed."""

    design: Design
    schedule: Schedule
    start: Weights | None
    seed: int
    threads: int
    device: torch.device


@dataclass(frozen=True)
class Job:
    """What the other process is told, as JSON; every path is absolute."""

    folder: str
    state: str
    task: str
    labels: tuple[str, ...]
    architecture: str
    layout: dict[str, Any]
    image_size: int
    epochs: int
    batch: int
    learning_rate: float
    seed: int
    threads: int
    device: str

    @property
    def start(self) -> Path:
        """Weights to start from, if there are any."""
        return Path(self.folder) / "start.pt"

    @property
    def result(self) -> Path:
        """The trained weights."""
        return Path(self.folder) / "result.pt"

    @property
    def log(self) -> Path:
        """Whatever the training prints."""
        return Path(self.folder) / "log.txt"


def train_apart(training: Training, labels: Sequence[TrainingLabel], *, progress: Progress) -> Weights:
    """The weights after `schedule.steps` steps, at least, of full batches; whole passes over the labels are made.

    ConfigError when training diverged, LoopError when its process failed. Its files are gone afterwards.
    """
    design, schedule = training.design, training.schedule
    with _work_folder(design.folder / "trainings") as folder:
        write_dataset(
            labels,
            folder,
            task=design.task,
            label_set=design.labels,
            size=design.image_size,
            batch=schedule.batch_size,
            seed=training.seed,
            progress=progress,
        )
        job = _job(training, folder, samples=len(labels))
        born = len(design.labels)
        if training.start is not None:
            born = training.start.born
            torch.save({"born": born, "state": training.start.state}, job.start)
        _run(job, progress)
        state = torch.load(io.BytesIO(job.result.read_bytes()), map_location="cpu", weights_only=True)
    return Weights(born, state)


def _job(training: Training, folder: Path, *, samples: int) -> Job:
    design, schedule = training.design, training.schedule
    steps_per_epoch = count_entries(samples, schedule.batch_size) // schedule.batch_size
    device = training.device
    return Job(
        folder=str(folder),
        state=str(design.folder),
        task=design.task.value,
        labels=design.labels,
        architecture=design.architecture,
        layout=design.layout,
        image_size=design.image_size,
        epochs=math.ceil(schedule.steps / steps_per_epoch),
        batch=schedule.batch_size,
        learning_rate=schedule.learning_rate,
        seed=training.seed,
        threads=training.threads,
        device=device.type if device.type != "cuda" else str(device.index or 0),
    )


def _run(job: Job, progress: Progress) -> None:
    """Start the other process and pass on what it tells, line by line, until it has ended well."""
    file = Path(job.folder) / "job.json"
    file.write_text(json.dumps(asdict(job)), encoding="utf-8")
    failure: dict[str, str] = {}
    with job.log.open("wb") as log, _started(file, job, log) as process:
        assert process.stdout is not None
        for line in process.stdout:
            news = json.loads(line)
            if "error" in news:
                failure = news
            else:
                progress("train", news["done"], news["total"])
        code = process.wait()
    if code:
        raise _failure(code, failure, job)


@contextmanager
def _started(file: Path, job: Job, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The training as a process that is gone afterwards, whatever happened: asked to stop first, then killed."""
    command = [sys.executable, "-m", "alloop.models.yolo_train", str(file)]
    threads = {name: str(job.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    environment = os.environ | variables(Path(job.state)) | threads
    for name in REMOVED:
        environment.pop(name, None)
    process = subprocess.Popen(  # noqa: S603  (our own module)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment
    )
    try:
        with process:
            try:
                yield process
            finally:
                _stop(process)
    finally:
        process.kill()


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _failure(code: int, failure: dict[str, str], job: Job) -> ConfigError | LoopError:
    if failure.get("error") == "diverged":
        return ConfigError(f"training of {job.architecture} diverged; lower model.learning_rate = {job.learning_rate}")
    if code in (STOPPED, -signal.SIGTERM):  # the latter while it still imports torch
        return LoopError(f"training of {job.architecture} was asked to stop by SIGTERM; run it again")
    if code < 0:
        return LoopError(
            f"the training process was ended by signal {-code}, perhaps for want of memory;"
            f" lower model.batch_size = {job.batch} or model.image_size = {job.image_size}"
        )
    told = failure.get("text") or _last_line(job.log)
    return LoopError(f"training of {job.architecture} failed ({told}); mend that and run it again")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
