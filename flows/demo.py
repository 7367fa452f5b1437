"""The whole loop on real handwritten digits: as a classifier beside random batches, or as a detector in scenes."""

import json
from contextlib import ExitStack
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from alloop.config import load_config
from alloop.cycle import open_cycle, walk
from alloop.demo_data import AMBIGUOUS, DIGITS, write_digits
from alloop.demo_scenes import SCENE_LABELS, write_scenes
from alloop.formats.labelled_images import Wanted, open_labels
from alloop.manifest import Source
from alloop.nouns import Action
from alloop.pool import add_to_pool
from alloop.progress import current_progress
from alloop.report import write_report
from alloop.workspace import PoolStore, Workspace, open_workspace
from flows.cycle import run_cycle

__all__ = ["prepare_digits", "prepare_scenes", "run_demo"]

SEED = 7
DIGITS_TOML = """\
# The settings of `alloop demo`: ten digits, three annotators made of random numbers, one hour a virtual one.
[project]
name = "{name}"
task = "classify"
labels = {labels}
seed = {seed}

[model]
kind = "classifier"
image_size = 16
steps = 200
threads = 1

[loop]
batch = 40
ladder = {ladder}
poll_s = 900

[switching]
rule = "{rule}"
unclear_bound = 0.3
on_exhausted = "continue"

[annotation]
tool = "simulated"

[annotation.simulated]
annotators = 3
error_rate = 0.03
pickup_hours = 12
seconds_per_sample = 1500
ambiguous = "{ambiguous}"
"""
SCENES_TOML = """\
# The settings of `alloop demo --task detect`: digits in scenes, a small YOLOv8 from its yaml, annotators on a virtual clock.
[project]
name = "scenes"
task = "detect"
labels = {labels}
seed = {seed}

[model]
kind = "yolo"
architecture = "yolov8n"
image_size = 160
batch_size = 16
steps = 150
learning_rate = 0.004
threads = 1                     # for networks this small two threads take two and a half times the work of one

[loop]
batch = 60
ladder = ["auto", "disagreement-kmeans"]
poll_s = 900

[committee]
kind = "views"                  # the same detector on the mirrored image

[switching]
replicates = 2                  # cycle 1 trains twice, to see how much the seed alone moves the holdout

[annotation]
tool = "simulated"

[annotation.simulated]
annotators = 3
pickup_hours = 6
seconds_per_sample = 900
"""


def prepare_digits(out: Path) -> Path:
    """Write the digits and two projects into `out`, the loop and its random twin, and give the loop's settings."""
    out.mkdir(parents=True, exist_ok=True)
    manifest = write_digits(out / "digits", seed=SEED)
    ladder = ("entropy", "auto", "margin")
    loop = _settings(out / "alloop.toml", "digits", ladder, rule="evidence")
    twin = _settings(out / "random.toml", "digits-random", ("random",), rule="off")
    for config in (loop, twin):
        with open_workspace(config, progress=current_progress()) as ws:
            _add(ws, str(manifest))
    return loop


def prepare_scenes(out: Path) -> Path:
    """Write the scenes and a project into `out`, and give its settings."""
    out.mkdir(parents=True, exist_ok=True)
    scenes = write_scenes(out / "scenes", seed=SEED)
    config = out / "alloop.toml"
    config.write_text(SCENES_TOML.format(labels=json.dumps(SCENE_LABELS), seed=SEED), encoding="utf-8")
    with open_workspace(config, progress=current_progress()) as ws:
        wanted = Wanted(str(scenes.manifest), scenes.coco, ws.config.project.labels, ws.config.project.task)
        with open_labels(wanted) as source:
            _add(ws, source)
    return config


def _add(ws: Workspace, source: str | Source) -> None:
    add_to_pool(
        source, store=PoolStore(ws), labels=ws.manifest_labels, task=ws.config.project.task, progress=ws.progress
    )


def _settings(path: Path, name: str, ladder: tuple[str, ...], *, rule: str) -> Path:
    text = DIGITS_TOML.format(
        name=name, labels=list(DIGITS), seed=SEED, ladder=list(ladder), rule=rule, ambiguous=AMBIGUOUS
    )
    path.write_text(text.replace("'", '"'), encoding="utf-8")
    return path


@flow(name="demo", persist_result=False)
def run_demo(config: str, cycles: int) -> str:
    """Walk until there are `cycles` closed cycles, then the random twin as far if there is one, and write the report."""
    project = load_config(Path(config)).project.name
    while (number := _next(config, cycles)) is not None:
        run_cycle(config, project, number)
    beside = Path(config).with_name("random.toml")
    twin = walk_twin(str(beside), cycles) if beside.exists() else None
    return report(config, twin)


def _next(config: str, cycles: int) -> int | None:
    """The cycle to walk, or none when there are enough."""
    with open_workspace(Path(config)) as ws:
        decisions = ws.ledger.decisions.all()
        ended = bool(decisions) and decisions[-1].action in (Action.HOLD, Action.STOP)
        return None if len(decisions) >= cycles or ended else open_cycle(ws)


@task(name="random-baseline", cache_policy=NO_CACHE, persist_result=False)
def walk_twin(config: str, cycles: int) -> str:
    """The same loop with random batches, without a flow run for each of its cycles."""
    with open_workspace(Path(config), progress=current_progress()) as ws:
        while len(ws.ledger.decisions.all()) < cycles:
            walk(ws, open_cycle(ws), wait=True)
    return config


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(config: str, twin: str | None) -> str:
    """One HTML page beside the settings."""
    with ExitStack() as opened:
        ws = opened.enter_context(open_workspace(Path(config)))
        baseline = opened.enter_context(open_workspace(Path(twin))) if twin else None
        return str(write_report(ws, ws.config.root / "report.html", baseline=baseline))
