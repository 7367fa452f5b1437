"""What the doctor finds: every fault by its name and with a remedy, and nothing wrong with a sound project."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import alloop.doctor as doctor
from alloop.doctor import diagnose
from alloop.workspace import Workspace
from tests.loop_project import Row, for_holdout, project, write_digits
from tests.small_project import run_cycles, run_until_pushed


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    """After two cycles: three models, one of them the champion; and an open batch in nobody's hands."""
    digits = write_digits(tmp_path / "images")
    rows: list[Row] = for_holdout(digits[:30]) + digits[30:]
    with project(tmp_path / "p", rows) as ws:
        run_cycles(ws, 2)
        yield ws


def faults(config: Path) -> dict[str, str]:
    return {finding.what: finding.says for finding in diagnose(config) if not finding.ok}


def rewrite(ws: Workspace, old: str, new: str) -> Path:
    text = ws.config.file.read_text()
    assert old in text
    ws.config.file.write_text(text.replace(old, new))
    return ws.config.file


def test_a_sound_project_has_no_fault(ws: Workspace) -> None:
    assert faults(ws.config.file) == {}


def test_it_tells_what_it_saw(ws: Workspace) -> None:
    seen = {finding.what: finding.says for finding in diagnose(ws.config.file)}
    assert seen["configuration"] == str(ws.config.file)
    assert seen["ledger"] == f"sqlite:///{ws.config.root / 'ledger.db'} is of this version"
    assert seen["pool"] == "80 samples, 30 unlabelled, 0 set aside"
    assert seen["images"] == "20 of them open"
    assert seen["model"] == "champion v1 loads and is the file that was registered"
    assert seen["files"] == "3 model files have the hashes that were registered"
    assert seen["tool"] == "simulated answers"
    assert seen["package alloop"]


def test_looking_changes_nothing(ws: Workspace) -> None:
    run_until_pushed(ws)
    before = ws.ledger.steps.of(2), ws.ledger.labels.cursor("simulated"), ws.clock.now()
    diagnose(ws.config.file)
    assert (ws.ledger.steps.of(2), ws.ledger.labels.cursor("simulated"), ws.clock.now()) == before


def test_a_project_before_its_first_cycle_lacks_nothing(tmp_path: Path) -> None:
    with project(tmp_path / "p", write_digits(tmp_path / "images", 3)) as ws:
        assert faults(ws.config.file) == {}


# Faults


def test_no_configuration(tmp_path: Path) -> None:
    assert "make one with 'alloop init" in faults(tmp_path / "alloop.toml")["configuration"]


def test_a_wrong_configuration(ws: Workspace) -> None:
    assert faults(rewrite(ws, "batch = 12", "bacth = 12")) == {
        "configuration": f"{ws.config.file}: unknown key 'loop.bacth'; did you mean 'batch'?"
    }


def test_a_ledger_that_is_none(ws: Workspace) -> None:
    ws.ledger.close()
    for file in ws.config.root.glob("ledger.db*"):
        file.unlink()
    (ws.config.root / "ledger.db").write_bytes(b"no database" * 500)
    assert "file is not a database" in faults(ws.config.file)["configuration"]


def test_a_ledger_of_a_newer_version(ws: Workspace) -> None:
    connection = sqlite3.connect(ws.config.root / "ledger.db")
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "upgrade alloop" in faults(ws.config.file)["configuration"]


def test_an_empty_pool(tmp_path: Path) -> None:
    with project(tmp_path / "p", []) as ws:
        assert faults(ws.config.file) == {"pool": "the pool is empty; add images with 'alloop pool add'"}


def test_images_that_are_not_where_they_were(ws: Workspace) -> None:
    (ws.config.root.parent / "images").rename(ws.config.root.parent / "elsewhere")
    (what, says), *others = faults(ws.config.file).items()
    assert what == "images"
    assert "cannot be read" in says
    assert "check the path" in says
    assert others == []


def test_a_champion_that_was_changed(ws: Workspace) -> None:
    champion = ws.ledger.models.champion()
    assert champion is not None
    ws.registry.path(champion.sha256).write_bytes(b"another model")
    found = faults(ws.config.file)
    assert set(found) == {"model", "files"}
    assert all("is damaged" in says and "restore it" in says for says in found.values())


def test_an_older_model_that_is_gone(ws: Workspace) -> None:
    ws.registry.path(ws.ledger.models.of(0)[0].sha256).unlink()
    (what, says), *others = faults(ws.config.file).items()
    assert what == "files"
    assert "restore it" in says
    assert others == []


def test_a_model_that_cannot_be_made(tmp_path: Path) -> None:
    images = write_digits(tmp_path / "images", 3)
    with project(tmp_path / "p", images, model="tests.small_project:nobody") as ws:
        assert "mend it or [model] kind" in faults(ws.config.file)["model"]


def test_an_unknown_model(ws: Workspace) -> None:
    config = rewrite(ws, "tests.small_project:nearest_centroid", "forzen")
    assert "did you mean 'frozen'?" in faults(config)["configuration"]


def test_a_tool_that_cannot_be_read(tmp_path: Path) -> None:
    digits = write_digits(tmp_path / "images", 60)
    with project(tmp_path / "p", for_holdout(digits[:20]) + digits[20:], tool="folder", loop="shard = 9") as ws:
        batch = ws.config.root / "annotation" / "batch-0000"
        batch.mkdir(parents=True)
        (batch / "tasks.jsonl").write_text("{")
        (what, says), *others = faults(ws.config.file).items()
        assert what == "tool"
        assert f"{batch / 'tasks.jsonl'}, line 1 is not what alloop wrote" in says
        assert others == []


def test_answers_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    digits = [(uri, "", group, split) for uri, _, group, split in write_digits(tmp_path / "images", 60)]
    with project(tmp_path / "p", digits, tool="folder") as ws:
        cycle = run_until_pushed(ws)
        (ws.config.root / "annotation" / f"batch-{cycle:04d}" / "labels.jsonl").write_text("what?\nwhat?\n")
        seen = {finding.what: finding for finding in diagnose(ws.config.file)}
        assert seen["tool"].ok
        assert seen["tool"].says == "folder answers, 2 answers cannot be used: see 'alloop report'"


def test_a_full_disk(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FREE_BYTES", shutil.disk_usage(ws.config.state).total + 1)
    assert "make room for models and score files" in faults(ws.config.file)["disk"]


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc, a file system that nobody can write to: run it on Linux"
)
def test_a_folder_that_nobody_can_write_to(tmp_path: Path) -> None:
    (tmp_path / "alloop.toml").write_text(
        '[project]\nname = "x"\nlabels = ["a"]\n[ledger]\nurl = "sqlite:////proc/x.db"\n'
    )
    assert "does not open" in faults(tmp_path)["configuration"]


def test_a_file_where_the_folder_of_the_state_should_be(tmp_path: Path) -> None:
    (tmp_path / "alloop.toml").write_text('[project]\nname = "x"\nlabels = ["a"]\n')
    (tmp_path / ".alloop").write_text("")
    assert "File exists" in faults(tmp_path)["configuration"]
