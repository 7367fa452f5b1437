"""`alloop run` with a Prefect server of its own: however the command ends, nothing is left and nobody sees a traceback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.xdist_group("prefect")

INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from alloop.cli import main; main()"
)
"""A child of a shell's background job ignores Ctrl-C; a command that is typed does not."""
PATIENCE_S = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's own folder: made once, its database takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def waiting(make_project: Callable[..., Path], digit_files: Path, tmp_path: Path) -> Path:
    """A project whose people have not answered yet."""
    rows = [line.split(",") for line in digit_files.read_text().split()[1:]]
    lines = [
        f"{digit_files.parent / uri},{label if split == 'holdout' else ''},{split}" for uri, label, _, split in rows
    ]
    (tmp_path / "unlabelled.csv").write_text("\n".join(["uri,label,split", *lines]))
    return make_project(tool="folder", manifest=tmp_path / "unlabelled.csv")


def alone(home: Path) -> dict[str, str]:
    """The environment of somebody who has no Prefect server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home)
    }


@contextmanager
def running(config: Path, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process]]:
    """`alloop run` in a session of its own, as in a terminal, at the point where it waits for people; and its server."""
    command = [sys.executable, "-c", INTERRUPTIBLE, "run", "--config", str(config)]
    with (
        (config.parent / "err").open("wb") as err,
        subprocess.Popen(command, stdout=err, stderr=err, start_new_session=True, env=alone(home)) as child,
    ):
        try:
            until(lambda: "waiting for labels" in said(config))
            (server,) = psutil.Process(child.pid).children()
            yield child, server
        finally:
            child.kill()
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


def said(config: Path) -> str:
    return (config.parent / "err").read_text()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_ends_it_with_one_sentence_and_no_server_left(waiting: Path, home: Path) -> None:
    with running(waiting, home) as (child, _):
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(timeout=20) == 130
    assert said(waiting).splitlines()[-1] == "alloop: stopped; run the same command again to go on"
    assert "Traceback" not in said(waiting)
    assert "ERROR" not in said(waiting)


def test_killed_it_leaves_no_server(waiting: Path, home: Path) -> None:
    with running(waiting, home) as (child, server):
        child.kill()
        child.wait(timeout=20)
        until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


def test_a_step_that_fails_is_told_in_one_sentence(make_project: Callable[..., Path], home: Path) -> None:
    config = make_project()
    queue = config.parent / ".alloop" / "annotators"
    queue.write_text("a file where a folder should be")
    command = [sys.executable, "-m", "alloop", "run", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, env=alone(home), timeout=PATIENCE_S)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"alloop: {queue}")
    assert "Traceback" not in done.stderr
