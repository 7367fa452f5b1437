"""The demo with a real Label Studio, Prefect's server and `alloop serve`: it labels, retrains, decides and leaves nothing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.live.label_studio_server import EMAIL, PASSWORD, TOKEN, template_of

CHECKOUT = Path(__file__).parents[2]
PATIENCE_S = 120


@pytest.fixture
def out(venv, tmp_path):
    """A folder for the demo in which Label Studio's database is migrated already."""
    out = tmp_path / "out"
    shutil.copytree(template_of(venv), out / "label-studio")
    keys = {"email": EMAIL, "password": PASSWORD, "token": TOKEN}
    (out / "keys.json").write_text(json.dumps(keys | {"webhook_secret": "s" * 32, "signing_key": "k" * 32}))
    return out


@pytest.fixture
def start(venv, out):
    """Starts the demo with some options; whatever still runs at the end is killed."""
    started = []

    def start(*options):
        command = [sys.executable, "-m", "deployments.demo_label_studio", "--out", str(out), *options]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ALLOOP_", "PREFECT_"))}
        env = kept | {"ALLOOP_LABEL_STUDIO_VENV": str(venv)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        started.append(subprocess.Popen(command, cwd=CHECKOUT, env=env, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def left(out):
    """Processes that name the demo's folder, besides this one."""
    mine = [process for process in psutil.process_iter(["cmdline"]) if process.pid != os.getpid()]
    return [process for process in mine if any(str(out) in part for part in process.info["cmdline"] or ())]


def all_gone(out):
    deadline = time.monotonic() + 20
    while left(out) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left(out) == []


def test_simulated_people_finish_the_batch_and_retraining_begins_at_once(start, out):
    process = start("--simulate", "--batch", "12")
    told, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    assert "cycle 1: waiting for labels: 12 of 12" in told
    seconds = float(re.search(r"retraining begun (-?[\d.]+) s after the last label", told)[1])
    assert seconds < 15  # the timer alone takes up to 30
    assert re.search(r"^cycle 1: .*'(auto|margin)'", told, re.MULTILINE)
    assert left(out) == []


def test_a_person_is_told_where_to_label_and_ctrl_c_ends_everything(start, out):
    process = start("--batch", "12")
    told = ""
    while "images wait at" not in told and (line := process.stdout.readline()):
        told += line
    place = re.search(r"12 images wait at (http://127\.0\.0\.1:\d+)/projects/(\d+)/data", told)
    with httpx.Client(base_url=place[1], headers={"Authorization": f"Token {TOKEN}"}, timeout=60) as client:
        task = client.get(f"/api/projects/{place[2]}/next").json()
    image = httpx.get(task["data"]["image"], timeout=10)
    assert (image.status_code, image.headers["content-type"]) == (200, "image/png")
    prefect = re.search(r"Prefect +(\S+)/runs", told)[1]
    page = httpx.get(f"{prefect}/runs", headers={"Accept": "text/html"}, timeout=10)
    assert "<html" in page.text
    (run,) = httpx.post(f"{prefect}/api/flow_runs/filter", json={}, timeout=10).json()
    assert (run["name"], run["state_type"]) == ("cycle-1", "RUNNING")
    assert len(left(out)) >= 3
    process.send_signal(signal.SIGINT)
    ended, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in ended
    assert all_gone(out)


def test_killed_it_leaves_nothing_either(start, out):
    process = start("--batch", "12")
    while "images wait at" not in (line := process.stdout.readline()):
        assert line
    process.kill()
    process.wait()
    assert all_gone(out)
