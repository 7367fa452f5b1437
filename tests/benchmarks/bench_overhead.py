"""What Prefect costs: the same project walked without it, through `alloop run`, and under `alloop up`.

Real digits, a frozen model, simulated people who need some seconds of the wall's time for a batch, one seed. Each way walks
three cycles that are not counted, and then the others; the three ledgers have to tell the same story. Everything is told per
cycle and without the time that people took; what is paid once, to start, stands apart. `up` looks for labels every `--watch-s`
seconds; its runs are started by hand, not by a schedule, sleep while people label, and each of their two halves is a process
of its own.

python -m tests.benchmarks.bench_overhead --cycles 8
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean, median

import httpx
import psutil

from alloop.demo_data import AMBIGUOUS, write_digits
from alloop.outlook import last_label
from alloop.pool import add_to_pool
from alloop.workspace import PoolStore, Workspace, open_workspace
from tests.wiring.deployed_up import Up, environment, ready, until
from tests.wiring.test_kill import story

TOML = """\
[project]
name = "digits"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
seed = 7
[model]
kind = "frozen"
image_size = 32
threads = 1
[loop]
batch = 40
ladder = ["auto", "margin"]
poll_s = {poll_s}
[switching]
on_exhausted = "continue"
[annotation]
tool = "simulated"
[annotation.simulated]
clock = "wall"
annotators = 3
pickup_hours = 0
seconds_per_sample = 0.3
"""
NEVER = "0 0 1 1 *"
UNCOUNTED = 3
PATIENCE_S = 300.0
IDLE_S = 30.0
MIB = 2**20


@dataclass(frozen=True)
class Walked:
    """One cycle of a way: the moments that the ledger and Prefect know, as seconds of the day's clock."""

    asked: float
    opened: float
    pushed: float
    last_label: float
    retraining: float
    decided: float
    over: float

    @property
    def own_s(self) -> float:
        """From the wish for a cycle to its end, without the time of people."""
        return self.over - self.asked - (self.last_label - self.pushed)


@dataclass(frozen=True)
class Way:
    """One way to walk cycles: what each took, what it took on the processors on average, and what is paid once, to start."""

    name: str
    cycles: Sequence[Walked]
    cpu_s: float
    start_s: float
    start_cpu_s: float


def make_project(folder: Path, manifest: Path, poll_s: float) -> Path:
    folder.mkdir()
    config = folder / "alloop.toml"
    config.write_text(TOML.format(poll_s=poll_s))
    with open_workspace(config) as ws:
        labels = (*ws.config.project.labels, AMBIGUOUS)
        add_to_pool(str(manifest), store=PoolStore(ws), labels=labels)
    return config


def moments(ws: Workspace, cycle: int) -> dict[str, datetime]:
    stages = {stage.step: stage for stage in ws.ledger.steps.of(cycle)}
    labelled = last_label(ws, list(stages.values()), ws.ledger.expiry.items(cycle))
    record, pushed = ws.ledger.cycles.get(cycle), stages["push_to_annotation"].finished_at
    assert labelled is not None
    assert record.closed_at is not None
    assert pushed is not None
    told = {"opened": record.opened_at, "pushed": pushed, "last_label": labelled, "decided": record.closed_at}
    return told | {"retraining": stages["retrain"].started_at}


def by_command(name: str, config: Path, cycles: int, *options: str) -> Way:
    """`alloop run`, in one process for all cycles; each is wanted when the one before was decided.

    The server starts after the first cycle was opened, so that this one is not counted, and tells what starting takes.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    env["PREFECT_HOME"] = str(config.with_name("prefect"))
    run_command(config, 1, options, env)
    one_s = run_command(config, 1, options, env)
    began = time.time()
    cpu_s = (run_command(config, 1 + cycles, options, env) - one_s) / cycles
    with open_workspace(config) as ws:
        seen = [moments(ws, cycle) for cycle in range(UNCOUNTED - 1, UNCOUNTED + cycles)]
    first, *stamps = [{key: at.timestamp() for key, at in one.items()} for one in seen]
    wanted = [one["decided"] for one in (first, *stamps[:-1])]
    walked = [Walked(asked=at, over=one["decided"], **one) for at, one in zip(wanted, stamps, strict=True)]
    start_s = first["pushed"] - began - median(one.pushed - one.opened for one in walked)
    return Way(name, walked, cpu_s, start_s, one_s - cpu_s)


def run_command(config: Path, cycles: int, options: Sequence[str], env: dict[str, str]) -> float:
    """Seconds on the processors, those of its own children included."""
    command = [sys.executable, "-m", "alloop", "run", *options, "--cycles", str(cycles), "--config", str(config)]
    with (
        config.with_name("said").open("ab") as told,
        subprocess.Popen(command, stdout=told, stderr=told, env=env) as child,
    ):
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, config.with_name("said").read_text()[-2000:]
    return used.ru_utime + used.ru_stime


def under_up(config: Path, cycles: int, watch_s: float) -> tuple[Way, dict[str, float], float]:
    """The same under `alloop up`; MiB of each part after that, and seconds on the processors in an idle minute."""
    began = time.time()
    with ready(config, "--cron", NEVER, "--watch-s", str(watch_s), env=environment()) as up:
        start_s = time.time() - began
        start_cpu_s = cpu_of(up)
        with httpx.Client(base_url=up.prefect + "/", timeout=30) as api:
            for number in range(UNCOUNTED):
                walk_one(api, config, number)
            before = cpu_of(up)
            walked = [walk_one(api, config, number) for number in range(UNCOUNTED, UNCOUNTED + cycles)]
            cpu_s = (cpu_of(up) - before) / cycles
        memory = memory_of(up)
        before = cpu_of(up)
        time.sleep(IDLE_S)
        idle_s = (cpu_of(up) - before) * 60 / IDLE_S
        up.stop()
    return Way("up", walked, cpu_s, start_s, start_cpu_s), memory, idle_s


def walk_one(api: httpx.Client, config: Path, number: int) -> Walked:
    """One cycle, whose run is asked for now."""
    deployment = api.get("deployments/name/cycle/digits").raise_for_status().json()["id"]
    asked = time.time()
    run = api.post(f"deployments/{deployment}/create_flow_run", json={}).raise_for_status().json()["id"]
    until(lambda: state(api, run) in ("COMPLETED", "FAILED", "CRASHED"), within_s=PATIENCE_S)
    told = api.get(f"flow_runs/{run}").raise_for_status().json()
    assert told["state_type"] == "COMPLETED", told["state"]
    names = [one["name"] for one in api.get("flow_run_states/", params={"flow_run_id": run}).json()]
    assert "Suspended" in names, "it never slept"
    with open_workspace(config) as ws:
        stamps = {key: at.timestamp() for key, at in moments(ws, number).items()}
    stamps["retraining"] = task_start(api, run, "retrain")
    return Walked(asked=asked, over=datetime.fromisoformat(told["end_time"]).timestamp(), **stamps)


def state(api: httpx.Client, run: str) -> str:
    return str(api.get(f"flow_runs/{run}").raise_for_status().json()["state_type"])


def task_start(api: httpx.Client, run: str, name: str) -> float:
    """When Prefect saw this task of a run begin; task runs come to its database as events, some time later."""

    def starts() -> list[str]:
        asked = {"flow_runs": {"id": {"any_": [run]}}, "task_runs": {"name": {"like_": name}}}
        return [one["start_time"] for one in api.post("task_runs/filter", json=asked).json() if one["start_time"]]

    until(lambda: bool(starts()), within_s=60)
    return max(datetime.fromisoformat(start).timestamp() for start in starts())


def processes(up: Up) -> Iterator[psutil.Process]:
    yield psutil.Process(up.process.pid)
    yield from up.everything()


def cpu_of(up: Up) -> float:
    """Seconds on the processors so far: of what lives, and of what has ended and was waited for."""
    return sum(sum(process.cpu_times()[:4]) for process in processes(up))


def memory_of(up: Up) -> dict[str, float]:
    parts = {"supervisor": psutil.Process(up.process.pid), **up.parts()}
    return {name: process.memory_info().rss / MIB for name, process in parts.items()}


@contextmanager
def told_load() -> Iterator[None]:
    print(f"load before {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    yield
    print(f"load after {os.getloadavg()[0]:.1f}")


ROWS: dict[str, Callable[[Walked], float]] = {
    "wish to opened": lambda one: one.opened - one.asked,
    "opened to pushed": lambda one: one.pushed - one.opened,
    "last label to retraining": lambda one: one.retraining - one.last_label,
    "retraining to decided": lambda one: one.decided - one.retraining,
    "decided to over": lambda one: one.over - one.decided,
    "all of it": lambda one: one.own_s,
}


def show(ways: Sequence[Way]) -> None:
    """Seconds of each cycle: median, and the worst in brackets."""
    print(f"{'s a cycle, median (worst)':32}" + "".join(f"{way.name:>18}" for way in ways))
    for name, of in ROWS.items():
        cells = [[of(one) for one in way.cycles] for way in ways]
        print(f"{name:32}" + "".join(f"{median(some):10.2f} ({max(some):5.2f})" for some in cells))
    print(f"{'people, mean':32}" + "".join(f"{people(way):10.2f}        " for way in ways))
    print(f"{'on the processors':32}" + "".join(f"{way.cpu_s:10.2f}        " for way in ways))
    print(f"{'once, to start':32}" + "".join(f"{way.start_s:10.2f}        " for way in ways))
    print(f"{'once, on the processors':32}" + "".join(f"{way.start_cpu_s:10.2f}        " for way in ways))
    bare = median(one.own_s for one in ways[0].cycles)
    for way in ways[1:]:
        wall, cpu = median(one.own_s for one in way.cycles) - bare, way.cpu_s - ways[0].cpu_s
        print(f"Prefect's part of `{way.name}`: {wall:.2f} s a cycle, {cpu:.2f} s on the processors")


def people(way: Way) -> float:
    return mean(one.last_label - one.pushed for one in way.cycles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=6, help="cycles that are counted")
    parser.add_argument("--watch-s", type=float, default=5.0, help="how often the relay of `up` looks")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, told_load():
        manifest = write_digits(Path(folder) / "digits", seed=7)
        projects = {name: make_project(Path(folder) / name, manifest, 1.0) for name in ("direct", "run", "up")}
        ways = [
            by_command("direct", projects["direct"], asked.cycles, "--direct"),
            by_command("run", projects["run"], asked.cycles),
        ]
        up, memory, idle_s = under_up(projects["up"], asked.cycles, asked.watch_s)
        stories = [story(config) for config in projects.values()]
        assert stories[0] == stories[1] == stories[2], "the three ledgers differ"
        show([*ways, up])
        print(f"`up` looks every {asked.watch_s:g} s; idle it takes {idle_s:.1f} s on the processors a minute")
        print("MiB after that: " + ", ".join(f"{name} {size:.0f}" for name, size in memory.items()))


if __name__ == "__main__":
    main()
