"""What is told of a cycle that was given up."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from alloop.commands.cycle import cycle_cancel
from alloop.hands_on import _reason
from alloop.ledger.expiry import AskedItem
from alloop.nouns import Lane
from alloop.plurals import counted
from tests.loop_project import Row, for_holdout, project, write_digits
from tests.small_project import run_until_pushed

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def items(answered: int, left: int, *, lane: Lane = Lane.ACTIVE) -> tuple[AskedItem, ...]:
    times = [(NOW,)] * answered + [()] * left
    return tuple(AskedItem(str(place), lane, None, 1, at) for place, at in enumerate(times))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((), ", before a batch was chosen"),
        (items(30, 0), ": all 30 samples had answers, which are kept"),
        (items(1, 0), ": its one sample had an answer, which is kept"),
        (items(2, 3), ": 2 of 5 samples had answers, which are kept; the others are in the pool again"),
        (items(1, 1), ": 1 of 2 samples had an answer, which is kept; the other one is in the pool again"),
        (items(0, 1), ": nobody had answered its 1 sample, now in the pool again"),
        (items(0, 4), ": nobody had answered its 4 samples, now in the pool again"),
        (items(2, 0) + items(2, 0, lane=Lane.HOLDOUT), ": all 4 samples had answers, which are kept"),
        (
            items(2, 0) + items(0, 1, lane=Lane.HOLDOUT),
            ": 2 of 3 samples had answers, which are kept; the other one is in the pool again, or asked for again where "
            "they belong to the holdout",
        ),
    ],
)
def test_what_became_of_the_batch(asked: tuple[AskedItem, ...], told: str) -> None:
    assert _reason("wait_for_labels", asked) == f"cancelled by a person at wait_for_labels{told}"


def test_a_second_time_nothing_is_left_to_cancel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[Row] = write_digits(tmp_path / "images", 80)
    with project(tmp_path / "p", for_holdout(rows[:30]) + rows[30:]) as ws:
        run_until_pushed(ws)
        cycle_cancel(ws.config.file)
        cycle_cancel(ws.config.file)
    first, _, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("cycle 0 is cancelled by a person at ")
    assert second == first.replace("cycle 0 is", "nothing is left to cancel: cycle 0 was")


def test_one_is_not_many() -> None:
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
