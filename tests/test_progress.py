"""How work shows that it lives: plain lines where nobody watches, a bar in a terminal."""

import os
import pty
import subprocess
import sys

import pytest

import alloop.progress as shown
from alloop.nouns import no_progress
from alloop.progress import current_progress, shown_progress


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_a_line_says_what_and_how_much(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress("adding", 2, 9)
    assert lines(capsys) == ["adding: 2 of 9"]


def test_work_of_unknown_size_only_says_what(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress("starting", 0, 0)
    assert lines(capsys) == ["starting"]


def test_the_same_work_is_not_told_again_at_once_but_its_end_is(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        for done in range(1, 10):
            progress("adding", done, 9)
    assert lines(capsys) == ["adding: 1 of 9", "adding: 9 of 9"]


def test_other_work_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress() as progress:
        progress("adding", 1, 9)
        progress("scoring", 1, 9)
    assert lines(capsys) == ["adding: 1 of 9", "scoring: 1 of 9"]


def test_long_work_is_told_again_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "LINE_EVERY_S", 0.0)
    with shown_progress() as progress:
        progress("adding", 1, 9)
        progress("adding", 2, 9)
    assert lines(capsys) == ["adding: 1 of 9", "adding: 2 of 9"]


def test_whoever_asks_within_gets_the_same_display(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_progress():
        current_progress()("deep within", 1, 1)
    assert lines(capsys) == ["deep within: 1 of 1"]


def test_outside_there_is_none() -> None:
    with pytest.raises(KeyError), shown_progress():
        raise KeyError
    assert current_progress() is no_progress


BAR = """
from alloop.progress import shown_progress
with shown_progress() as progress:
    progress("starting", 0, 0)
    for done in range(4):
        progress("adding", done, 3)
print("done")
"""


def test_in_a_terminal_it_is_a_bar() -> None:
    """A bar redraws its line: the terminal is told to move the cursor."""
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", BAR], stderr=theirs, stdout=subprocess.PIPE, env=env) as child:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:  # Linux says so when the other end is closed
            pass
        assert child.stdout is not None
        assert child.stdout.read() == b"done\n"
    os.close(ours)
    assert b"adding" in said
    assert b"3/3" in said
    assert b"\x1b[" in said
