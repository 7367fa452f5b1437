"""The files of the tools in folders: a disk that does not take or give them is a tool that is away."""

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


def test_a_file_that_cannot_be_written_is_a_tool_that_is_away(tmp_path):
    (tmp_path / "x" / "in the way").mkdir(parents=True)
    with pytest.raises(ToolUnavailable, match=r"x cannot be written \(.*\); make room or check its permissions"):
        write_atomically(tmp_path / "x", b"")


def test_it_says_the_same_each_time_so_that_it_is_logged_once(tmp_path):
    (tmp_path / "x" / "in the way").mkdir(parents=True)
    said = set()
    for _ in range(2):
        with pytest.raises(ToolUnavailable) as told:
            write_lines(tmp_path / "x", RECORDS)
        said.add(str(told.value))
    assert len(said) == 1


def test_a_file_that_cannot_be_read_is_a_tool_that_is_away(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(ToolUnavailable, match="x cannot be read"):
        read_lines(tmp_path / "x")


def test_a_folder_that_cannot_be_locked_is_a_tool_that_is_away(tmp_path):
    (tmp_path / "x").write_text("no folder")
    with pytest.raises(ToolUnavailable, match="x cannot be locked"), locked(tmp_path / "x"):
        pass


def test_what_goes_wrong_under_the_lock_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError), locked(tmp_path):
        raise PermissionError


def test_a_folder_tool_whose_disk_is_away_says_so(tmp_path):
    batch = tmp_path / "annotation" / "batch-0003"
    (batch / ".lock").mkdir(parents=True)
    (batch / "tasks.jsonl").write_text("")
    with pytest.raises(ToolUnavailable, match="batch-0003 cannot be locked"):
        make_tool(tmp_path).changed_since("")
