"""When annotators work: a week of hours in their own time zone. Pure; every time is aware, and answers are in UTC."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from alloop.errors import ConfigError

__all__ = ["ALWAYS", "WorkingHours", "parse_hours"]

ALWAYS = "always"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
SPAN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))?\s+(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")
FAR = timedelta(days=3650)
"""No question looks further ahead than ten years."""
EXAMPLE = "write them like 'Mon-Thu 09:00-17:00, Fri 09:00-13:00', or 'always'"


@dataclass(frozen=True)
class Span:
    """A stretch of work: the weekday it begins on (0: Monday), and its ends since that midnight by the clock on the wall."""

    weekday: int
    start: timedelta
    end: timedelta


@dataclass(frozen=True)
class WorkingHours:
    """A week of work, the same every week; without spans people work around the clock. Holidays are not known.

    A span is what clocks on the wall show, so on the day of a change of clocks it can be an hour longer or shorter.
    """

    spans: tuple[Span, ...] = ()
    time_zone: str = "UTC"

    @property
    def share(self) -> float:
        """The part of a week that is worked, 0 to 1; changes of clocks are not looked at."""
        if not self.spans:
            return 1.0
        monday = datetime(2001, 1, 1, tzinfo=UTC)
        return WorkingHours(self.spans).between(monday + WEEK, monday + 2 * WEEK) / WEEK

    def between(self, start: datetime, end: datetime) -> timedelta:
        """The time worked from `start` to `end`; none when the end comes first."""
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        if not self.spans:
            return max(end - start, timedelta())
        total = timedelta()
        for begins, ends in self._stretches(start):
            if begins >= end:
                break
            total += max(min(ends, end) - max(begins, start), timedelta())
        return total

    def after(self, start: datetime, work: timedelta) -> datetime:
        """The first moment, from `start` on, by which that much was worked; ten years later at most."""
        start, limit = start.astimezone(UTC), start.astimezone(UTC) + FAR
        work = min(work, FAR)
        if not self.spans or work <= timedelta():
            return start + max(work, timedelta())
        for begins, ends in self._stretches(start):
            if begins >= limit:
                break
            worked = max(ends - max(begins, start), timedelta())
            if worked >= work:
                return min(max(begins, start) + work, limit)
            work -= worked
        return limit

    def _stretches(self, start: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Stretches of work in UTC, in order and apart, from the one that `start` may lie in; they never end."""
        zone = _zone(self.time_zone)
        day = (start.astimezone(zone) - 2 * DAY).date()
        until = datetime.min.replace(tzinfo=UTC)
        while True:
            for span in self.spans:
                if span.weekday == day.weekday():
                    begins, ends = max(_moment(day, span.start, zone), until), _moment(day, span.end, zone)
                    if begins < ends:
                        until = ends
                        yield begins, ends
            day += DAY


def _moment(day: date, since: timedelta, zone: ZoneInfo) -> datetime:
    """When clocks in that zone show this; arithmetic on a time with a zone is arithmetic on its face."""
    return (datetime(day.year, day.month, day.day, tzinfo=zone) + since).astimezone(UTC)


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def parse_hours(text: str, time_zone: str = "UTC") -> WorkingHours:
    """Hours such as "Mon-Fri 09:00-17:00", several with commas between, or "always"; 22:00-06:00 ends on the next day.

    Raises:
        ConfigError: a word that is none, no work at all, or a time zone that the IANA database does not have.
    """
    try:
        _zone(time_zone)
    except (KeyError, OSError, ValueError):  # an unknown name, a folder of names, and a path
        raise ConfigError(f"there is no time zone '{time_zone}'; write it like Europe/Berlin") from None
    if text.strip().lower() == ALWAYS:
        return WorkingHours(time_zone=time_zone)
    spans = [span for part in text.split(",") for span in _spans(part.strip().lower(), text)]
    return WorkingHours(tuple(sorted(spans, key=lambda span: (span.weekday, span.start, span.end))), time_zone)


def _spans(part: str, text: str) -> Iterator[Span]:
    found = SPAN.fullmatch(part)
    if found is None or found[1] not in DAYS or (found[2] or found[1]) not in DAYS:
        raise ConfigError(f"the hours '{text}' are not understood; {EXAMPLE}")
    start, end = (_since_midnight(found[place], found[place + 1], text) for place in (3, 5))
    if start == end:
        raise ConfigError(f"the hours '{text}' hold a stretch without work; {EXAMPLE}")
    first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
    for step in range((last - first) % 7 + 1):
        yield Span((first + step) % 7, start, end if end > start else end + DAY)


def _since_midnight(hours: str, minutes: str, text: str) -> timedelta:
    if int(minutes) > 59 or int(hours) * 60 + int(minutes) > 24 * 60:
        raise ConfigError(f"the hours '{text}' hold a time {hours}:{minutes}; {EXAMPLE}")
    return timedelta(hours=int(hours), minutes=int(minutes))
