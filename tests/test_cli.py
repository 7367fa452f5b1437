"""The command line as a user types it: in a process of its own, with exit codes and one sentence per error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PLAIN = """\
[project]
name = "shapes"
labels = ["dark", "light"]

[model]
kind = "frozen"
image_size = 16

[loop]
batch = 10
holdout = 20
ladder = ["margin", "random"]
poll_s = 3600

[annotation]
tool = "simulated"

[annotation.simulated]
pickup_hours = 1
"""


def alloop(*arguments: object, folder: Path | None = None, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "alloop", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=os.environ | (env or {}),
    )
    return done.returncode, done.stdout, done.stderr


def refused(*arguments: object) -> str:
    """The one sentence of a command that fails."""
    code, out, err = alloop(*arguments)
    assert code == 1, f"{out}\n{err}"
    assert err.count("\n") == 1
    assert err.startswith("alloop: ")
    assert "Traceback" not in err
    return err


def paint(folder: Path, count: int) -> Path:
    """Dark and light pictures, and a manifest that says which is which."""
    folder.mkdir()
    dice = np.random.default_rng(1)
    rows = ["uri,label"]
    for number in range(count):
        base = 40 if number % 2 else 200
        pixels = np.clip(dice.normal(base, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
        rows.append(f"{number:03d}.png,{'dark' if number % 2 else 'light'}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without images."""
    (tmp_path / "alloop.toml").write_text(PLAIN)
    return tmp_path / "alloop.toml"


@pytest.fixture
def filled(project: Path) -> Path:
    """A project with 80 images."""
    code, _, err = alloop("pool", "add", paint(project.parent / "images", 80), "--config", project)
    assert code == 0, err
    return project


# A user's first steps


def test_init_writes_settings_that_load_and_explain_themselves(tmp_path: Path) -> None:
    assert alloop("init", tmp_path / "new")[0] == 0
    text = (tmp_path / "new" / "alloop.toml").read_text()
    assert text.count("#") > 20
    assert alloop("pool", "status", "--config", tmp_path / "new" / "alloop.toml")[0] == 0


def test_init_never_writes_over_settings(project: Path) -> None:
    assert "is there already" in refused("init", project.parent)
    assert project.read_text() == PLAIN


def test_a_cold_start_runs_to_a_report(filled: Path) -> None:
    code, out, err = alloop("run", "--direct", "--cycles", 2, "--config", filled)
    assert code == 0, err
    assert "margin" in out
    code, out, _ = alloop("status", "--json", "--config", filled)
    assert json.loads(out)["counts"]["holdout"] == 20
    page = filled.parent / "page.html"
    assert alloop("report", "--config", filled, "--out", page)[0] == 0
    assert page.read_text().startswith("<!doctype html>")


def test_every_batch_can_be_chosen_again_from_its_scores(filled: Path) -> None:
    filled.write_text(PLAIN.replace('"margin", "random"', '"uncertainty-coreset", "badge"'))
    code, _, err = alloop("run", "--direct", "--cycles", 3, "--config", filled)
    assert code == 0, err
    for number in range(3):
        code, out, err = alloop("cycle", "replay", number, "--config", filled)
        assert code == 0, out + err
        assert out.startswith("identical: ")


def test_without_waiting_the_exit_code_tells_that_labels_are_missing(filled: Path) -> None:
    code, _, err = alloop("run", "--direct", "--no-wait", "--config", filled)
    assert code == 3
    assert "0 of 30 samples of cycle 0 are answered" in err


def test_people_label_in_a_folder_and_the_same_command_goes_on(filled: Path) -> None:
    filled.write_text(PLAIN.replace('tool = "simulated"', 'tool = "folder"').replace('"shapes"', '"by-hand"'))
    images = filled.parent / "images"
    assert alloop("pool", "add", images, "--config", filled)[0] == 0
    run = ("run", "--direct", "--no-wait", "--config", filled)
    assert alloop(*run)[0] == 3
    batch = filled.parent / "annotation" / "batch-0000"
    tasks = [json.loads(line) for line in (batch / "tasks.jsonl").read_text().splitlines()]
    assert len(tasks) == 30
    answers = [{"sample": task["sample"], "label": _look(Path(task["uri"]))} for task in tasks]
    lines = [json.dumps(answer) for answer in answers]
    (batch / "labels.jsonl").write_text("\n".join([*lines[:29], '{"sample": "nobody", "label": "dark"}']) + "\n")
    assert alloop(*run)[0] == 3
    with (batch / "labels.jsonl").open("a") as file:
        file.write(lines[29] + "\n")
    code, out, err = alloop(*run)
    assert code == 0, err
    assert "margin" in out
    refusals = json.loads(alloop("status", "--json", "--config", filled)[1])["refusals"]
    assert any("labels.jsonl:30" in refusal["where"] for refusal in refusals)


def _look(path: Path) -> str:
    return "dark" if np.asarray(Image.open(path)).mean() < 120 else "light"


def test_doctor_finds_nothing_wrong_with_a_sound_project(filled: Path) -> None:
    code, out, _ = alloop("doctor", "--config", filled)
    assert code == 0, out
    assert "BAD" not in out


def test_doctor_names_a_model_file_that_was_changed(filled: Path) -> None:
    assert alloop("run", "--direct", "--config", filled)[0] == 0
    (model,) = (filled.parent / ".alloop" / "models").iterdir()
    model.write_bytes(b"something else")
    code, out, _ = alloop("doctor", "--config", filled)
    assert code == 1
    assert "restore it" in out


def test_the_environment_overrides_the_file(filled: Path, tmp_path: Path) -> None:
    env = {"ALLOOP_LEDGER__URL": f"sqlite:///{tmp_path / 'other.db'}"}
    assert alloop("pool", "status", "--config", filled, env=env)[1].split()[1] == "0"
    assert (tmp_path / "other.db").exists()


# What bad input gets


def test_a_missing_config(tmp_path: Path) -> None:
    assert "make one with 'alloop init" in refused("status", "--config", tmp_path / "alloop.toml")


def test_an_unknown_key(project: Path) -> None:
    project.write_text(PLAIN.replace("batch = 10", "bacth = 10"))
    assert "unknown key 'loop.bacth'; did you mean 'batch'?" in refused("status", "--config", project)
    assert not (project.parent / "ledger.db").exists()


def test_an_unknown_strategy(project: Path) -> None:
    project.write_text(PLAIN.replace('"margin"', '"margins"'))
    assert "there is no strategy 'margins'; did you mean 'margin'?" in refused("run", "--config", project)
    assert not (project.parent / "ledger.db").exists()


def test_an_unknown_model(filled: Path) -> None:
    filled.write_text(PLAIN.replace('"frozen"', '"forzen"'))
    assert "there is no model 'forzen'" in refused("run", "--direct", "--config", filled)


def test_a_missing_source(project: Path) -> None:
    assert "nowhere" in refused("pool", "add", project.parent / "nowhere", "--config", project)


def test_a_manifest_without_uri(project: Path) -> None:
    manifest = project.parent / "m.csv"
    manifest.write_text("image,label\na.png,dark\n")
    assert "uri" in refused("pool", "add", manifest, "--config", project)


def test_a_label_outside_the_label_set(project: Path) -> None:
    manifest = paint(project.parent / "images", 4)
    manifest.write_text(manifest.read_text().replace("dark", "drak"))
    assert "'drak'" in refused("pool", "add", manifest, "--config", project)
    assert alloop("pool", "status", "--config", project)[1].split()[1] == "0"


def test_two_rows_with_one_uri(project: Path) -> None:
    manifest = paint(project.parent / "images", 4)
    manifest.write_text(manifest.read_text() + "\n000.png,light")
    assert "000.png" in refused("pool", "add", manifest, "--config", project)
    assert alloop("pool", "status", "--config", project)[1].split()[1] == "0"


def test_a_truncated_image_is_set_aside_and_named(project: Path) -> None:
    manifest = paint(project.parent / "images", 4)
    image = manifest.with_name("002.png")
    image.write_bytes(image.read_bytes()[:60])
    code, out, _ = alloop("pool", "add", manifest, "--config", project)
    assert code == 0
    assert "3 added, 0 known, 1 set aside" in out
    assert "002.png" in out


def test_an_empty_pool(project: Path) -> None:
    assert "add some with 'alloop pool add'" in refused("run", "--direct", "--config", project)


def test_a_batch_larger_than_the_pool(filled: Path) -> None:
    filled.write_text(PLAIN.replace("batch = 10", "batch = 500"))
    assert "60 samples remain after a holdout of 20 for a batch of 500" in refused(
        "run", "--direct", "--config", filled
    )
    filled.write_text(PLAIN)
    assert alloop("run", "--direct", "--config", filled)[0] == 0


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert alloop("run", "--cycles", "none")[0] == 2


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    code, _, err = alloop("status", "--config", tmp_path, "--debug")
    assert code == 1
    assert "Traceback" in err
