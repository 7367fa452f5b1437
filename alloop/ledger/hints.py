"""Hints: what tools sent unasked. They wake the loop, and nothing else is ever read from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.samples import chunks
from alloop.ledger.tables import HintRow

__all__ = ["Delivery", "Hints"]


@dataclass(frozen=True)
class Delivery:
    """One hint as it came in: `key` (64 hexadecimal digits) is the same for two that tell of one thing."""

    tool: str
    event: str
    key: str
    body: str


class Hints:
    """The hints of one project, numbered in the order in which they were stored."""

    def __init__(self, database: Database, project: str, clock: Clock) -> None:
        self._database, self._project, self._clock = database, project, clock

    def receive(self, deliveries: Sequence[Delivery]) -> tuple[bool, ...]:
        """Store them, all in one transaction; for each whether it is new. One that was there stays as it was."""
        with self._database.write() as session:
            known = {
                key
                for some in chunks([delivery.key for delivery in deliveries])
                for key in session.scalars(
                    select(HintRow.key).where(HintRow.project == self._project, HintRow.key.in_(some))
                )
            }
            fresh: dict[str, Delivery] = {}
            news = []
            for delivery in deliveries:
                news.append(delivery.key not in known and fresh.setdefault(delivery.key, delivery) is delivery)
            at = {"project": self._project, "received_at": self._clock.now()}
            self._database.insert_new(session, HintRow, [at | vars(delivery) for delivery in fresh.values()])
            return tuple(news)

    def newest(self) -> int:
        """The number of the newest hint; 0 when there is none."""
        with self._database.read() as session:
            return session.scalar(select(func.max(HintRow.id)).filter_by(project=self._project)) or 0

    def waiting(self) -> bool:
        """Whether a hint came in after the tool was read last."""
        with self._database.read() as session:
            query = select(HintRow.id).filter_by(project=self._project, handled_at=None).limit(1)
            return session.scalar(query) is not None

    def handle(self, newest: int) -> None:
        """Note that the tool was read after hint `newest` had come in: that one and all before it have done their work."""
        with self._database.write() as session:
            query = update(HintRow).filter_by(project=self._project, handled_at=None).where(HintRow.id <= newest)
            session.execute(query.values(handled_at=self._clock.now()))
