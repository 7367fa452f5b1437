"""The holdout: drawn or given once, frozen once, and never in a batch."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.errors import HoldoutLeak, LoopError
from alloop.ledger.database import Database
from alloop.ledger.dropped import dropped_from_holdout, note_dropped
from alloop.ledger.samples import SHOWN, chunks, shown, to_sample
from alloop.ledger.tables import BatchItemRow, HoldoutFreezeRow, HoldoutItemRow, SampleRow, SetAsideRow
from alloop.nouns import Content, Sample, Split, TrainingLabel

__all__ = ["Holdout", "freeze_holdout"]


class Holdout:
    """The samples that measure every model of one project."""

    def __init__(self, database: Database, project: str, clock: Clock) -> None:
        self._database, self._project, self._clock = database, project, clock
        self._frozen: tuple[str, tuple[TrainingLabel, ...]] | None = None

    def all(self) -> tuple[Sample, ...]:
        """Every sample of the holdout, in order of id."""
        with self._database.read() as session:
            query = select(SampleRow).filter_by(project=self._project, split=Split.HOLDOUT).order_by(SampleRow.id)
            return tuple(to_sample(row) for row in session.scalars(query))

    def assign(self, ids: Collection[str]) -> int:
        """Move samples, and all that share a group with them, out of the pool; how many are in the holdout then.

        HoldoutLeak when one of them is in a batch already, or when the holdout is frozen.
        """
        with self._database.write() as session:
            if session.get(HoldoutFreezeRow, self._project) is not None:
                raise HoldoutLeak(f"the holdout is frozen, {len(ids)} samples cannot join it; leave them in the pool")
            for some in chunks(sorted(ids)):
                batched = select(BatchItemRow.sample_id).filter_by(project=self._project)
                clash = session.scalars(batched.where(BatchItemRow.sample_id.in_(some)).limit(1)).first()
                if clash is not None:
                    raise HoldoutLeak(f"sample {clash} is in a batch already; it cannot join the holdout")
                chosen = update(SampleRow).filter_by(project=self._project).where(SampleRow.id.in_(some))
                session.execute(chosen.values(split=Split.HOLDOUT))
            self._set_straddlers_aside(session)
            held = select(func.count()).select_from(SampleRow).filter_by(project=self._project, split=Split.HOLDOUT)
            return session.scalar(held) or 0

    def _set_straddlers_aside(self, session: Session) -> None:
        groups = select(SampleRow.group).filter_by(project=self._project, split=Split.HOLDOUT)
        mates = select(SampleRow.uri, SampleRow.group).filter_by(project=self._project, split=Split.POOL)
        found = session.execute(mates.where(SampleRow.group.in_(groups.where(SampleRow.group.is_not(None))))).all()
        key = {"project": self._project, "cause": "holdout", "at": self._clock.now()}
        asides = [{**key, "uri": uri, "reason": f"has its group '{group}' in the holdout"} for uri, group in found]
        self._database.insert_new(session, SetAsideRow, asides)
        for some in chunks([uri for uri, _ in found]):
            shared = update(SampleRow).filter_by(project=self._project).where(SampleRow.uri.in_(some))
            session.execute(shared.values(split=Split.ASIDE), execution_options={"synchronize_session": False})

    def freeze(self, contents: Mapping[str, Content], *, digest: str, dropped: int) -> str:
        """Freeze the holdout with these answers; its hash, or the hash it was frozen with before."""
        with self._database.write() as session:
            return freeze_holdout(
                session, self._database, self._project, contents, digest=digest, dropped=dropped, at=self._clock.now()
            )

    def drop(self, uris: Collection[str], *, reason: str) -> None:
        """Measure without these samples from now on, as a person wants it; a frozen holdout keeps its answers. Twice is once.

        LoopError when nothing would be left to measure with.
        """
        with self._database.write() as session:
            note_dropped(session, self._project, uris, reason=reason, at=self._clock.now())
            held = select(func.count()).select_from(SampleRow).filter_by(project=self._project, split=Split.HOLDOUT)
            if (session.scalar(held) or 0) <= len(dropped_from_holdout(session, self._project)):
                raise LoopError("nothing would be left of the holdout, and nothing could be measured; keep some of it")
            if session.get(HoldoutFreezeRow, self._project) is not None:
                return
            asked = update(SampleRow).filter_by(project=self._project, split=Split.HOLDOUT)
            for some in chunks(sorted(uris)):
                session.execute(asked.where(SampleRow.uri.in_(some)).values(split=Split.ASIDE))

    def frozen(self) -> tuple[str, tuple[TrainingLabel, ...]] | None:
        """(hash, samples with answers) of the frozen holdout, without what a person dropped; none while it is not frozen.

        The hash is that of the moment of freezing. What was frozen is read once: it never changes.
        """
        if self._frozen is None:
            self._frozen = self._read_frozen()
        if self._frozen is None:
            return None
        (digest, labels), gone = self._frozen, self.dropped()
        return digest, tuple(label for label in labels if label.sample.id not in gone) if gone else labels

    def dropped(self) -> frozenset[str]:
        """The ids of samples that were in the holdout when it froze, and measure nothing any more."""
        with self._database.read() as session:
            return dropped_from_holdout(session, self._project)

    def _read_frozen(self) -> tuple[str, tuple[TrainingLabel, ...]] | None:
        with self._database.read() as session:
            freeze = session.get(HoldoutFreezeRow, self._project)
            if freeze is None:
                return None
            query = (
                select(*SHOWN, HoldoutItemRow.content)
                .join(
                    HoldoutItemRow,
                    (HoldoutItemRow.project == SampleRow.project) & (HoldoutItemRow.sample_id == SampleRow.id),
                )
                .where(SampleRow.project == self._project)
                .order_by(SampleRow.id)
            )
            found = ((shown(row), content) for *row, content in session.execute(query))
            return freeze.hash, tuple(TrainingLabel(sample, content) for sample, content in found)


def freeze_holdout(
    session: Session,
    database: Database,
    project: str,
    contents: Mapping[str, Content],
    *,
    digest: str,
    dropped: int,
    at: datetime,
) -> str:
    """Freeze within a transaction; the first freeze stays."""
    freeze = session.get(HoldoutFreezeRow, project)
    if freeze is not None:
        return freeze.hash
    items = [{"project": project, "sample_id": key, "content": content} for key, content in sorted(contents.items())]
    database.insert_new(session, HoldoutItemRow, items)
    session.add(HoldoutFreezeRow(project=project, hash=digest, samples=len(items), dropped=dropped, at=at))
    return digest
