"""`alloop up`: one command, one Ctrl-C; it keeps its parts alive, and leaves nothing behind however it ends."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from tests.wiring.deployed_up import Up, environment, ready, until

pytestmark = pytest.mark.xdist_group("prefect")

STOP_S = 15.0
GONE_S = 12.0
PARTS = {"server", "runner", "relay", "service"}


def fresh(folder: Path) -> Path:
    """What `alloop init` makes."""
    subprocess.run([sys.executable, "-m", "alloop", "init", str(folder)], check=True, timeout=60, capture_output=True)
    return folder / "alloop.toml"


def once(config: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`alloop up` where it cannot start."""
    command = [sys.executable, "-m", "alloop", "up", "--config", str(config)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def env() -> dict[str, str]:
    return environment()


@pytest.fixture(scope="module")
def up(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One in a fresh folder, for the tests that leave it running."""
    with ready(fresh(tmp_path_factory.mktemp("up") / "project"), env=env) as up:
        yield up


def test_it_prints_three_addresses_that_answer(up: Up) -> None:
    addresses = [word for line in up.text().splitlines() for word in line.split() if word.startswith("http")]
    assert len(addresses) == 3
    assert all(httpx.get(address, timeout=5).status_code < 500 for address in addresses)


def test_in_a_fresh_folder_it_says_what_comes_next(up: Up) -> None:
    assert "pool is empty: alloop pool add" in up.text()


def test_it_is_a_server_a_runner_a_relay_and_a_service(up: Up) -> None:
    assert set(up.parts()) == PARTS


def test_heartbeats_are_on(up: Up) -> None:
    assert up.parts()["runner"].environ()["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def test_nothing_is_told_to_the_maker_of_prefect(up: Up) -> None:
    assert up.parts()["server"].environ()["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_a_second_one_is_refused_in_one_sentence(up: Up, env: dict[str, str]) -> None:
    done = once(up.said.with_name("alloop.toml"), env)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"alloop: alloop up runs already for 'my-project' (process {up.process.pid}); stop it first"
    )


@pytest.mark.parametrize(
    ("port", "says"),
    [
        ("PREFECT_SERVER_API_PORT", "set PREFECT_SERVER_API_PORT to another"),
        ("ALLOOP_SERVICE__PORT", "choose another [service] port"),
    ],
)
def test_a_port_that_is_taken_is_told_in_one_sentence(tmp_path: Path, port: str, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        done = once(fresh(tmp_path / "project"), environment(**{port: str(number)}))
    assert done.returncode == 1
    assert done.stderr.strip() == (f"alloop: port {number} of 127.0.0.1 cannot be had (Address already in use); {says}")


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    config = fresh(tmp_path / "project")
    config.with_name(".alloop").write_text("a file where a folder should be")
    done = once(config, environment())
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert ".alloop" in done.stderr


@pytest.mark.parametrize("name", ["relay", "service", "runner"])
def test_a_part_that_dies_is_started_again(up: Up, name: str) -> None:
    victim = up.parts()[name]
    victim.kill()
    until(lambda: up.parts().get(name, victim).pid != victim.pid, within_s=20)
    assert f"{name} was ended by SIGKILL; started again in" in up.text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_in_time_and_leaves_no_process_and_no_paused_schedule(tmp_path: Path, how: signal.Signals) -> None:
    config = fresh(tmp_path / "project")
    with ready(config, env=environment()) as up:
        below, began = up.everything(), time.monotonic()
        assert up.stop(how) == 0
        assert time.monotonic() - began < STOP_S
    assert not [process for process in below if is_running(process)]
    assert "Traceback" not in up.text()
    assert schedules(config) == [1]


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def schedules(config: Path) -> list[int]:
    """Of the cycle's deployment: 1 for each schedule that is active, 0 for one that is paused."""
    database = config.parent / ".alloop" / "prefect" / "prefect.db"
    query = """SELECT s.active FROM deployment_schedule s JOIN deployment d ON d.id = s.deployment_id
               JOIN flow f ON f.id = d.flow_id WHERE f.name = 'cycle'"""
    with closing(sqlite3.connect(database)) as opened:
        return [active for (active,) in opened.execute(query)]


def test_killed_it_leaves_no_process(tmp_path: Path) -> None:
    with ready(fresh(tmp_path / "project"), env=environment()) as up:
        below = up.everything()
        os.kill(up.process.pid, signal.SIGKILL)
        up.process.wait()
        until(lambda: not [process for process in below if is_running(process)], within_s=GONE_S)
