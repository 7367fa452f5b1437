"""One Prefect server for the whole session of tests, and small projects to run through it."""

import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from sklearn.datasets import load_digits

from alloop.pool import add_to_pool
from alloop.workspace import PoolStore, open_workspace

CHECKOUT = Path(__file__).parents[2]
START_S = 90

TOML = """\
[project]
name = "digits"
labels = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
seed = 3

[model]
kind = "frozen"
image_size = 32
threads = 1

[loop]
batch = 20
ladder = ["margin", "uncertainty-kmeans"]
poll_s = 3600
{loop}

[annotation]
tool = "{tool}"

[annotation.simulated]
pickup_hours = 1
"""


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server with an empty database."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("wb") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        url = f"http://127.0.0.1:{port}/api"
        try:
            wait_until_ready(url, home / "log")
            with temporary_settings({PREFECT_API_URL: url, PREFECT_LOGGING_TO_API_ENABLED: False}):
                yield url
        finally:
            server.terminate()


def wait_until_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    pytest.fail(f"the Prefect server did not start within {START_S} s:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 real digits as image files, 80 of them holdout; the path of their manifest."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    with (folder / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["uri", "label", "group", "split"])
        for number in range(400):
            picture = Image.fromarray((digits.images[number] * 15.9).astype(np.uint8)).resize((32, 32))
            picture.save(folder / f"{number}.png")
            rows.writerow([f"{number}.png", digits.target[number], "", "holdout" if number < 80 else "pool"])
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def build_project(digit_files: Path) -> Callable[..., Path]:
    """Makes a project in a folder that is not there yet, and gives its alloop.toml."""

    def build(folder: Path, *, tool: str = "simulated", loop: str = "", manifest: Path = digit_files) -> Path:
        folder.mkdir()
        config = folder / "alloop.toml"
        config.write_text(TOML.format(tool=tool, loop=loop))
        with open_workspace(config) as ws:
            add_to_pool(str(manifest), store=PoolStore(ws), labels=ws.manifest_labels)
        return config

    return build


@pytest.fixture
def make_project(tmp_path: Path, build_project: Callable[..., Path]) -> Callable[..., Path]:
    """The same, in a folder of the test's own."""
    return partial(build_project, tmp_path / "project")
