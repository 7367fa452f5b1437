"""A ledger on a disk that is full, read-only or failing: what is told, and what can still be read."""

import ctypes
import os
import resource
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import make_url

from alloop.errors import ConfigError, LoopError
from alloop.ledger import disk
from alloop.ledger.disk import Fault, find_fault

CAPABILITIES = 0x20080522  # version 3, as linux/capability.h has it


def give_up_roots_rights() -> None:
    """From now on this thread may write only what permissions allow, whoever runs the tests."""
    if os.geteuid() != 0:
        return
    header, nothing = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None, use_errno=True).capset(header, nothing) == 0, os.strerror(ctypes.get_errno())


@contextmanager
def read_only(folder):
    """A place to run things that cannot write to `folder` and the files in it."""
    modes = {path: path.stat().st_mode for path in (folder, *folder.iterdir())}
    for path in modes:
        path.chmod(0o555)
    try:
        with ThreadPoolExecutor(1, initializer=give_up_roots_rights) as thread:
            yield lambda do: thread.submit(do).result(60)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)


@contextmanager
def files_of_at_most(size_bytes: int):
    """A file system on which no file can grow beyond that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def at(tmp_path, open_at, loop_of):
    """The URL of a ledger with two samples in a folder of its own; nobody has it open."""
    (tmp_path / "p").mkdir()
    url = f"sqlite:///{tmp_path}/p/ledger.db"
    with open_at(url, project="birds") as ledger:
        loop_of(ledger).add("ab")
    return url


def sentence(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_read_only_ledger_can_be_read(tmp_path, at, open_at):
    def count():
        with open_at(at, project="birds") as ledger:
            return ledger.samples.counts()["samples"], ledger.cycles.all()

    with read_only(tmp_path / "p") as away:
        assert away(count) == (2, ())
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["ledger.db"]


def test_a_read_only_ledger_cannot_be_written_and_says_so(tmp_path, at, open_at):
    def write():
        with open_at(at, project="birds") as ledger:
            ledger.cycles.open_next(strategy="margin", nominal=1)

    with (
        read_only(tmp_path / "p") as away,
        pytest.raises(LoopError, match=r"may be read but not written .*; give yourself write permission") as error,
    ):
        away(write)
    assert str(tmp_path / "p") in sentence(error)


def test_a_new_project_is_not_entered_into_a_read_only_ledger(tmp_path, at, open_at):
    with read_only(tmp_path / "p") as away, pytest.raises(LoopError, match="may be read but not written"):
        away(lambda: open_at(at, project="fish"))


def test_a_read_only_ledger_of_an_older_version_is_not_opened(tmp_path, at, open_at):
    with closing(sqlite3.connect(tmp_path / "p" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0008'")
    with read_only(tmp_path / "p") as away, pytest.raises(ConfigError, match="may be read but not written") as error:
        away(lambda: open_at(at, project="birds"))
    assert sentence(error)


def test_what_a_log_still_holds_is_not_passed_over(tmp_path, at, open_at):
    """Without its log the file would be an older state."""
    with closing(sqlite3.connect(tmp_path / "p" / "ledger.db")) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("DELETE FROM sample WHERE id = 'a'")
        connection.commit()
        left = {path: path.read_bytes() for path in (tmp_path / "p").glob("ledger.db*")}
    for path, content in left.items():  # as a crash leaves them
        if not path.name.endswith("-shm"):
            path.write_bytes(content)
    with read_only(tmp_path / "p") as away, pytest.raises(ConfigError, match="may be read but not written"):
        away(lambda: open_at(at, project="birds"))
    with open_at(at, project="birds") as ledger:
        assert ledger.samples.counts()["samples"] == 1


def test_a_disk_that_fails_is_not_blamed_on_the_url(at, open_at):
    with files_of_at_most(1000), pytest.raises(ConfigError, match="its disk cannot be read or written") as error:
        open_at(at, project="birds")
    assert "check the disk, or restore it" in sentence(error)


def test_a_disk_without_room_is_full_by_whatever_name(at, open_at, monkeypatch):
    monkeypatch.setattr(disk, "LOW_BYTES", 1 << 62)
    with files_of_at_most(1000), pytest.raises(ConfigError, match=r"its disk is full .*; make room there"):
        open_at(at, project="birds")


def test_a_ledger_that_cannot_grow_is_on_a_full_disk(at, open_at, loop_of):
    with open_at(at, project="birds") as ledger:
        with ledger.database.read() as session:
            session.connection().exec_driver_sql("PRAGMA max_page_count=1")  # the least there is: no page more
        with pytest.raises(LoopError, match=r"its disk is full \(database or disk is full\); make room there"):
            loop_of(ledger).add([f"{number:0200}" for number in range(500)])


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        ("database or disk is full", Fault.FULL),
        ('could not extend file "base/1/2": No space left on device', Fault.FULL),
        ("attempt to write a readonly database", Fault.READ_ONLY),
        ("unable to open database file", None),
        ("database disk image is malformed", Fault.DAMAGED),
        ("file is not a database", Fault.DAMAGED),
        ("disk I/O error", Fault.DISK),
        ('database "nowhere" does not exist', None),
    ],
)
def test_what_a_database_complains_of(tmp_path, cause, fault):
    assert find_fault(make_url(f"sqlite:///{tmp_path}/none.db"), cause) is fault
