"""What a person asked of the loop out of turn: to pause, to go on, to give a cycle up, to take an older model back."""

from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from alloop.clock import Clock, WallClock
from alloop.errors import CycleClosed, LeaseHeld, LoopError
from alloop.ledger.database import Database
from alloop.ledger.leases import is_gone, shown_owner
from alloop.ledger.observations import standing
from alloop.ledger.samples import chunks
from alloop.ledger.tables import (
    BatchItemRow,
    CycleRow,
    DecisionRow,
    InterventionRow,
    ObservationRow,
    PromotionRow,
    StepRow,
)
from alloop.nouns import Decision, Outcome

__all__ = ["Interventions", "refuse_held_back"]

PAUSE, RESUME, CANCEL, SHOWN = "pause", "resume", "cancel", "shown"
"""The kinds of rows: the newest of the first three says whether steps may begin; the fourth what pre-labels are shown."""
PREPARING = ("score_pool", "diversity_select", "push_to_annotation")


class Interventions:
    """What people asked of the cycles of one project; a lease's time is that of the wall."""

    def __init__(self, database: Database, project: str, clock: Clock, *, wall: Clock | None = None) -> None:
        self._database, self._project, self._clock = database, project, clock
        self._wall: Clock = wall or WallClock()

    def held_back(self, cycle: int) -> str | None:
        """Why no step of this cycle may begin now, and what to do, as a sentence; none when one may."""
        with self._database.read() as session:
            return _held_back(session, self._project, cycle)

    def pause(self, cycle: int) -> datetime:
        """From now on no step of the cycle begins; since when, which stays what it was. CycleClosed when it is over."""
        with self._database.write() as session:
            self._open(session, cycle)
            last = _standing(session, self._project, cycle)
            if last is None or last.kind == RESUME:
                last = self._note(session, cycle, PAUSE)
            self._refuse_cancelled(last)
            return last.at

    def resume(self, cycle: int) -> bool:
        """Let steps begin again; whether the cycle was paused. CycleClosed when it is over, or being cancelled."""
        with self._database.write() as session:
            self._open(session, cycle)
            last = _standing(session, self._project, cycle)
            if last is None or last.kind == RESUME:
                return False
            self._refuse_cancelled(last)
            self._note(session, cycle, RESUME)
            return True

    def cancel(self, cycle: int) -> None:
        """Note that the cycle is given up: no step of it begins any more, and what a dead process held is taken from it.

        LeaseHeld while somebody alive works on a step, CycleClosed when it is over.
        """
        with self._database.write() as session:
            self._open(session, cycle)
            steps = select(StepRow).filter_by(project=self._project, cycle=cycle, finished_at=None).with_for_update()
            for step in session.scalars(steps):
                self._take_away(step)
            last = _standing(session, self._project, cycle)
            if last is None or last.kind != CANCEL:
                self._note(session, cycle, CANCEL)

    def close(self, decision: Decision) -> None:
        """End a cycle that is being cancelled, in one go: outcomes, decision, closed; nothing when it is over already.

        Answers keep their outcome, and join the next batch that closes. What nobody answered is in the pool again.
        """
        with self._database.write() as session:
            cycle = session.get_one(CycleRow, (self._project, decision.cycle), with_for_update=True)
            if cycle.closed_at is not None:
                return
            last = _standing(session, self._project, decision.cycle)
            if last is None or last.kind != CANCEL:
                raise CycleClosed(f"cycle {decision.cycle} is not being cancelled; use 'alloop cycle cancel' for that")
            waited = session.get(StepRow, (self._project, decision.cycle, "wait_for_labels"))
            if waited is None or waited.finished_at is None:
                self._settle(session, decision.cycle)
            now = self._clock.now()
            self._database.insert_new(session, DecisionRow, [self._row(decision) | {"at": now}])
            cycle.closed_at = now

    def roll_back(self, version: str, *, reason: str) -> bool:
        """Make a model that was evaluated champion again; whether it was not. LoopError while a batch is being chosen."""
        with self._database.write() as session:
            newest = select(PromotionRow).filter_by(project=self._project).order_by(PromotionRow.number.desc()).limit(1)
            champion = session.scalars(newest).one_or_none()
            if champion is not None and champion.name == version:
                return False
            self._refuse_while_choosing(session)
            number = 0 if champion is None else champion.number + 1
            row = {"project": self._project, "number": number, "name": version, "reason": reason}
            self._database.insert(session, PromotionRow, [row | {"at": self._clock.now()}])
            return True

    def show(self, cycle: int, version: str) -> None:
        """Note that the open tasks of a cycle show the pre-labels of this version from now on."""
        with self._database.write() as session:
            last = _newest(session, self._project, cycle, SHOWN)
            if last is None or last.version != version:
                self._note(session, cycle, SHOWN, version=version)

    def shown(self, cycle: int) -> str | None:
        """Whose pre-labels the tasks of a cycle show since they were renewed last; none when they never were."""
        with self._database.read() as session:
            row = _newest(session, self._project, cycle, SHOWN)
            return None if row is None else row.version

    def _open(self, session: Session, cycle: int) -> None:
        row = session.get(CycleRow, (self._project, cycle), with_for_update=True)
        if row is None or row.closed_at is not None:
            raise CycleClosed(f"cycle {cycle} is not open; see 'alloop status'")

    def _note(self, session: Session, cycle: int, kind: str, *, version: str | None = None) -> InterventionRow:
        last = session.scalar(select(func.max(InterventionRow.number)).filter_by(project=self._project, cycle=cycle))
        row = InterventionRow(project=self._project, cycle=cycle, number=0 if last is None else last + 1, kind=kind)
        row.version, row.at = version, self._clock.now()
        session.add(row)
        session.flush()
        return row

    def _refuse_cancelled(self, last: InterventionRow) -> None:
        if last.kind == CANCEL:
            raise CycleClosed(_sentence(last))

    def _take_away(self, step: StepRow) -> None:
        if step.owner and step.lease_until and step.lease_until > self._wall.now() and not is_gone(step.owner):
            raise LeaseHeld(
                f"{step.name} of cycle {step.cycle} is being done by {shown_owner(step.owner)}; stop it, or let it finish "
                "after 'alloop cycle pause', then cancel"
            )
        step.token = step.owner = step.lease_until = None

    def _settle(self, session: Session, cycle: int) -> None:
        """Fix what became of each sample: what its newest answer says, or expired."""
        mine = {"project": self._project, "cycle": cycle}
        asked = select(BatchItemRow.sample_id).filter_by(**mine, outcome=None)
        fresh = or_(ObservationRow.joined_cycle.is_(None), ObservationRow.joined_cycle == cycle)
        told = select(ObservationRow).where(ObservationRow.project == self._project, fresh)
        answers = standing(session.scalars(told.where(ObservationRow.sample_id.in_(asked))))
        ended: dict[str, list[str]] = {}
        for key in session.scalars(asked).all():
            outcome = answers[key].outcome if key in answers else Outcome.EXPIRED.value
            ended.setdefault(outcome, []).append(key)
        for outcome, keys in ended.items():
            for some in chunks(keys):
                items = update(BatchItemRow).filter_by(**mine).where(BatchItemRow.sample_id.in_(some))
                session.execute(items.values(outcome=outcome), execution_options={"synchronize_session": False})

    def _row(self, decision: Decision) -> dict[str, object]:
        lift: dict[str, None] = dict.fromkeys(("lift_points", "lift_low", "lift_high"))
        fields = {name: value for name, value in vars(decision).items() if name != "lift"}
        return {"project": self._project, **fields, "action": decision.action.value, **lift}

    def _refuse_while_choosing(self, session: Session) -> None:
        """The model that scores is the model that pre-labels: what is chosen by one is not shown under another."""
        begun = select(StepRow).join(
            CycleRow, (CycleRow.project == StepRow.project) & (CycleRow.number == StepRow.cycle)
        )
        begun = begun.where(StepRow.project == self._project, CycleRow.closed_at.is_(None), StepRow.name.in_(PREPARING))
        steps = session.scalars(begun).all()
        if steps and not any(step.name == PREPARING[-1] and step.finished_at is not None for step in steps):
            raise LoopError(
                f"cycle {steps[0].cycle} is being chosen with the present champion; roll back once its batch is pushed, or "
                "after 'alloop cycle cancel'"
            )


def refuse_held_back(session: Session, project: str, cycle: int) -> None:
    """CycleClosed when no step of this cycle may begin: a person holds it back, or it is over; within a transaction."""
    why = _held_back(session, project, cycle)
    if why is not None:
        raise CycleClosed(why)


def _held_back(session: Session, project: str, cycle: int) -> str | None:
    row = session.get(CycleRow, (project, cycle))
    last = _standing(session, project, cycle)
    if row is not None and row.closed_at is not None:
        how = "was cancelled" if last is not None and last.kind == CANCEL else "is closed"
        return f"cycle {cycle} {how}; go on with the next one with 'alloop run'"
    return None if last is None or last.kind == RESUME else _sentence(last)


def _sentence(last: InterventionRow) -> str:
    since = f"since {last.at:%Y-%m-%d %H:%M} UTC"
    if last.kind == CANCEL:
        return f"cycle {last.cycle} is being cancelled {since}; finish that with 'alloop cycle cancel'"
    return f"cycle {last.cycle} is paused {since}; go on with 'alloop cycle resume'"


def _standing(session: Session, project: str, cycle: int) -> InterventionRow | None:
    return _newest(session, project, cycle, PAUSE, RESUME, CANCEL)


def _newest(session: Session, project: str, cycle: int, *kinds: str) -> InterventionRow | None:
    query = select(InterventionRow).filter_by(project=project, cycle=cycle).where(InterventionRow.kind.in_(kinds))
    return session.scalars(query.order_by(InterventionRow.number.desc()).limit(1)).one_or_none()
