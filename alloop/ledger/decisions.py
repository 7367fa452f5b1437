"""Decisions, which close a cycle, and SLA flags."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.leases import Lease
from alloop.ledger.steps import Steps, close_cycle
from alloop.ledger.tables import DecisionRow, FlagRow
from alloop.nouns import Action, Decision, Flag, Lift
from alloop.sla import may_follow

__all__ = ["Decisions"]


class Decisions:
    """What the cycles of one project ended with."""

    def __init__(self, database: Database, project: str, clock: Clock, steps: Steps) -> None:
        self._database, self._project, self._clock, self._steps = database, project, clock, steps

    def record(self, lease: Lease, decision: Decision) -> None:
        """End strategy_switch: the decision stands and the cycle is closed, in one go."""
        with self._steps.finishing(lease) as session:
            now = self._clock.now()
            self._database.insert_new(session, DecisionRow, [self._row(decision) | {"at": now}])
            close_cycle(session, self._project, lease.cycle, now)

    def _row(self, decision: Decision) -> dict[str, object]:
        lift = decision.lift
        return {
            "project": self._project,
            "cycle": decision.cycle,
            "action": decision.action.value,
            "judged": decision.judged,
            "strategy": decision.strategy,
            "reason": decision.reason,
            "threshold_points": decision.threshold_points,
            "lift_points": lift.points if lift else None,
            "lift_low": lift.low if lift else None,
            "lift_high": lift.high if lift else None,
            "miss": decision.miss,
            "firm": decision.firm,
            "unclear_rate": decision.unclear_rate,
        }

    def all(self) -> tuple[Decision, ...]:
        """Every decision in order of cycle."""
        with self._database.read() as session:
            rows = session.scalars(select(DecisionRow).filter_by(project=self._project).order_by(DecisionRow.cycle))
            return tuple(_decision(row) for row in rows)

    def raise_flags(self, flags: Sequence[Flag]) -> tuple[Flag, ...]:
        """Note SLA announcements; those that are news after what was announced of the same stage before."""
        fresh = []
        with self._database.write() as session:
            for flag in flags:
                last = _last_flag(session, self._project, flag)
                if may_follow(last.kind if last else None, flag.kind):
                    number = last.number + 1 if last else 0
                    session.add(FlagRow(project=self._project, number=number, **vars(flag)))
                    session.flush()
                    fresh.append(flag)
        return tuple(fresh)

    def flags(self) -> tuple[Flag, ...]:
        """Every SLA announcement in order of time."""
        with self._database.read() as session:
            query = select(FlagRow).filter_by(project=self._project)
            rows = session.scalars(query.order_by(FlagRow.at, FlagRow.cycle, FlagRow.stage, FlagRow.number))
            return tuple(Flag(row.cycle, row.stage, row.kind, row.hours, row.at) for row in rows)


def _last_flag(session: Session, project: str, flag: Flag) -> FlagRow | None:
    query = select(FlagRow).filter_by(project=project, cycle=flag.cycle, stage=flag.stage)
    return session.scalars(query.order_by(FlagRow.number.desc()).limit(1)).one_or_none()


def _decision(row: DecisionRow) -> Decision:
    lift = None
    if row.lift_points is not None and row.lift_low is not None and row.lift_high is not None:
        lift = Lift(row.lift_points, row.lift_low, row.lift_high)
    return Decision(
        cycle=row.cycle,
        action=Action(row.action),
        judged=row.judged,
        strategy=row.strategy,
        reason=row.reason,
        threshold_points=row.threshold_points,
        lift=lift,
        miss=row.miss,
        firm=row.firm,
        unclear_rate=row.unclear_rate,
    )
