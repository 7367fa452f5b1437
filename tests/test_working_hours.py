"""Hours of a week by the clocks of a place; 2026-11-02 is a Monday, and clocks in Berlin change on 2026-03-29 and 2026-10-25."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.config import load_config
from alloop.errors import ConfigError
from alloop.working_hours import WorkingHours, parse_hours

OFFICE = parse_hours("Mon-Fri 09:00-17:00", "Europe/Berlin")
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def test_office_hours_are_those_of_the_place() -> None:
    assert OFFICE.between(at(2, 0), at(3, 0)) == 8 * HOUR
    assert OFFICE.between(at(2, 0), at(2, 8)) == timedelta()  # 09:00 in Berlin is 08:00 UTC in winter
    assert OFFICE.between(at(2, 8), at(2, 9)) == HOUR


def test_in_summer_the_same_office_opens_an_hour_earlier() -> None:
    assert OFFICE.between(at(6, 7, month=7), at(6, 8, month=7)) == HOUR


def test_nobody_works_at_the_weekend() -> None:
    assert OFFICE.between(at(6, 16), at(9, 8)) == timedelta()
    assert OFFICE.between(at(2, 0), at(9, 0)) == 40 * HOUR


def test_work_that_does_not_fit_on_friday_is_done_on_monday() -> None:
    assert OFFICE.after(at(6, 15), 2 * HOUR) == at(9, 9)


def test_work_that_ends_with_the_day_ends_that_day() -> None:
    assert OFFICE.after(at(6, 15), HOUR) == at(6, 16)


def test_no_work_is_done_at_once_also_at_night() -> None:
    assert OFFICE.after(at(7, 3), timedelta()) == at(7, 3)


def test_around_the_clock_an_hour_is_an_hour() -> None:
    always = parse_hours("always")
    assert always.after(at(7, 3), 30 * HOUR) == at(8, 9)
    assert always.between(at(7, 3), at(8, 9)) == 30 * HOUR
    assert always.share == 1


def test_a_night_shift_ends_on_the_next_day() -> None:
    night = parse_hours("Sun 22:00-06:00")
    assert night.between(at(8, 0), at(9, 12)) == 8 * HOUR
    assert night.after(at(8, 12), 3 * HOUR) == at(9, 1)


def test_days_go_around_the_end_of_the_week() -> None:
    assert parse_hours("Sat-Mon 10:00-11:00").between(MONDAY, MONDAY + timedelta(days=7)) == 3 * HOUR


def test_several_stretches_that_overlap_count_once() -> None:
    both = parse_hours("Mon 09:00-13:00, Mon 12:00-17:00")
    assert both.between(at(2, 0), at(3, 0)) == 8 * HOUR
    assert both.share == pytest.approx(8 / 168)


@pytest.mark.parametrize(("day", "month", "hours"), [(29, 3, 23), (25, 10, 25), (28, 3, 24)])
def test_a_day_on_which_clocks_change_has_23_or_25_hours(day: int, month: int, hours: int) -> None:
    whole = parse_hours("Mon-Sun 00:00-24:00", "Europe/Berlin")
    start = datetime(2026, month, day, tzinfo=timezone(timedelta(hours=1 if month == 3 else 2)))
    midnight = timezone(timedelta(hours=2 if (day, month) == (29, 3) else 1))
    assert whole.between(start, datetime(2026, month, day, tzinfo=midnight) + timedelta(days=1)) == hours * HOUR


def test_a_night_shift_over_the_change_of_clocks_is_an_hour_shorter() -> None:
    night = parse_hours("Sat 22:00-06:00", "Europe/Berlin")
    assert night.between(at(28, 12, month=3), at(29, 12, month=3)) == 7 * HOUR


@pytest.mark.parametrize(
    ("hours", "zone", "told"),
    [
        ("Mon-Fri 9-17", "UTC", "the hours 'Mon-Fri 9-17' are not understood"),
        ("Mo-Fr 09:00-17:00", "UTC", "are not understood"),
        ("", "UTC", "are not understood"),
        ("Mon 09:00-09:00", "UTC", "a stretch without work"),
        ("Mon 09:00-24:30", "UTC", "a time 24:30"),
        ("Mon 09:61-10:00", "UTC", "a time 09:61"),
        ("always", "Europe/Berln", "there is no time zone 'Europe/Berln'"),
        ("always", "../../etc/passwd", "there is no time zone"),
        ("always", "Europe", "there is no time zone"),
    ],
)
def test_what_is_not_understood_is_refused(hours: str, zone: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace(".", r"\.")):
        parse_hours(hours, zone)


@pytest.mark.parametrize(
    ("written", "told"),
    [("hours = 'Mon-Fri 9-17'", "'Mon-Fri 9-17' are not understood"), ("time_zone = 'Mars'", "no time zone 'Mars'")],
)
def test_alloop_toml_says_where_hours_are_wrong(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "alloop.toml").write_text(f'[project]\nname = "x"\nlabels = ["a", "b"]\n[annotators]\n{written}\n')
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path)
    assert told in str(error.value)
    assert "'annotators'" in str(error.value)


weeks = st.sampled_from(
    [
        WorkingHours(),
        OFFICE,
        parse_hours("Mon-Sun 00:00-24:00", "Europe/Berlin"),
        parse_hours("Sat-Mon 22:00-06:00, Wed 01:30-03:30", "America/New_York"),
        parse_hours("Tue 12:00-12:01", "Asia/Kathmandu"),
    ]
)
moments = st.integers(0, 400 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
spells = st.integers(1, 60 * 60).map(lambda seconds: timedelta(seconds=seconds))


@given(weeks, moments, spells)
def test_after_is_when_between_says_that_it_is_done(hours: WorkingHours, start: datetime, work: timedelta) -> None:
    assert hours.between(start, hours.after(start, work)) == work


@given(weeks, moments, moments, moments)
def test_what_is_worked_in_two_parts_is_worked_in_all(
    hours: WorkingHours, a: datetime, b: datetime, c: datetime
) -> None:
    first, middle, last = sorted((a, b, c))
    assert hours.between(first, middle) + hours.between(middle, last) == hours.between(first, last)
    assert timedelta() <= hours.between(first, last) <= last - first


@given(weeks, moments, spells)
def test_the_zone_in_which_a_moment_is_told_changes_nothing(
    hours: WorkingHours, start: datetime, work: timedelta
) -> None:
    elsewhere = start.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert hours.after(elsewhere, work) == hours.after(start, work)
