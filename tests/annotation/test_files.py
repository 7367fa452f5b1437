"""The files of the tools in folders: a disk that does not take or give them is a tool that is away."""

import resource

import pytest

from alloop.annotation.files import locked, read_lines, write_atomically, write_lines
from alloop.errors import LoopError, ToolUnavailable
from tests.annotation.test_folder import make_tool

RECORDS = [{"a": 1}, {"a": "é"}]


def test_records_are_read_as_they_were_written(tmp_path):
    write_lines(tmp_path / "x.jsonl", RECORDS)
    assert read_lines(tmp_path / "x.jsonl") == RECORDS


def test_without_a_file_there_are_no_records(tmp_path):
    assert read_lines(tmp_path / "x.jsonl") == []


@pytest.mark.parametrize("raw", [b"{", b"7", b"\xff\xfe"])
def test_a_file_that_somebody_changed_is_named(tmp_path, raw):
    (tmp_path / "x.jsonl").write_bytes(raw)
    with pytest.raises(LoopError, match=r"x\.jsonl"):
        read_lines(tmp_path / "x.jsonl")


@pytest.fixture
def full_disk():
    """No file may grow beyond 4 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_is_full_is_a_tool_that_is_away(tmp_path):
    with pytest.raises(ToolUnavailable, match=r"x cannot be written \(.*\); make room, or mount it again"):
        write_atomically(tmp_path / "x", b"too much")
    assert not (tmp_path / "x").exists()


@pytest.mark.usefixtures("full_disk")
def test_it_says_the_same_each_time_so_that_it_is_logged_once(tmp_path):
    said = set()
    for _ in range(2):
        with pytest.raises(ToolUnavailable) as told:
            write_lines(tmp_path / "x", RECORDS)
        said.add(str(told.value))
    assert len(said) == 1


def test_a_folder_where_a_file_should_be_is_no_tool_that_comes_back(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(LoopError, match=r"x cannot be read \(.*\); see what lies there"):
        read_lines(tmp_path / "x")


def test_a_file_where_a_folder_should_be_is_no_tool_that_comes_back(tmp_path):
    (tmp_path / "x").write_text("no folder")
    with pytest.raises(LoopError, match="x cannot be locked"), locked(tmp_path / "x"):
        pass


def test_what_goes_wrong_under_the_lock_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError), locked(tmp_path):
        raise PermissionError


def test_a_folder_tool_with_something_else_in_its_place_says_so(tmp_path):
    batch = tmp_path / "annotation" / "batch-0003"
    (batch / ".lock").mkdir(parents=True)
    (batch / "tasks.jsonl").write_text("")
    with pytest.raises(LoopError, match="batch-0003 cannot be locked"):
        make_tool(tmp_path).changed_since("")
