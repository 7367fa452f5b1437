"""Attempts: the deployed runs of a cycle, one after another; only the newest has a say in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alloop.clock import Clock, WallClock
from alloop.errors import CycleClosed, LeaseHeld, LeaseLost
from alloop.ledger.database import Database
from alloop.ledger.leases import is_gone, shown_owner, this_process
from alloop.ledger.renewing import let_go, renewing
from alloop.ledger.tables import AttemptRow, StepRow

__all__ = ["Attempt", "Attempts"]

LEASE_S = 60.0
"""A run on another machine that is not heard of for this long is dead; on the same machine that is seen at once."""


@dataclass(frozen=True)
class Attempt:
    """One deployed run of a cycle, counted from 1, as it looked when it was read.

    `run` is its name in Prefect, none before it has one. `done` is how many steps were finished when it began.
    `claimed` says that a process entered it and did not leave, `alive` that this process lives, as far as one can see;
    `silent_s` is the time since its last sign of life.
    """

    cycle: int
    number: int
    run: str | None
    done: int
    claimed: bool
    alive: bool
    silent_s: float


class Attempts:
    """The deployed runs of one project's cycles. Their times are those of the wall, like those of leases."""

    def __init__(self, database: Database, project: str, *, wall: Clock | None = None) -> None:
        self._database, self._project = database, project
        self._wall: Clock = wall or WallClock()

    def newest(self, cycle: int) -> Attempt | None:
        """The attempt that has the say; none for a cycle that no deployed run was ever at."""
        with self._database.read() as session:
            row = self._newest(session, cycle)
            return None if row is None else _attempt(row, self._wall.now())

    def of_run(self, run: str) -> Attempt | None:
        """The attempt that is this run."""
        with self._database.read() as session:
            row = session.scalars(select(AttemptRow).filter_by(project=self._project, run=run)).one_or_none()
            return None if row is None else _attempt(row, self._wall.now())

    def begin(self, cycle: int, number: int, *, run: str | None = None) -> bool:
        """Raise a cycle's attempt to `number`; whether it was us, since of several only one can.

        Nothing happens unless the newest one is `number` - 1.
        """
        with self._database.write() as session:
            newest = self._newest(session, cycle)
            if number != (newest.number if newest else 0) + 1:
                return False
            key = {"project": self._project, "cycle": cycle, "number": number}
            now, done = self._wall.now(), self._done(session, cycle)
            row = {**key, "run": run, "done": done, "sleeps": 0, "began_at": now, "seen_at": now}
            self._database.insert(session, AttemptRow, [row | {"token": None, "owner": None, "lease_until": None}])
            return True

    def name(self, cycle: int, number: int, run: str) -> None:
        """Note which run an attempt is; the first name stays."""
        with self._database.write() as session:
            row = self._get(session, cycle, number)
            row.run = row.run or run

    def sleep(self, cycle: int, number: int) -> int:
        """Count that the attempt's run goes to sleep; how often it has. LeaseLost when another attempt has the say."""
        with self._database.write() as session:
            row = self._get(session, cycle, number)
            self._refuse_superseded(session, row)
            row.sleeps += 1
            return row.sleeps

    def futile(self, cycle: int) -> int:
        """How many attempts in a row, up to the newest, began at the step that the cycle still stands at."""
        with self._database.read() as session:
            done, count = self._done(session, cycle), 0
            query = select(AttemptRow).filter_by(project=self._project, cycle=cycle)
            for row in session.scalars(query.order_by(AttemptRow.number.desc())):
                if row.done != done:
                    break
                count += 1
            return count

    @contextmanager
    def living(self, cycle: int, number: int, *, lease_s: float = LEASE_S) -> Iterator[None]:
        """While the block runs, others see that a process lives in the attempt.

        LeaseHeld while another process does; LeaseLost when there is a newer attempt.
        """
        token, what = self._enter(cycle, number, lease_s=lease_s), f"attempt {number} of cycle {cycle}"
        try:
            with renewing(partial(self._beat, cycle, number, token, lease_s), lease_s=lease_s, what=what):
                yield
        finally:
            let_go(partial(self._leave, cycle, number, token), what=what)

    def _enter(self, cycle: int, number: int, *, lease_s: float) -> str:
        with self._database.write() as session:
            row, now = self._get(session, cycle, number), self._wall.now()
            self._refuse_superseded(session, row)
            if row.owner is not None and _is_alive(row.owner, row.lease_until, now):
                raise LeaseHeld(
                    f"cycle {cycle} is walked by {shown_owner(row.owner)}; this can go on once that ends or is stopped"
                )
            row.token, row.owner = uuid4().hex, this_process()
            row.seen_at, row.lease_until = now, now + timedelta(seconds=lease_s)
            return row.token

    def _beat(self, cycle: int, number: int, token: str, lease_s: float) -> None:
        with self._database.write() as session:
            row, now = self._get(session, cycle, number), self._wall.now()
            if row.token != token:  # the leases of the steps keep the two apart
                raise LeaseLost(f"attempt {number} of cycle {cycle} was taken over by another process")
            row.seen_at, row.lease_until = now, now + timedelta(seconds=lease_s)

    def _leave(self, cycle: int, number: int, token: str) -> None:
        with self._database.write() as session:
            row = self._get(session, cycle, number)
            if row.token == token:
                row.token = row.owner = row.lease_until = None
                row.seen_at = self._wall.now()

    def _newest(self, session: Session, cycle: int) -> AttemptRow | None:
        query = select(AttemptRow).filter_by(project=self._project, cycle=cycle)
        return session.scalars(query.order_by(AttemptRow.number.desc()).limit(1)).one_or_none()

    def _get(self, session: Session, cycle: int, number: int) -> AttemptRow:
        row = session.get(AttemptRow, (self._project, cycle, number), with_for_update=True)
        if row is None:
            raise CycleClosed(f"cycle {cycle} has no attempt {number}; see 'alloop status'")
        return row

    def _refuse_superseded(self, session: Session, row: AttemptRow) -> None:
        newest = self._newest(session, row.cycle)
        if newest is not None and newest.number != row.number:
            raise LeaseLost(f"attempt {row.number} of cycle {row.cycle} was taken over by attempt {newest.number}")

    def _done(self, session: Session, cycle: int) -> int:
        query = select(func.count()).select_from(StepRow).filter_by(project=self._project, cycle=cycle)
        return session.scalar(query.where(StepRow.finished_at.is_not(None))) or 0


def _is_alive(owner: str | None, lease_until: datetime | None, now: datetime) -> bool:
    return owner is not None and lease_until is not None and lease_until > now and not is_gone(owner)


def _attempt(row: AttemptRow, now: datetime) -> Attempt:
    return Attempt(
        row.cycle,
        row.number,
        row.run,
        row.done,
        claimed=row.owner is not None,
        alive=_is_alive(row.owner, row.lease_until, now),
        silent_s=(now - row.seen_at).total_seconds(),
    )
