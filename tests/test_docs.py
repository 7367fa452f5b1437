"""What the README says is run here."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from alloop.acquisition.strategies import STRATEGIES
from alloop.cli import app
from alloop.config import load_config

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_readme_lists_every_strategy_as_the_code_describes_it() -> None:
    for strategy in STRATEGIES.values():
        assert f"| `{strategy.name}` | {strategy.when} | {strategy.source} |" in README


def test_the_unpacking_lines_of_the_tutorial_write_images_and_a_manifest(tmp_path: Path) -> None:
    found = re.search(r"<!-- test: unpack -->\n```python\n(.*?)```", README, re.DOTALL)
    assert found is not None
    images = [_jpeg(level) for level in (10, 200, 90)]
    np.savez(
        tmp_path / "set.npz",
        jpeg=np.frombuffer(b"".join(images), dtype=np.uint8),
        offset=np.cumsum([0, *map(len, images)]),
        label=np.array([3, 1, 4]),
        is_test=np.array([False, True, False]),
    )
    command = [sys.executable, "-c", found.group(1), str(tmp_path / "set.npz"), str(tmp_path / "images")]
    subprocess.run(command, check=True, timeout=60)
    rows = list(csv.DictReader((tmp_path / "images" / "manifest.csv").read_text().splitlines()))
    assert [(row["label"], row["split"]) for row in rows] == [("3", "pool"), ("1", "holdout"), ("4", "pool")]
    assert (tmp_path / "images" / rows[1]["uri"]).read_bytes() == images[1]


def _jpeg(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(file, "jpeg")
    return file.getvalue()


def test_every_command_of_the_readme_exists() -> None:
    block = README[README.index("## The command line") :]
    commands = set(re.findall(r"^    alloop (\w+)", block, re.MULTILINE))
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    assert commands == known - {"version"}


def test_the_settings_that_init_writes_are_the_defaults(tmp_path: Path) -> None:
    template = (Path(__file__).parents[1] / "alloop" / "template.toml").read_text()
    (tmp_path / "alloop.toml").write_text(template)
    (tmp_path / "bare.toml").write_text('[project]\nname = "my-project"\nlabels = ["cat", "dog"]\n')
    written, bare = load_config(tmp_path), load_config(tmp_path / "bare.toml")
    assert written.switching == bare.switching
    assert written.promotion == bare.promotion
    assert written.model == bare.model
    assert written.loop.ladder == bare.loop.ladder
