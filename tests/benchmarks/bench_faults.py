"""What faults cost with a real Label Studio: nothing may be lost or counted twice, and how long it takes to be whole again.

answers        people answer a whole batch while `alloop serve` runs, and while it is down: then only the timer finds them
server killed  Label Studio is killed when it has taken the second of four chunks of a push, and is away for a while
alloop killed  `alloop run` is killed with -9 when Label Studio has taken all tasks, and the ledger knows of none

ALLOOP_LABEL_STUDIO_VENV=.venv-label-studio python tests/benchmarks/bench_faults.py --tasks 2000 --labels 200 --away 60
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image
from sqlalchemy import func, select

from alloop.annotation.label_studio_tasks import CHUNK
from alloop.ledger.tables import ObservationRow
from alloop.pool import add_to_pool
from alloop.workspace import PoolStore, Workspace, open_workspace

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.annotation.label_studio_person import Person
from tests.live.alloop_processes import free_port, log_of, service, start_alloop, until
from tests.live.label_studio_server import TOKEN, LabelStudioServer, installed, start_copy

ALLOWED = {"LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false"}
"""The webhook is on this machine."""
HOLDOUT, PATIENCE_S = 20, 1800.0
PENDING = 3
"""The exit code of `alloop run --no-wait` once a batch is pushed."""
PROJECT = """
[project]
name = "{name}"
labels = ["0", "1", "2", "3"]
[model]
kind = "tests.small_project:nearest_centroid"
[loop]
batch = {count}
start = {count}
ladder = ["random"]
control_share = 0
poll_s = {poll_s}
[switching]
replicates = 1
[annotation]
tool = "label-studio"
[annotation.label_studio]
url = "{url}"
token = "{token}"
[service]
port = {port}
webhook_secret = "a-secret-for-measuring-only"
signing_key = "a-signing-key-of-32-characters-x"
"""


@dataclass(frozen=True)
class Found:
    """What is left of a fault: of `sent` so many are missing or there twice, and a sentence on how long it took."""

    fault: str
    sent: int
    missing: int
    twice: int
    told: str


@contextmanager
def project(server: LabelStudioServer, home: Path, name: str, *, count: int, poll_s: float) -> Iterator[Workspace]:
    """A project whose first batch is its whole pool of `count` images, with a holdout that has labels."""
    folder, dice = home / name, np.random.default_rng(count)
    folder.mkdir()
    settings = {"name": name, "count": count, "poll_s": poll_s, "url": server.url, "token": TOKEN, "port": free_port()}
    (folder / "alloop.toml").write_text(PROJECT.format(**settings))
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("uri", "label", "split"))
        for number in range(count + HOLDOUT):
            Image.fromarray(dice.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / f"{number}.png")
            rows.writerow((f"{number}.png", *((str(number % 4), "holdout") if number < HOLDOUT else ("", "pool"))))
    with open_workspace(folder) as ws:
        add_to_pool(str(folder / "manifest.csv"), store=PoolStore(ws), labels=ws.manifest_labels)
        yield ws


def began(ws: Workspace, step: str) -> datetime | None:
    """When a step of the first cycle began; None before that."""
    return next((stage.started_at for stage in ws.ledger.steps.of(0) if stage.step == step), None)


def finished(ws: Workspace, step: str) -> datetime | None:
    """When it ended."""
    return next((stage.finished_at for stage in ws.ledger.steps.of(0) if stage.step == step), None)


class Pushing:
    """`alloop run --no-wait`, started again whenever it gives up, as a supervisor does; killed at the end of its block."""

    def __init__(self, ws: Workspace) -> None:
        self._ws, self.runs = ws, 0
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.kill()
        self._process.wait()

    def is_done(self) -> bool:
        """Whether everything is pushed, and the process gone."""
        status = self._process.poll()
        if status not in (None, PENDING):
            self._start()
        return status == PENDING

    def _start(self) -> None:
        self._process, self.runs = start_alloop(self._ws.config.root, "run", "--no-wait"), self.runs + 1


def look_through(server: LabelStudioServer, ws: Workspace, fault: str, told: str) -> Found:
    """Compare the tasks of the server, one for one, with the batch, and with the refs in the ledger."""
    title, wanted = ws.config.project.name, {item.sample.id for item in ws.ledger.batches.get(0).items}
    with server.client() as client:
        number = Person(client, title).number
        asked = {"project": number, "fields": "task_only", "include": "id,data", "page_size": 2 * len(wanted)}
        tasks = client.get("/api/tasks", params=asked).raise_for_status().json()["tasks"]
    there = Counter(task["data"]["item_id"] for task in tasks)
    refs = {(task["data"]["item_id"], str(task["id"])) for task in tasks}
    missing = len(wanted - set(there)) + len(set(ws.ledger.batches.refs(0).items()) ^ refs)
    return Found(fault, len(wanted), missing, sum(there.values()) - len(there), told)


def answers_served(server: LabelStudioServer, home: Path, name: str, *, count: int, poll_s: float) -> Found:
    """People answer a whole batch, and webhooks tell of it."""
    with (
        project(server, home, name, count=count, poll_s=poll_s) as ws,
        service(ws.config.root, ws.config.service.port),
    ):
        found = answers(server, ws, count=count, fault="answers, alloop serve runs")
        assert ws.ledger.hints.newest() >= count
    return found


def answers_unserved(server: LabelStudioServer, home: Path, name: str, *, count: int, poll_s: float) -> Found:
    """The same while nobody takes the webhooks in."""
    with project(server, home, name, count=count, poll_s=poll_s) as ws:
        found = answers(server, ws, count=count, fault="answers, alloop serve is down")
        assert ws.ledger.hints.newest() == 0
    return found


def answers(server: LabelStudioServer, ws: Workspace, *, count: int, fault: str) -> Found:
    """People answer a whole batch; how long after the last answer all were read, and training began."""
    with ExitStack() as running:
        loop = start_alloop(ws.config.root, "run")
        running.callback(end, loop)
        until(lambda: finished(ws, "push_to_annotation") is not None, within_s=PATIENCE_S)
        with server.client() as client:
            person = Person(client, ws.config.project.name)
            hooks = person.ask("GET", "/api/webhooks/", params={"project": person.number})
            assert len(hooks) == 1, hooks
            assert len(person.work(count, "0")) == count
        last = datetime.now(UTC)
        until(lambda: began(ws, "retrain") is not None, within_s=PATIENCE_S)
        labels = {label.sample.id for label in ws.ledger.labels.training_set(0).labels}
        with ws.ledger.database.read() as session:
            read = session.scalar(select(func.count()).select_from(ObservationRow))
        noticed, trained = finished(ws, "wait_for_labels"), began(ws, "retrain")
    assert None not in (read, noticed, trained)
    seconds = [(moment - last).total_seconds() for moment in (noticed, trained)]
    told = f"all read {seconds[0]:.1f} s, retrain begun {seconds[1]:.1f} s after the last answer (poll_s {ws.config.loop.poll_s:.0f})"
    return Found(fault, count, count - len(labels), read - len(labels), told)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process of ours."""
    process.terminate()
    process.wait(timeout=60)


def server_killed(server: LabelStudioServer, home: Path, *, count: int, away_s: float) -> Found:
    """Label Studio dies with two chunks of the push done, and comes back after `away_s`."""
    name = "server-killed"
    with project(server, home, name, count=count, poll_s=30) as ws, Pushing(ws) as pushing:
        until(lambda: server.committed_tasks(name) >= 2 * CHUNK, within_s=PATIENCE_S, every_s=0.02)
        server.kill()
        stood = server.committed_tasks(name)
        assert 2 * CHUNK <= stood < count, stood
        back = time.monotonic() + away_s
        until(lambda: pushing.is_done() or time.monotonic() > back, within_s=away_s + 60)
        server.start()
        returned = time.monotonic()
        until(pushing.is_done, within_s=PATIENCE_S)
        took = time.monotonic() - returned
        told = f"killed with {stood} tasks, away {away_s:.0f} s; whole {took:.1f} s after it was back, "
        return look_through(server, ws, "Label Studio killed in a push", f"{told}{pushing.runs} runs of alloop")


def alloop_killed(server: LabelStudioServer, home: Path, *, count: int) -> Found:
    """kill -9 once Label Studio has taken every task, and before the ledger knows of any."""
    name = "alloop-killed"
    with project(server, home, name, count=count, poll_s=30) as ws, Pushing(ws) as pushing:
        until(lambda: server.committed_tasks(name) == count, within_s=PATIENCE_S, every_s=0.02)
        pushing.kill()
        known = len(ws.ledger.batches.refs(0))
        assert known == 0, known
        again = time.monotonic()
        until(pushing.is_done, within_s=PATIENCE_S)
        told = (
            f"killed with {count} tasks there and {known} in the ledger; whole {time.monotonic() - again:.1f} s later"
        )
        return look_through(server, ws, "alloop run killed in a push", told)


def main() -> int:
    """Print what each fault has left; 1 when something is missing or there twice."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=2000, help="of a push; more than 1,000")
    options.add_argument("--labels", type=int, default=200, help="of the batch that people answer")
    options.add_argument("--rounds", type=int, default=1, help="how often people answer a batch")
    options.add_argument("--away", type=float, default=60, help="seconds that Label Studio stays away")
    options.add_argument("--poll", type=float, default=30, help="loop.poll_s, where no webhook comes through")
    chosen = options.parse_args()
    print(f"load of this machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-faults-") as folder:
        home = Path(folder)
        server = start_copy(installed(), home / "label-studio", ALLOWED)
        try:
            for number in range(chosen.rounds):
                for kind, people_answer in (("served", answers_served), ("unserved", answers_unserved)):
                    name = f"{kind}-{number}"
                    found.append(people_answer(server, home, name, count=chosen.labels, poll_s=chosen.poll))
                    show(found[-1])
            found.append(server_killed(server, home, count=chosen.tasks, away_s=chosen.away))
            show(found[-1])
            found.append(alloop_killed(server, home, count=chosen.tasks))
            show(found[-1])
        except BaseException:
            for log in (log_of(one, "run") for one in home.iterdir()):
                print(log.read_text(errors="replace")[-2000:] if log.exists() else "", file=sys.stderr)
            raise
        finally:
            server.stop()
    return int(any(one.missing or one.twice for one in found))


def show(found: Found) -> None:
    """One line of the table."""
    counts = f"{found.sent:5} sent {found.missing:3} missing {found.twice:3} twice"
    print(f"{found.fault:31} {counts}   {found.told}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
