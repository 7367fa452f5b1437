"""`alloop pool add --labels` and `alloop export` on a real ledger."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from alloop.commands.export import export
from alloop.commands.pool import pool_add, pool_status
from alloop.cycle import wait_for_labels
from alloop.errors import ConfigError, LabelsPending
from alloop.nouns import STEPS, Split
from alloop.workspace import Workspace, open_workspace
from tests.formats.made import picture, write

TOML = """\
[project]
name = "{name}"
task = "{task}"
labels = ["cat", "dog"]
[ledger]
url = "sqlite:///ledger.db"
[model]
kind = "{kind}"
"""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command of the project in `tmp_path`, and gives what it prints; its error comes out."""
    app = typer.Typer()
    app.command("add")(pool_add)
    app.command("status")(pool_status)
    app.command("export")(export)

    def ran(*words: object, config: str = "p") -> str:
        done = CliRunner().invoke(app, [*map(str, words), "--config", str(tmp_path / config)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output.replace(f"{tmp_path}/", "")

    return ran


def project(folder: Path, *, task: str = "detect") -> Path:
    kind = "frozen" if task == "classify" else "yolo"
    return write(folder / "alloop.toml", TOML.format(name=folder.name, task=task, kind=kind))


def end_batch(ws: Workspace) -> None:
    """A first cycle in which nobody is asked anything: the labels of the pool join, and the holdout freezes."""
    cycle = ws.ledger.cycles.open_next(strategy="random", nominal=1).number
    for step in STEPS[:3]:
        with ws.ledger.steps.finishing(ws.ledger.steps.begin(cycle, step, lease_s=60)):
            pass
    wait_for_labels(ws, cycle)


def truths(folder: Path) -> dict[str, object]:
    """{id: (split, truth)} of all samples of a project."""
    with open_workspace(folder) as ws:
        samples = [one for page in ws.ledger.samples.everything(shard=100) for one in page]
        return {one.id: (one.split, one.truth) for one in (*samples, *ws.ledger.holdout.all())}


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Three labelled images for the pool, one of them of nothing, one without a label, and one to measure on."""
    project(tmp_path / "p")
    for split, names in {"train": "abcd", "val": "e"}.items():
        for name in names:
            picture(tmp_path / "set" / "images" / split / f"{name}.png")
    for path, lines in {
        "train/a": ["0 0.5 0.5 0.4 0.5"],
        "train/b": ["1 0.5 0.5 1 1"] * 2,
        "train/c": [],
        "val/e": [],
    }.items():
        write(tmp_path / "set" / "labels" / f"{path}.txt", *lines)
    write(tmp_path / "set" / "data.yaml", "names: [cat, dog]", "val: images/val")
    return tmp_path / "set"


def test_images_come_in_with_their_labels(yolo: Path, run: Run) -> None:
    told = run("add", yolo / "images", "--labels", yolo, "--holdout", "val")
    assert "5 added, 0 known, 0 set aside\n4 of 5 have labels\n" in told
    assert "pool 4" in run("status")


def test_bringing_them_in_twice_is_once(yolo: Path, run: Run) -> None:
    run("add", yolo / "images", "--labels", yolo, "--holdout", "val")
    assert "0 added, 5 known, 0 set aside" in run("add", yolo / "images", "--labels", yolo, "--holdout", "val")


def test_labels_of_people_train_at_once(yolo: Path, run: Run, tmp_path: Path) -> None:
    run("add", yolo / "images", "--labels", yolo, "--holdout", "val")
    assert "unlabelled 1" in run("status")


def test_images_that_are_set_aside_are_named(yolo: Path, run: Run) -> None:
    write(yolo / "labels" / "train" / "a.txt", "0 0.5 0.5 2 0.5")
    told = run("add", yolo / "images", "--labels", yolo)
    assert "4 added, 0 known, 1 set aside\n4 of 5 have labels, counting what is set aside\n" in told
    assert (
        "set/images/train/a.png has a label that cannot be used: set/labels/train/a.txt, line 1 reaches 50.0 px" in told
    )


def test_how_to_read_labels_is_said_with_labels_only(yolo: Path, run: Run) -> None:
    assert "are about --labels" in run("add", yolo / "images", "--holdout", "val")


def test_an_unknown_format(yolo: Path, run: Run) -> None:
    assert "kitti" in run("add", yolo / "images", "--format", "kitti")


def test_there_is_nothing_to_set_out_before_a_batch_is_complete(yolo: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(LabelsPending, match="no batch is complete yet"):
        run("export", "--out", tmp_path / "out")


@pytest.mark.parametrize("target", ["coco", "yolo"])
def test_what_is_set_out_makes_the_same_project_again(yolo: Path, run: Run, tmp_path: Path, target: str) -> None:
    run("add", yolo / "images", "--labels", yolo, "--holdout", "val")
    with open_workspace(tmp_path / "p") as ws:
        end_batch(ws)
    out = tmp_path / "out"
    assert f"wrote out as {target}: 3 in train, 1 in holdout\n" in run("export", "--out", out, "--format", target)
    project(tmp_path / "again")
    for split in ("holdout", "train"):
        labels = out / "annotations" / f"instances_{split}.json" if target == "coco" else out
        more = ("--holdout", "holdout") if split == "holdout" else ()
        run("add", out / "images" / split, "--labels", labels, *more, config="again")
    labelled = {key: value for key, value in truths(tmp_path / "p").items() if value != (Split.POOL, None)}
    assert truths(tmp_path / "again") == labelled


def test_classes_go_out_as_the_manifest_they_came_in(tmp_path: Path, run: Run) -> None:
    project(tmp_path / "p", task="classify")
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    manifest = write(
        tmp_path / "m.csv", "uri,label,group,split", "a.png,cat,x,pool", "b.png,dog,y,holdout", "c.png,,z,pool"
    )
    run("add", manifest)
    with open_workspace(tmp_path / "p") as ws:
        end_batch(ws)
    assert "wrote out as csv: 1 in train, 1 in holdout\n" in run("export", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "manifest.csv").read_text().splitlines() == [
        "uri,label,group,split",
        f"{tmp_path}/a.png,cat,x,pool",
        f"{tmp_path}/b.png,dog,y,holdout",
    ]


def test_an_image_that_changed_is_told(yolo: Path, run: Run, tmp_path: Path) -> None:
    run("add", yolo / "images", "--labels", yolo, "--holdout", "val")
    with open_workspace(tmp_path / "p") as ws:
        end_batch(ws)
    (yolo / "images" / "train" / "a.png").write_bytes(b"other")
    told = run("export", "--out", tmp_path / "out")
    assert "3 in train, 1 in holdout; 1 of them are left out:\n  set/images/train/a.png has changed since" in told


def test_a_folder_that_is_there_is_left_alone(yolo: Path, run: Run, tmp_path: Path) -> None:
    run("add", yolo / "images", "--labels", yolo, "--holdout", "val")
    with open_workspace(tmp_path / "p") as ws:
        end_batch(ws)
    with pytest.raises(ConfigError, match="is there already"):
        run("export", "--out", yolo)
