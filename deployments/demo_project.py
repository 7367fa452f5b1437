"""The project of the demo with Label Studio: real digits, some labelled, and a folder that can be started again."""

import csv
import json
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from alloop.demo_data import AMBIGUOUS, DIGITS, write_digits
from alloop.pool import add_to_pool
from alloop.progress import current_progress
from alloop.whole_files import appearing, write_atomically
from alloop.workspace import PoolStore, open_workspace

__all__ = ["TITLE", "Keys", "fill_pool", "free_port", "keys_of", "make_project", "truths_of"]

SEED = 7
TITLE = "alloop demo"
START = 60
"""Digits of the pool that are labelled already: what the first champion learns from."""
TOML = """\
# The settings of the demo with Label Studio. The secrets are in keys.json, and go into the environment from there.
[project]
name = "digits"
task = "classify"
labels = {labels}
seed = {seed}

[model]
kind = "classifier"
image_size = 16
steps = 200
threads = 1

[loop]
start = 1                      # the labels of the manifest are enough: no first batch is asked of people
batch = {batch}
ladder = ["auto", "margin"]
poll_s = {poll_s}            # without a webhook; with it, the loop looks within two seconds

[switching]
replicates = 1
on_exhausted = "continue"

[annotation]
tool = "label-studio"

[annotation.label_studio]
url = "http://127.0.0.1:{label_studio}"
project = "{title}"

[service]
port = {service}
"""


@dataclass(frozen=True)
class Keys:
    """Who may sign in to the demo's Label Studio, and what it and the service share."""

    email: str
    password: str
    token: str
    webhook_secret: str
    signing_key: str


def keys_of(out: Path) -> Keys:
    """The keys in `out`, made at random the first time; nobody else can read the file."""
    file = out / "keys.json"
    if file.exists():
        return Keys(**json.loads(file.read_text(encoding="utf-8")))
    made = [secrets.token_hex(length) for length in (6, 20, 16, 32)]
    keys = Keys("demo@alloop.test", *made)
    with appearing(file) as fresh:
        fresh.touch(0o600, exist_ok=False)
        fresh.write_text(json.dumps(asdict(keys)), encoding="utf-8")
    return keys


def make_project(out: Path, *, batch: int, poll_s: float) -> Path:
    """Write alloop.toml and the images into `out` unless they are there; its ports are free ones, and stay the same."""
    config = out / "alloop.toml"
    if not config.exists():
        _keep_start(write_digits(out / "digits", seed=SEED), out / "digits" / "start.csv")
        names = {"label_studio": free_port(), "service": free_port(), "title": TITLE}
        numbers = {"seed": SEED, "batch": batch, "poll_s": poll_s}
        write_atomically(config, TOML.format(labels=json.dumps(DIGITS), **names, **numbers).encode())
    return config


def fill_pool(config: Path) -> None:
    """Add the digits to the pool; those that are there already stay."""
    with open_workspace(config, progress=current_progress()) as ws:
        source = str(ws.config.root / "digits" / "start.csv")
        add_to_pool(source, store=PoolStore(ws), labels=ws.manifest_labels, progress=ws.progress)


def truths_of(out: Path) -> Mapping[str, str]:
    """{uri: label} of all digits, which only the simulated people know; a blend of two is "unclear"."""
    folder = out / "digits"
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {str(folder.absolute() / row["uri"]): row["label"] for row in csv.DictReader(file)}


def _keep_start(manifest: Path, out: Path) -> None:
    """The manifest again, with the labels of the holdout and of the first START digits of the pool only."""
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    left = START
    for row in rows:
        if row["split"] == "holdout":
            continue
        keep = left > 0 and row["label"] != AMBIGUOUS
        left -= keep
        row["label"] = row["label"] if keep else ""
    with out.open("w", newline="", encoding="utf-8") as file:
        told = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        told.writeheader()
        told.writerows(rows)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
