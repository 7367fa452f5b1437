"""The process that trains: `python -m alloop.models.yolo_train job.json`, started by `alloop.models.yolo_training`.

It tells its progress as JSON lines on standard output. It ends without a trace when its standard input ends, which is
when the process that started it does, and after the batch it is at when it gets SIGTERM.
"""

import gc
import json
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

import torch

from alloop.models.yolo_dataset import class_folder
from alloop.models.yolo_environment import import_ultralytics
from alloop.models.yolo_network import Design
from alloop.models.yolo_training import STOPPED, Job
from alloop.nouns import Task

__all__ = ["main"]

TELL_S = 0.2
LOOK_S = 1.0
TRIES = 10
TRAINERS = {
    Task.DETECT: ("ultralytics.models.yolo.detect.train", "DetectionTrainer"),
    Task.SEGMENT: ("ultralytics.models.yolo.segment.train", "SegmentationTrainer"),
    Task.CLASSIFY: ("ultralytics.models.yolo.classify.train", "ClassificationTrainer"),
}


_leaving = threading.Lock()
"""Whoever holds it ends this process."""


class Stopped(Exception):
    """Somebody asked this process to stop."""


class Diverged(Exception):
    """The loss or a weight is no longer a finite number."""


def main(file: Path) -> int:
    """Do the job in `file`; the exit status is 0 when the trained weights were written."""
    content = json.loads(file.read_text(encoding="utf-8"))
    job = Job(**content | {"labels": tuple(content["labels"])})
    told = _own_output()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then asks
    threading.Thread(target=_end_with_parent, args=(job,), daemon=True).start()
    try:
        _write(_train(job, told, stop), job.result)
    except Stopped:
        return STOPPED
    except Diverged:
        _tell(told, error="diverged")
        return 1
    except Exception as error:  # whatever it is, the parent has to say it
        _tell(told, error=type(error).__name__, text=" ".join(f"{type(error).__name__}: {error}".split())[:300])
        traceback.print_exc()
        return 1
    return 0


class Quiet:
    """What a trainer of ultralytics must not do: judge itself, write its own files, look for data sets elsewhere.

    Mixed in before one of ultralytics' trainers, whose methods of these names it replaces.
    """

    job: Job
    train_loader: Any

    def get_dataset(self) -> dict[str, Any]:
        """The job's own images, without ultralytics' search, download and fonts."""
        images = Path(self.job.folder) / ("train" if self.job.task == Task.CLASSIFY else "images")
        names = dict(enumerate(self.job.labels))
        if self.job.task == Task.CLASSIFY:
            names = {number: class_folder(number) for number in names}
            for name in names.values():
                (images / name).mkdir(exist_ok=True)  # ultralytics counts the folders
        return {"train": str(images), "val": str(images), "names": names, "nc": len(names), "channels": 3}

    def get_dataloader(self, path: str, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """There is nothing to validate on: the holdout is not for choosing weights."""
        if mode == "val":
            return self.train_loader
        return super().get_dataloader(path, batch_size, rank, mode)  # type: ignore[misc]

    def validate(self) -> tuple[dict[str, float], None]:
        """Ultralytics validates after the last epoch even with val=False."""
        return {}, None

    def final_eval(self) -> None:
        """Nor at the end."""

    def save_model(self) -> bool:
        """Its files are pickles of code, in half precision."""
        return False

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Nobody reads its results.csv."""

    def _handle_nan_recovery(self, epoch: int) -> bool:  # noqa: ARG002  (ultralytics passes it)
        """Going back to an epoch's file would hide that the learning rate is too high."""
        return False


def _train(job: Job, told: TextIO, stop: threading.Event) -> dict[str, torch.Tensor]:
    """The smoothed weights after the last step, as a state dict."""
    state = Path(job.state)
    module, name = TRAINERS[Task(job.task)]
    base = getattr(import_ultralytics(module, state=state), name)
    _tame(state, job.threads)
    trainer = type("Trainer", (Quiet, base), {"job": job})(overrides=_settings(job))
    torch.set_num_threads(job.threads)
    trainer.model = _network(job)
    news = _News(told, stop)
    trainer.add_callback("on_train_batch_start", news.look)
    trainer.add_callback("on_train_batch_end", news.tell)
    gc.freeze()  # what has been imported is no garbage: ultralytics collects after each epoch, which took 0.2 s
    trainer.train()
    weights: dict[str, torch.Tensor] = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in trainer.ema.ema.state_dict().items()
    }
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise Diverged
    return weights


def _tame(state: Path, threads: int) -> None:
    """What ultralytics 8.4 does to every process that trains, unless it is kept from it."""
    import_ultralytics("ultralytics.utils.torch_utils", state=state).NUM_THREADS = threads
    import_ultralytics("ultralytics.utils.callbacks", state=state).add_integration_callbacks = lambda _: None


def _settings(job: Job) -> dict[str, Any]:
    """Measured 2026-11 on 283 images: AdamW with nbs = batch learns 2.5 to 4 times as much per epoch as the defaults."""
    plain = {"auto_augment": None, "erasing": 0.0, "fliplr": 0.0} if job.task == Task.CLASSIFY else {}
    return {
        "model": job.architecture,
        "task": job.task,
        "data": job.folder,
        "project": job.folder,
        "name": "run",
        "exist_ok": True,
        "epochs": job.epochs,
        "batch": job.batch,
        "nbs": job.batch,
        "imgsz": job.image_size,
        "optimizer": "AdamW",
        "lr0": job.learning_rate,
        "warmup_epochs": 1.0,
        "warmup_bias_lr": 0.0,  # its default of 0.1 is meant for SGD, and throws a warm start away
        "mosaic": 0.5,
        "close_mosaic": min(10, job.epochs // 4),
        "patience": 0,
        "seed": job.seed,
        "deterministic": True,
        "device": job.device,
        "workers": 0,
        "amp": False,  # on a GPU its check downloads a network
        "val": False,
        "save": False,
        "plots": False,
        "verbose": False,
        **plain,
    }


def _network(job: Job) -> torch.nn.Module:
    """From the weights to start from, or a random start: ultralytics has seeded torch by now."""
    design = Design(Task(job.task), job.labels, job.architecture, job.image_size, job.layout, Path(job.state))
    if not job.start.exists():
        return design.build()
    start = torch.load(job.start, map_location="cpu", weights_only=True)
    network = design.build(start["born"])
    network.load_state_dict(start["state"])
    return network


class _News:
    """Tells how far the training is, and looks whether it has to stop."""

    def __init__(self, told: TextIO, stop: threading.Event) -> None:
        self._told = told
        self._stop = stop
        self._done = 0
        self._last = 0.0

    def look(self, trainer: Any) -> None:
        del trainer
        if self._stop.is_set():
            raise Stopped

    def tell(self, trainer: Any) -> None:
        self._done += 1
        total = trainer.epochs * len(trainer.train_loader)
        if self._done < total and time.monotonic() - self._last < TELL_S:
            return
        self._last = time.monotonic()
        loss = float(trainer.loss.detach())
        if loss != loss:
            raise Diverged
        _tell(self._told, done=self._done, total=max(total, self._done), loss=loss)


def _tell(told: TextIO, **news: Any) -> None:
    try:
        told.write(json.dumps(news) + "\n")
        told.flush()
    except BrokenPipeError:
        threading.Event().wait()  # whoever started this is gone: the thread that watches it tidies up and ends us


def _own_output() -> TextIO:
    """Standard output for us alone; whatever else prints there goes to the log."""
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return mine


def _end_with_parent(job: Job) -> None:
    """A copy of the pipe's other end can live on in a fork of the parent, hence a look at the parent as well."""
    parent = os.getppid()
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], LOOK_S)
        if ready and not os.read(0, 1):
            break
    with _leaving:
        for _ in range(TRIES):  # the training may be writing
            shutil.rmtree(job.folder, ignore_errors=True)
            if not Path(job.folder).exists():
                break
            time.sleep(TELL_S)
        os._exit(1)


def _write(weights: dict[str, torch.Tensor], path: Path) -> None:
    torch.save(weights, path)


def _end(status: int) -> NoReturn:
    """At once: taking torch down piece by piece took 0.8 s of processor time, a fifth of a short training (2026-11)."""
    with _leaving:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _end(main(Path(sys.argv[1])))
