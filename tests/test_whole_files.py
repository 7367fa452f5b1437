"""Files appear whole or not at all, however many write them."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alloop.whole_files import appearing, put_in_place, write_atomically


class Broken(Exception):
    pass


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_it_gives_the_path_and_the_file_holds_the_bytes(tmp_path: Path) -> None:
    assert write_atomically(tmp_path / "x", b"new") == tmp_path / "x"
    assert (tmp_path / "x").read_bytes() == b"new"


def test_it_makes_the_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "er" / "x", b"")
    assert names(tmp_path / "deep" / "er") == {"x"}


def test_until_it_is_whole_the_old_file_stands(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"old")
    with appearing(tmp_path / "x") as fresh:
        fresh.write_bytes(b"ne")
        assert (tmp_path / "x").read_bytes() == b"old"
        fresh.write_bytes(b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_after_an_error_the_old_file_stands_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"old")

    def work() -> None:
        with appearing(tmp_path / "x") as fresh:
            fresh.write_bytes(b"ne")
            raise Broken

    with pytest.raises(Broken):
        work()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == {"x"}


def test_a_file_that_cannot_take_its_place_is_removed(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="x"):
        write_atomically(tmp_path / "x", b"new")
    assert names(tmp_path) == {"x"}


def test_it_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "x", b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_rights_that_the_writer_gives_stay(tmp_path: Path) -> None:
    with appearing(tmp_path / "x") as fresh:
        fresh.touch(0o600)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


def test_a_name_as_long_as_names_can_be_is_fine(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 255), b"new")
    assert names(tmp_path) == {"x" * 255}


def test_writers_in_one_process_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda n: write_atomically(tmp_path / "x", bytes([n]) * 50_000), range(64)))
    assert len(written) == 64
    assert len(set((tmp_path / "x").read_bytes())) == 1
    assert names(tmp_path) == {"x"}


def test_writers_in_two_processes_do_not_share_one_either(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from alloop.whole_files import write_atomically;"
        "[write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 50_000) for _ in range(30)]"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "x"), key]) for key in "ab"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert len(set((tmp_path / "x").read_bytes())) == 1
    assert names(tmp_path) == {"x"}


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bytes]] = []
    flush = os.fsync

    def noting(number: int) -> None:
        what = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file"
        seen.append((what, (tmp_path / "x").read_bytes()))
        flush(number)

    write_atomically(tmp_path / "x", b"old")
    monkeypatch.setattr(os, "fsync", noting)
    write_atomically(tmp_path / "x", b"new")
    assert seen == [("file", b"old"), ("folder", b"new")]


def test_a_folder_that_cannot_be_flushed_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def files_only(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(22, "Invalid argument")
        flush(number)

    monkeypatch.setattr(os, "fsync", files_only)
    write_atomically(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_what_is_put_in_place_leaves_its_first_name(tmp_path: Path) -> None:
    (tmp_path / "y").write_bytes(b"new")
    put_in_place(tmp_path / "y", tmp_path / "x")
    assert names(tmp_path) == {"x"}
