"""The whole loop on real handwritten digits, and the same loop with random batches to compare with."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from alloop.cycle import open_cycle, walk
from alloop.demo_data import AMBIGUOUS, DIGITS, write_digits
from alloop.nouns import Action
from alloop.pool import add_to_pool
from alloop.progress import current_progress
from alloop.report import write_report
from alloop.workspace import PoolStore, open_workspace
from flows.cycle import run_cycle

__all__ = ["prepare", "run_demo"]

SEED = 7
SETTINGS = """\
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


def prepare(out: Path) -> Path:
    """Write the digits and two projects into `out`, the loop and its random twin, and give the loop's settings."""
    out.mkdir(parents=True, exist_ok=True)
    manifest = write_digits(out / "digits", seed=SEED)
    ladder = ("entropy", "auto", "margin")
    loop = _settings(out / "alloop.toml", "digits", ladder, rule="evidence")
    twin = _settings(out / "random.toml", "digits-random", ("random",), rule="off")
    for config in (loop, twin):
        with open_workspace(config, progress=current_progress()) as ws:
            add_to_pool(
                str(manifest),
                store=PoolStore(ws),
                labels=ws.manifest_labels,
                task=ws.config.project.task,
                progress=ws.progress,
            )
    return loop


def _settings(path: Path, name: str, ladder: tuple[str, ...], *, rule: str) -> Path:
    text = SETTINGS.format(
        name=name, labels=list(DIGITS), seed=SEED, ladder=list(ladder), rule=rule, ambiguous=AMBIGUOUS
    )
    path.write_text(text.replace("'", '"'), encoding="utf-8")
    return path


@flow(name="demo", persist_result=False)
def run_demo(config: str, cycles: int) -> str:
    """Walk until there are `cycles` closed cycles, then the random twin as far, and write the report."""
    while (number := _next(config, cycles)) is not None:
        run_cycle(config, "digits", number)
    twin = walk_twin(str(Path(config).with_name("random.toml")), cycles)
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
def report(config: str, twin: str) -> str:
    """One HTML page beside the settings."""
    with open_workspace(Path(config)) as ws, open_workspace(Path(twin)) as baseline:
        return str(write_report(ws, ws.config.root / "report.html", baseline=baseline))
