"""Mistakes and mishaps as a user meets them: one sentence and exit code 1 each, 2 for wrong usage, never a traceback."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.test_cli import PLAIN, alloop, paint, refused


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A project without images."""
    (tmp_path / "alloop.toml").write_text(PLAIN)
    return tmp_path / "alloop.toml"


@pytest.fixture
def filled(empty: Path) -> Path:
    """A project with 80 images."""
    assert alloop("pool", "add", paint(empty.parent / "images", 80), "--config", empty)[0] == 0
    return empty


# Usage


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rnu",), "no such command 'rnu'; did you mean 'run'?"),
        (("run", "--cycle", "3"), "no such option: --cycle (Possible options: --cycles); see 'alloop run --help'"),
        (("run", "--cycles", "0"), "--cycles is '0'; write a number of at least 1; see 'alloop run --help'"),
        (("demo", "--cycles", "none"), "--cycles is 'none'; write a whole number; see 'alloop demo --help'"),
        (("demo", "--task", "x"), "--task: 'x' is not one of 'classify', 'detect'; see 'alloop demo --help'"),
        (("init",), "missing argument 'folder'; see 'alloop init --help'"),
        (("cycle", "replay", "x"), "number is 'x'; write a whole number; see 'alloop cycle replay --help'"),
        (("run", "-c"), "option '-c' requires an argument; see 'alloop --help'"),
        (
            ("pool", "add"),
            "name a source, perhaps with --labels, or --from-label-studio and a project; see 'alloop pool add --help'",
        ),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(arguments: tuple[str, ...], told: str) -> None:
    code, out, err = alloop(*arguments)
    assert (code, out) == (2, "")
    assert err.lower() == f"alloop: {told}\n".lower()


def test_a_group_without_a_command_shows_its_help(empty: Path) -> None:
    code, out, err = alloop("pool")
    assert (code, err) == (2, "")
    assert "Usage: alloop pool" in out


def test_help_is_the_whole_page() -> None:
    code, out, err = alloop("run", "--help")
    assert (code, err) == (0, "")
    assert "Usage: alloop run [OPTIONS]" in out
    assert "--no-wait" in out


# A project that has not begun


def test_status_and_report_of_a_project_that_has_not_begun(empty: Path) -> None:
    code, out, _ = alloop("status", "--config", empty)
    assert code == 0
    assert "no cycle has been opened yet" in out
    assert alloop("report", "--config", empty, "--out", empty.parent / "r.html")[0] == 0


def test_a_cycle_that_never_was(empty: Path) -> None:
    assert "there is no cycle 3 in 'shapes'; see 'alloop status'" in refused("cycle", "replay", 3, "--config", empty)


# Paths


def test_a_folder_without_settings(tmp_path: Path) -> None:
    assert "make one with 'alloop init" in refused("run", "--config", tmp_path)


def test_init_inside_a_file(empty: Path) -> None:
    assert "alloop.toml/new cannot be used (Not a directory)" in refused("init", empty / "new")


def test_a_demo_in_place_of_a_file(empty: Path) -> None:
    assert "cannot be used (Not a directory)" in refused("demo", "--out", empty)
    assert empty.read_text() == PLAIN


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_a_report_never_replaces_what_is_no_file(empty: Path, what: str) -> None:
    target = empty.parent / "target"
    target.mkdir() if what == "folder" else os.mkfifo(target)
    assert "name the file that the report goes to" in refused("report", "--config", empty, "--out", target)
    assert not target.is_file()


def test_a_ledger_in_a_folder_that_is_not_there(empty: Path) -> None:
    empty.write_text(PLAIN + '[ledger]\nurl = "sqlite:///no/such/ledger.db"\n')
    told = refused("status", "--config", empty)
    assert "no/such/ledger.db does not exist; make it or change [ledger] url" in told


# Sources of images


def test_a_folder_without_images(empty: Path) -> None:
    (empty.parent / "none").mkdir()
    assert "none holds no image; add some" in refused("pool", "add", empty.parent / "none", "--config", empty)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_manifest_in_another_encoding(empty: Path, encoding: str) -> None:
    manifest = empty.parent / "m.csv"
    manifest.write_bytes("uri,label\nbär.png,dark\n".encode(encoding))
    told = refused("pool", "add", manifest, "--config", empty)
    assert "m.csv cannot be read as a manifest ('utf-8' codec can't decode" in told


def test_a_parquet_file_that_is_none(empty: Path) -> None:
    (empty.parent / "m.parquet").write_bytes(b"nonsense")
    assert "cannot be read as a manifest" in refused("pool", "add", empty.parent / "m.parquet", "--config", empty)


# Damage


def test_a_ledger_that_is_no_database(empty: Path) -> None:
    (empty.parent / "ledger.db").write_bytes(b"garbage" * 1000)
    told = refused("status", "--config", empty)
    assert "does not open: it is damaged, or no ledger (file is not a database); restore it from a backup, or" in told


def test_a_ledger_that_is_damaged_in_the_middle(filled: Path) -> None:
    ledger = filled.parent / "ledger.db"
    connection = sqlite3.connect(ledger)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sample'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with ledger.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xee" * size)
    told = refused("status", "--config", filled)
    assert "cannot be used: it is damaged, or no ledger (database disk image is malformed); restore it" in told


def test_labels_that_are_in_use_stay_and_others_may_change(filled: Path) -> None:
    filled.write_text(PLAIN.replace('"light"', '"light", "dusk"'))
    assert alloop("status", "--config", filled)[0] == 0
    filled.write_text(PLAIN.replace('"light"', '"bright"'))
    told = refused("status", "--config", filled)
    assert "differ about project 'shapes' ('bright' new; 'light', 'dusk' missing), and samples have the label" in told
    assert 'labels = ["dark", "light", "dusk"] again, or choose another [project] name' in told


# The user's own model


def test_a_model_of_ones_own_that_fails_in_its_own_way(filled: Path) -> None:
    (filled.parent / "mine.py").write_text("def make(project, section):\n    return 1 / 0\n")
    filled.write_text(PLAIN.replace('"frozen"', '"mine:make"'))
    env = {"PYTHONPATH": str(filled.parent)}
    code, _, err = alloop("run", "--direct", "--config", filled, env=env)
    assert (code, err) == (
        1,
        "alloop: model 'mine:make' cannot be made (ZeroDivisionError: division by zero); mend it or [model] kind\n",
    )


def test_what_nobody_expected_is_one_sentence_too_and_debug_shows_where(filled: Path) -> None:
    (filled.parent / "mine.py").write_text("def make(project, section):\n    return 3\n")
    filled.write_text(PLAIN.replace('"frozen"', '"mine:make"'))
    env = {"PYTHONPATH": str(filled.parent)}
    command = ("run", "--direct", "--config", filled)
    code, _, err = alloop(*command, env=env)
    assert code == 1
    assert err.splitlines()[-1] == (
        "alloop: this was not expected: AttributeError: 'int' object has no attribute 'fit'; "
        "the same command with --debug shows where"
    )
    assert "Traceback" not in err
    assert "Traceback" in alloop(*command, "--debug", env=env)[2]
