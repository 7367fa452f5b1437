"""What a terminal shows of a project."""

import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from alloop.nouns import Flag
from alloop.summary import Summary, summarise
from alloop.tables import FLAGS, cycle_table, duration, flag_line, stage_lines
from tests.small_project import run_cycles, run_until_pushed, small_project, write_images


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Summary]:
    root = tmp_path_factory.mktemp("tables")
    with small_project(root / "project", write_images(root / "data"), ladder=("uncertainty-kmeans", "random")) as ws:
        run_cycles(ws, 2)
        run_until_pushed(ws)
        yield summarise(ws)


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (0.0, "0 s"),
        (41.4 / 3600, "41 s"),
        (59.4 / 3600, "59 s"),
        (59.6 / 3600, "1 min"),
        (0.2, "12 min"),
        (59.4 / 60, "59 min"),
        (59.6 / 60, "1 h"),
        (10.84, "10.8 h"),
        (48.0, "48 h"),
        (120.0, "120 h"),
    ],
)
def test_a_time_is_told_in_the_unit_that_suits_it(hours: float, told: str) -> None:
    assert duration(hours) == told


@pytest.mark.parametrize("columns", [80, 99, 100, 200])
def test_a_table_fits_its_terminal(summary: Summary, columns: int) -> None:
    lines = shown(summary, columns)
    assert max(map(len, lines)) <= min(columns, 100)
    assert not any("…" in line for line in lines)


def test_a_narrow_terminal_does_without_the_unclear_answers(summary: Summary) -> None:
    assert "unclear" in shown(summary, 100)[0]
    assert "unclear" not in shown(summary, 80)[0]
    assert shown(summary, 80)[0].endswith("decision  h/48")


def test_the_heads_of_the_last_columns_stand_apart(summary: Summary) -> None:
    assert shown(summary, 100)[0].endswith("decision  unclear  h/48")


def shown(summary: Summary, columns: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=columns).print(cycle_table(summary, columns=columns))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_newest_announcements_are_repeated_and_the_others_counted(summary: Summary) -> None:
    flags = tuple(Flag(cycle, "cycle", "at_risk", 50.0, summary.now) for cycle in range(9))
    lines = [line for line in stage_lines(replace(summary, flags=flags)) if line.startswith("flag")]
    assert lines == [
        *(f"flag      cycle {flag.cycle}: {flag_line(flag)}" for flag in flags[-FLAGS:]),
        f"flags     {9 - FLAGS} earlier ones; 'alloop report' shows all",
    ]


def test_few_announcements_are_all_there(summary: Summary) -> None:
    flags = (Flag(1, "retrain", "breached", 50.0, summary.now),)
    lines = [line for line in stage_lines(replace(summary, flags=flags)) if line.startswith("flag")]
    assert lines == ["flag      cycle 1: retrain breached after 50 h"]
