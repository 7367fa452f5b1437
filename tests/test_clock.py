"""Clocks: the time of day, and one that moves only when somebody sleeps."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alloop.clock import VirtualClock, WallClock
from alloop.errors import LoopError

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_the_wall_clock_tells_the_time_of_day_in_utc() -> None:
    now = WallClock().now()
    assert now.tzinfo is UTC
    assert abs(now.timestamp() - time.time()) < 5


def test_on_the_wall_clock_sleep_takes_its_time() -> None:
    before = time.monotonic()
    WallClock().sleep(0.05)
    assert time.monotonic() - before >= 0.05


def test_a_virtual_clock_begins_where_it_is_told_and_writes_nothing(tmp_path: Path) -> None:
    assert VirtualClock(tmp_path / "clock" / "x", NOON).now() == NOON
    assert not (tmp_path / "clock").exists()


def test_it_stands_still_until_somebody_sleeps(tmp_path: Path) -> None:
    clock = VirtualClock(tmp_path / "x", NOON)
    time.sleep(0.01)
    assert clock.now() == NOON


def test_sleeping_for_days_takes_no_time(tmp_path: Path) -> None:
    clock, before = VirtualClock(tmp_path / "deep" / "x", NOON), time.monotonic()
    clock.sleep(48 * 3600)
    assert clock.now() == NOON + timedelta(days=2)
    assert time.monotonic() - before < 1


def test_its_time_is_aware_after_it_was_written_too(tmp_path: Path) -> None:
    clock = VirtualClock(tmp_path / "x", NOON)
    clock.sleep(0.25)
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.now() - NOON == timedelta(seconds=0.25)


def test_every_process_sees_the_same_time(tmp_path: Path) -> None:
    clock = VirtualClock(tmp_path / "x", NOON)
    program = (
        "import sys; from datetime import datetime; from pathlib import Path; from alloop.clock import VirtualClock;"
        "VirtualClock(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])).sleep(3600)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "x"), NOON.isoformat()], check=True)
    assert clock.now() == NOON + timedelta(hours=1)


def test_a_file_that_holds_no_time_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("yesterday")
    with pytest.raises(LoopError, match="x holds no time"):
        VirtualClock(tmp_path / "x", NOON).now()


def test_it_leaves_no_other_file_behind_but_its_lock(tmp_path: Path) -> None:
    VirtualClock(tmp_path / "x", NOON).sleep(1)
    assert {file.name for file in tmp_path.iterdir()} == {"x", ".x.lock"}


def test_of_sleepers_in_several_threads_nobody_loses_time(tmp_path: Path) -> None:
    clock = VirtualClock(tmp_path / "x", NOON)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(clock.sleep, [1.0] * 100)) == [None] * 100
    assert clock.now() == NOON + timedelta(seconds=100)


def test_of_sleepers_in_several_processes_nobody_loses_time(tmp_path: Path) -> None:
    program = (
        "import sys; from datetime import datetime; from pathlib import Path; from alloop.clock import VirtualClock;"
        "clock = VirtualClock(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]));"
        "[clock.sleep(1) for _ in range(100)]"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "x"), NOON.isoformat()]
    sleepers = [subprocess.Popen(command) for _ in range(2)]
    assert [sleeper.wait(timeout=60) for sleeper in sleepers] == [0, 0]
    assert VirtualClock(tmp_path / "x", NOON).now() == NOON + timedelta(seconds=200)
