"""Cycles and their steps: clocks, leases, and the rule that a finished step stays as it is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alloop.clock import Clock, WallClock
from alloop.errors import CycleClosed, LeaseHeld, LeaseLost
from alloop.ledger.database import Database
from alloop.ledger.interventions import refuse_held_back
from alloop.ledger.leases import Lease, is_gone, shown_owner, this_process
from alloop.ledger.renewing import let_go, renewing
from alloop.ledger.tables import ContinuationRow, CycleRow, DecisionRow, StepRow
from alloop.log_lines import at_step
from alloop.nouns import STEPS, Action, Cycle, Stage

__all__ = ["Cycles", "Steps", "close_cycle"]

LEASE_S = 60.0
"""Somebody on another machine can take a dead process's step after this long; on the same machine, at once."""


class Cycles:
    """The turns of one project's loop."""

    def __init__(self, database: Database, project: str, clock: Clock) -> None:
        self._database, self._project, self._clock = database, project, clock

    def open_next(self, *, strategy: str, nominal: int) -> Cycle:
        """The open cycle, or a new one; who comes second gets the first one's. CycleClosed on hold or at the end."""
        with self._database.write() as session:
            last = _last(session, self._project)
            if last is not None and last.closed_at is None:
                return _cycle(last)
            number = 0 if last is None else last.number + 1
            if last is not None:
                self._refuse_when_held(session, last.number)
            row = {"project": self._project, "number": number, "strategy": strategy, "nominal": nominal}
            self._database.insert_new(session, CycleRow, [{**row, "opened_at": self._clock.now(), "closed_at": None}])
            return _cycle(session.get_one(CycleRow, (self._project, number)))

    def _refuse_when_held(self, session: Session, number: int) -> None:
        decision = session.get(DecisionRow, (self._project, number))
        if decision is None or session.get(ContinuationRow, (self._project, number)) is not None:
            return
        if decision.action == Action.HOLD:
            raise CycleClosed(f"the loop is on hold: {decision.reason}; go on with 'alloop run --continue'")
        if decision.action == Action.STOP:
            raise CycleClosed(f"the loop has ended: {decision.reason}; raise the budget, then 'alloop run --continue'")

    def go_on(self) -> bool:
        """A person's word that the loop goes on after its last decision; whether there was one to go on from."""
        with self._database.write() as session:
            last = _last(session, self._project)
            if last is None or last.closed_at is None:
                return False
            row = {"project": self._project, "cycle": last.number, "at": self._clock.now()}
            self._database.insert_new(session, ContinuationRow, [row])
            return True

    def get(self, number: int) -> Cycle:
        """One cycle; CycleClosed when there is none of that number."""
        with self._database.read() as session:
            row = session.get(CycleRow, (self._project, number))
            if row is None:
                raise CycleClosed(f"there is no cycle {number} in '{self._project}'; see 'alloop status'")
            return _cycle(row)

    def all(self) -> tuple[Cycle, ...]:
        """Every cycle in order of number."""
        with self._database.read() as session:
            rows = session.scalars(select(CycleRow).filter_by(project=self._project).order_by(CycleRow.number))
            return tuple(_cycle(row) for row in rows)


class Steps:
    """The seven steps of a cycle. Leases run on the time of day, also where the loop's clock is a virtual one."""

    def __init__(self, database: Database, project: str, clock: Clock, *, wall: Clock | None = None) -> None:
        self._database, self._project, self._clock = database, project, clock
        self._wall: Clock = wall or WallClock()

    def begin(self, cycle: int, step: str, *, lease_s: float) -> Lease | None:
        """A lease on the step, or none when it is finished; LeaseHeld while somebody alive works on it.

        CycleClosed when the step before it is not finished, since nothing is ever trained on half a batch, and while a
        person holds the cycle back.
        """
        key = (self._project, cycle, step)
        with self._database.write() as session:
            self._refuse_early(session, cycle, step)
            start = {
                "project": self._project,
                "cycle": cycle,
                "name": step,
                "started_at": self._clock.now(),
                "facts": {},
            }
            self._database.insert_new(session, StepRow, [start])
            row = session.get_one(StepRow, key, with_for_update=True)
            if row.finished_at is not None:
                return None
            refuse_held_back(session, self._project, cycle)
            now = self._wall.now()
            if row.owner and row.lease_until and row.lease_until > now and not is_gone(row.owner):
                raise LeaseHeld(
                    f"{step} of cycle {cycle} is being done by {shown_owner(row.owner)}; this can go on once that ends or is stopped"
                )
            row.token, row.owner = uuid4().hex, this_process()
            row.lease_until = now + timedelta(seconds=lease_s)
            return Lease(cycle, step, row.token, time.perf_counter())

    def _refuse_early(self, session: Session, cycle: int, step: str) -> None:
        place = STEPS.index(step)
        if session.get(CycleRow, (self._project, cycle)) is None:
            raise CycleClosed(f"there is no cycle {cycle} in '{self._project}'; see 'alloop status'")
        if place == 0:
            return
        before = session.get(StepRow, (self._project, cycle, STEPS[place - 1]))
        if before is None or before.finished_at is None:
            raise CycleClosed(f"{step} of cycle {cycle} cannot begin before {STEPS[place - 1]} has finished; run that")

    @contextmanager
    def working(self, cycle: int, step: str, *, lease_s: float = LEASE_S) -> Iterator[Lease | None]:
        """A lease that is renewed while the block runs and let go when it fails; none when the step is finished."""
        lease = self.begin(cycle, step, lease_s=lease_s)
        if lease is None:
            yield None
            return
        renew, what = partial(self.renew, lease, lease_s=lease_s), f"the lease on {step}"
        with at_step(self._project, cycle, step), renewing(renew, lease_s=lease_s, what=what):
            try:
                yield lease
            except BaseException:
                let_go(partial(self.release, lease), what=what)
                raise

    def renew(self, lease: Lease, *, lease_s: float) -> None:
        """Hold the step for longer; LeaseLost when somebody else took it."""
        with self._database.write() as session:
            row = self.hold(session, lease)
            row.lease_until = self._wall.now() + timedelta(seconds=lease_s)

    def release(self, lease: Lease) -> None:
        """Let somebody else do the step; nothing happens when the lease is lost already."""
        with self._database.write() as session:
            row = session.get(StepRow, (self._project, lease.cycle, lease.step), with_for_update=True)
            if row is not None and row.token == lease.token:
                row.token = row.owner = row.lease_until = None

    @contextmanager
    def finishing(self, lease: Lease, **facts: Any) -> Iterator[Session]:
        """One transaction that ends the step: what is written in it stands with the step's end, or not at all.

        LeaseLost when the step was taken by somebody else in the meantime: nothing is written then.
        """
        with self._database.write() as session:
            row = self.hold(session, lease)
            yield session
            row.finished_at = self._clock.now()
            row.work_s = time.perf_counter() - lease.begun_s
            row.facts = facts
            row.token = row.owner = row.lease_until = None

    def hold(self, session: Session, lease: Lease) -> StepRow:
        """The step's row, locked within a transaction; LeaseLost when the lease is no longer ours."""
        row = session.get_one(StepRow, (self._project, lease.cycle, lease.step), with_for_update=True)
        if row.token != lease.token:
            raise LeaseLost(
                f"{lease.step} of cycle {lease.cycle} was taken over by {shown_owner(row.owner) if row.owner else 'another process'}"
            )
        return row

    def of(self, cycle: int) -> tuple[Stage, ...]:
        """The stages of a cycle that have begun, in the order of the loop."""
        with self._database.read() as session:
            rows = session.scalars(select(StepRow).filter_by(project=self._project, cycle=cycle))
            return tuple(sorted((_stage(row) for row in rows), key=lambda stage: STEPS.index(stage.step)))

    def facts(self, cycle: int, step: str) -> dict[str, Any]:
        """What a finished step left behind; empty before."""
        with self._database.read() as session:
            row = session.get(StepRow, (self._project, cycle, step))
            return dict(row.facts) if row else {}


def close_cycle(session: Session, project: str, cycle: int, at: datetime) -> None:
    """Close a cycle within a transaction; the first time stays."""
    row = session.get_one(CycleRow, (project, cycle), with_for_update=True)
    row.closed_at = row.closed_at or at


def _last(session: Session, project: str) -> CycleRow | None:
    newest = select(func.max(CycleRow.number)).filter_by(project=project).scalar_subquery()
    query = select(CycleRow).filter_by(project=project).where(CycleRow.number == newest)
    return session.scalars(query).one_or_none()


def _cycle(row: CycleRow) -> Cycle:
    return Cycle(row.project, row.number, row.strategy, row.nominal, row.opened_at, row.closed_at)


def _stage(row: StepRow) -> Stage:
    return Stage(row.cycle, row.name, row.started_at, row.finished_at, row.work_s, dict(row.facts))
