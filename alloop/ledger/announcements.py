"""Who was told of which flag: at least once on every channel, and once only unless somebody dies while telling."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.clock import Clock, WallClock
from alloop.ledger.database import Database
from alloop.ledger.tables import AnnouncementRow, FlagRow
from alloop.nouns import Flag

__all__ = ["Announcement", "Announcements"]

STALE = timedelta(days=7)
"""Nobody is told of what was raised longer ago: neither a channel that is new, nor one that was away all that time."""


@dataclass(frozen=True)
class Announcement:
    """A flag to tell of; with its cycle and stage, `number` names it: a receiver can drop what it has heard already."""

    project: str
    flag: Flag
    number: int

    @property
    def id(self) -> str:
        """What names it everywhere."""
        return f"{self.project}/{self.flag.cycle}/{self.flag.stage}/{self.number}"


class Announcements:
    """The announcements of one project. Claims run on the time of day, as leases do."""

    def __init__(self, database: Database, project: str, clock: Clock, *, wall: Clock | None = None) -> None:
        self._database, self._project, self._clock = database, project, clock
        self._wall: Clock = wall or WallClock()

    def claim(self, channel: str, *, lease_s: float) -> Announcement | None:
        """The oldest flag that this channel was not told of, for the caller to tell now; none while another tells it.

        A claim that is neither told nor given back in `lease_s` seconds is anybody's again.
        """
        with self._database.write() as session:
            flag = self._oldest(session, channel)
            if flag is None:
                return None
            row, now = session.get(AnnouncementRow, (*_key(flag), channel)), self._wall.now()
            if row is None:
                key = {"project": flag.project, "cycle": flag.cycle, "stage": flag.stage, "number": flag.number}
                row = AnnouncementRow(**key, channel=channel, tries=0)
                session.add(row)
            if row.claimed_until is not None and row.claimed_until > now:
                return None
            row.tries, row.claimed_until = row.tries + 1, now + timedelta(seconds=lease_s)
            raised = Flag(flag.cycle, flag.stage, flag.kind, flag.hours, flag.at)
            return Announcement(self._project, raised, flag.number)

    def _oldest(self, session: Session, channel: str) -> FlagRow | None:
        told = (
            select(AnnouncementRow.number)
            .filter_by(project=self._project, channel=channel, cycle=FlagRow.cycle)
            .where(AnnouncementRow.stage == FlagRow.stage, AnnouncementRow.number == FlagRow.number)
            .where(AnnouncementRow.told_at.is_not(None))
        )
        query = select(FlagRow).filter_by(project=self._project).where(FlagRow.at > self._clock.now() - STALE)
        order = (FlagRow.at, FlagRow.cycle, FlagRow.stage, FlagRow.number)
        return session.scalars(query.where(~told.exists()).order_by(*order).limit(1)).one_or_none()

    def told(self, announcement: Announcement, channel: str) -> None:
        """Note that this channel has heard it; the first time stays."""
        with self._database.write() as session:
            row = session.get_one(AnnouncementRow, self._place(announcement, channel))
            row.told_at, row.claimed_until = row.told_at or self._clock.now(), None

    def give_back(self, announcement: Announcement, channel: str) -> None:
        """Let it be told later: the channel did not take it."""
        with self._database.write() as session:
            row = session.get_one(AnnouncementRow, self._place(announcement, channel))
            row.claimed_until = None

    def untold(self) -> int:
        """How many announcements were tried and not taken yet, over all channels."""
        with self._database.read() as session:
            query = select(AnnouncementRow.number).filter_by(project=self._project, told_at=None)
            return len(session.scalars(query).all())

    def _place(self, announcement: Announcement, channel: str) -> tuple[str, int, str, int, str]:
        flag = announcement.flag
        return self._project, flag.cycle, flag.stage, announcement.number, channel


def _key(flag: FlagRow) -> tuple[str, int, str, int]:
    return flag.project, flag.cycle, flag.stage, flag.number
