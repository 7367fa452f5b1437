"""The pool's samples: what is in it, and what was set aside."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import bindparam, case, delete, func, null, or_, select, type_coerce, update
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.dropped import DROPPED, note_dropped
from alloop.ledger.observations import observation
from alloop.ledger.tables import BatchItemRow, HoldoutFreezeRow, ObservationRow, SampleRow, SetAsideRow
from alloop.ledger.types import ContentJson
from alloop.nouns import Content, Label, Outcome, Sample, Split
from alloop.pieces import in_pieces

__all__ = ["Refused", "SampleFile", "Samples"]

LOOKUP = 10_000
"""Keys per IN list: below the variables that either database takes in one statement."""
SPOILT = ("bad image", "changed")
"""Causes after which a file no longer holds the image that was added."""
ANSWERED = (Outcome.LABELLED, Outcome.UNCLEAR, Outcome.SKIPPED)
"""After these a sample leaves the pool for good: asking again was measured not to help."""
FACTS = (SampleRow.id, SampleRow.uri, SampleRow.group, SampleRow.split)
SHOWN = (*FACTS, type_coerce(case((SampleRow.known, SampleRow.truth)), ContentJson))
"""What the loop may see of a sample: a hidden truth does not leave the database. Plain columns, since a cycle reads the
whole pool: as objects of the ORM 25,000 samples took 0.56 s, and so 0.10 s (one core, measured 2026-11)."""
HIDDEN = (*FACTS, null())
"""The same where no truth can be shown."""
SPLITS = {split.value: split for split in Split}


@dataclass(frozen=True)
class SampleFile:
    """A sample and its file as it was read: width and height in pixels, bytes, and mtime where there is one."""

    sample: Sample
    width: int
    height: int
    size_bytes: int
    mtime_ns: int | None


@dataclass(frozen=True)
class Refused:
    """An image that did not become a sample, or is none any more: a cause in one word, and the reason."""

    uri: str
    cause: str
    reason: str


class Samples:
    """The images of one project."""

    def __init__(self, database: Database, project: str, clock: Clock) -> None:
        self._database, self._project, self._clock = database, project, clock

    def known(self, uris: Sequence[str]) -> Mapping[str, SampleFile]:
        """{uri: file} of those that are samples; their truth is there even where the loop must not see it."""
        query = select(SampleRow).filter_by(project=self._project)
        with self._database.read() as session:
            rows = [row for some in chunks(uris) for row in session.scalars(query.where(SampleRow.uri.in_(some)))]
            return {row.uri: _file(row) for row in rows}

    def sizes(self, ids: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """{id: (width, height)} in pixels of those of `ids` that are samples."""
        query = select(SampleRow.id, SampleRow.width, SampleRow.height).filter_by(project=self._project)
        with self._database.read() as session:
            rows = [row for some in chunks(ids) for row in session.execute(query.where(SampleRow.id.in_(some)))]
            return {key: (width, height) for key, width, height in rows}

    def add(
        self, files: Sequence[SampleFile], *, truths_are_labels: bool
    ) -> tuple[tuple[str, ...], tuple[Refused, ...]]:
        """Add what is new, and refresh the files of what is known: the uris added, and those refused.

        With `truths_are_labels` a sample's truth is a human label of its own: it trains, and leaves the pool.
        """
        with self._database.write() as session:
            holders = self._holders(session, {file.sample.id for file in files})
            groups = {file.sample.group for file in files if file.sample.group}
            measured = set(groups_in(session, self._project, Split.HOLDOUT, groups))
            pooled = set(groups_in(session, self._project, Split.POOL, groups))
            frozen = session.get(HoldoutFreezeRow, self._project) is not None
            refused: list[Refused] = []
            fresh: list[dict[str, Any]] = []
            known: list[SampleFile] = []
            for file in files:
                sample = file.sample
                if holders.get(sample.id) == sample.uri:
                    known.append(file)
                elif sample.id in holders:
                    refused.append(Refused(sample.uri, "duplicate", f"is an exact copy of {holders[sample.id]}"))
                elif sample.split is Split.HOLDOUT and frozen:
                    refused.append(Refused(sample.uri, "holdout", "came after the holdout was frozen"))
                elif sample.split is Split.HOLDOUT and sample.group in pooled:
                    refused.append(Refused(sample.uri, "holdout", f"has its group '{sample.group}' in the pool"))
                elif sample.split is Split.POOL and sample.group in measured:
                    refused.append(Refused(sample.uri, "holdout", f"has its group '{sample.group}' in the holdout"))
                else:
                    fresh.append(self._row(file, truths_are_labels))
                    holders[sample.id] = sample.uri
                    (measured if sample.split is Split.HOLDOUT else pooled).update({sample.group} - {None})
            self._refresh(session, known)
            self._database.insert_new(session, SampleRow, fresh)
            self._forget_refusals(session, [row["uri"] for row in fresh])
            labelled = [row for row in fresh if row["known"] and row["split"] == Split.POOL]
            self._database.insert_new(session, ObservationRow, [self._manifest_label(row) for row in labelled])
            return tuple(str(row["uri"]) for row in fresh), tuple(refused)

    def _row(self, file: SampleFile, truths_are_labels: bool) -> dict[str, Any]:
        sample = file.sample
        return {
            "project": self._project,
            "id": sample.id,
            "uri": sample.uri,
            "group": sample.group,
            "split": sample.split.value,
            "truth": sample.truth,
            "known": sample.truth is not None and (truths_are_labels or sample.split is Split.HOLDOUT),
            "width": file.width,
            "height": file.height,
            "size_bytes": file.size_bytes,
            "mtime_ns": file.mtime_ns,
            "added_at": self._clock.now(),
        }

    def _refresh(self, session: Session, files: Sequence[SampleFile]) -> None:
        """Note the files as they are now; one that holds what was added again comes back into the pool."""
        if not files:
            return
        same = update(SampleRow).where(SampleRow.project == self._project, SampleRow.id == bindparam("key"))
        seen = same.values(size_bytes=bindparam("size"), mtime_ns=bindparam("mtime"))
        rows = [{"key": file.sample.id, "size": file.size_bytes, "mtime": file.mtime_ns} for file in files]
        session.connection().execute(seen, rows)
        spoilt = select(SetAsideRow.uri).filter_by(project=self._project).where(SetAsideRow.cause.in_(SPOILT))
        for some in chunks([file.sample.uri for file in files]):
            self._bring_back(session, session.scalars(spoilt.where(SetAsideRow.uri.in_(some))).all())

    def _bring_back(self, session: Session, uris: Sequence[str]) -> None:
        """Forget what was wrong with these files; a sample returns to the pool unless its group is in the holdout now."""
        measured = select(SampleRow.group).filter_by(project=self._project, split=Split.HOLDOUT)
        away = select(SampleRow.uri).filter_by(project=self._project, split=Split.ASIDE)
        leaks = set(session.scalars(away.where(SampleRow.uri.in_(uris), SampleRow.group.in_(measured))))
        back = [uri for uri in uris if uri not in leaks]
        self._forget_refusals(session, back)
        pooled = update(SampleRow).filter_by(project=self._project, split=Split.ASIDE).where(SampleRow.uri.in_(back))
        session.execute(pooled.values(split=Split.POOL), execution_options={"synchronize_session": False})

    def _forget_refusals(self, session: Session, uris: Sequence[str]) -> None:
        for some in chunks(uris):
            session.execute(delete(SetAsideRow).filter_by(project=self._project).where(SetAsideRow.uri.in_(some)))

    def _manifest_label(self, row: dict[str, Any]) -> dict[str, Any]:
        label = Label(row["id"], "manifest", Outcome.LABELLED, f"manifest/{row['id']}", row["added_at"], row["truth"])
        return observation(self._project, "manifest", label, at=row["added_at"])

    def set_aside(self, refused: Sequence[Refused]) -> None:
        """Note images that are no samples, newest reason first; a pool sample among them leaves the pool.

        What a person dropped stays noted as dropped.
        """
        with self._database.write() as session:
            now = self._clock.now()
            for refusal in refused:
                key = {"project": self._project, "uri": refusal.uri}
                before = session.get(SetAsideRow, tuple(key.values()))
                if before is not None and before.cause == DROPPED:
                    continue
                session.merge(SetAsideRow(**key, cause=refusal.cause, reason=refusal.reason, at=now))
                if refusal.cause in SPOILT:
                    pooled = update(SampleRow).filter_by(**key, split=Split.POOL)
                    session.execute(pooled.values(split=Split.ASIDE))

    def drop(self, uris: Collection[str], *, reason: str) -> None:
        """Take pool samples out of the pool for good, as a person wants it: nothing brings them back. Twice is once."""
        with self._database.write() as session:
            note_dropped(session, self._project, uris, reason=reason, at=self._clock.now())
            pooled = update(SampleRow).filter_by(project=self._project, split=Split.POOL)
            for some in chunks(sorted(uris)):
                session.execute(pooled.where(SampleRow.uri.in_(some)).values(split=Split.ASIDE))

    def aside(self) -> tuple[Refused, ...]:
        """Everything that was set aside, in order of uri."""
        with self._database.read() as session:
            rows = session.scalars(select(SetAsideRow).filter_by(project=self._project))
            return tuple(sorted((Refused(r.uri, r.cause, r.reason) for r in rows), key=lambda refused: refused.uri))

    def away(self) -> frozenset[str]:
        """The ids of samples that were in the pool once and are set aside now."""
        with self._database.read() as session:
            query = select(SampleRow.id).filter_by(project=self._project, split=Split.ASIDE)
            return frozenset(session.scalars(query))

    def counts(self) -> Mapping[str, int]:
        """How many samples: in all, per split, still unlabelled in the pool, and set aside."""
        with self._database.read() as session:
            per_split = select(SampleRow.split, func.count()).filter_by(project=self._project).group_by(SampleRow.split)
            splits: dict[str, int] = {split: count for split, count in session.execute(per_split)}  # noqa: C416 - rows are no pairs to mypy
            asked = session.scalar(select(func.count()).select_from(self._taken().subquery())) or 0
            open_ = session.scalar(select(func.count()).select_from(SampleRow).where(*self._pool(known=False))) or 0
            away = session.scalar(select(func.count()).select_from(SetAsideRow).filter_by(project=self._project)) or 0
        return {"samples": sum(splits.values()), **splits, "unlabelled": open_ - asked, "set_aside": away}

    def unlabelled(self, *, shard: int) -> Iterator[tuple[Sample, ...]]:
        """The pool minus what people answered and what they are being asked, in order of id, a shard at a time."""
        pages = self._pages(select(*HIDDEN).where(*self._pool(known=False)), shard, without=self._taken())
        left = (sample for page in pages for sample in page)
        while part := tuple(islice(left, shard)):
            yield part

    def everything(self, *, shard: int) -> Iterator[tuple[Sample, ...]]:
        """The whole pool, labelled or not, in order of id, a shard at a time."""
        return self._pages(select(*SHOWN).where(*self._pool()), shard)

    def _pages(self, wanted: Any, size: int, *, without: Any = None) -> Iterator[tuple[Sample, ...]]:
        """Pages of at most `size`; those `without` are dropped here, since a look-up of each in the database takes longer."""
        after = ""
        while True:
            with self._database.read() as session:
                query = wanted.where(SampleRow.id > after).order_by(SampleRow.id).limit(size)
                samples = tuple(map(shown, session.execute(query)))
                dropped = set() if without is None else set(session.scalars(without))
            if not samples:
                return
            yield tuple(sample for sample in samples if sample.id not in dropped)
            after = samples[-1].id

    def _pool(self, **more: Any) -> tuple[Any, ...]:
        """What is true of every sample of the pool."""
        facts = {"project": self._project, "split": Split.POOL, **more}
        return tuple(getattr(SampleRow, name) == value for name, value in facts.items())

    def _taken(self) -> Any:
        """The ids of the pool's samples that people answered or are being asked."""
        gone = or_(BatchItemRow.outcome.is_(None), BatchItemRow.outcome.in_(ANSWERED))
        asked = select(BatchItemRow.sample_id).where(BatchItemRow.project == self._project, gone)
        return select(SampleRow.id).where(*self._pool(known=False), SampleRow.id.in_(asked))

    def get(self, ids: Collection[str]) -> Mapping[str, Sample]:
        """{id: sample} of those that exist."""
        with self._database.read() as session:
            return {
                row.id: shown(row)
                for some in chunks(sorted(ids))
                for row in session.execute(
                    select(*SHOWN).where(SampleRow.project == self._project, SampleRow.id.in_(some))
                )
            }

    def truths(self, ids: Collection[str]) -> Mapping[str, Content]:
        """{id: what the manifest says}, hidden or not: for simulated annotators only."""
        query = select(SampleRow.id, SampleRow.truth).filter_by(project=self._project)
        with self._database.read() as session:
            return {
                key: truth
                for some in chunks(sorted(ids))
                for key, truth in session.execute(query.where(SampleRow.id.in_(some)))
                if truth is not None
            }

    def _holders(self, session: Session, ids: Collection[str]) -> dict[str, str]:
        query = select(SampleRow.id, SampleRow.uri).filter_by(project=self._project)
        return {
            key: uri
            for some in chunks(sorted(ids))
            for key, uri in session.execute(query.where(SampleRow.id.in_(some)))
        }


def groups_in(session: Session, project: str, split: Split, groups: Collection[str]) -> frozenset[str | None]:
    """Which of these groups have a sample in a split."""
    inside = select(SampleRow.group).filter_by(project=project, split=split).distinct()
    return frozenset(
        group for some in chunks(sorted(groups)) for group in session.scalars(inside.where(SampleRow.group.in_(some)))
    )


def _file(row: SampleRow) -> SampleFile:
    sample = Sample(row.id, row.uri, row.group, Split(row.split), row.truth)
    return SampleFile(sample, row.width, row.height, row.size_bytes, row.mtime_ns)


def shown(row: Any) -> Sample:
    key, uri, group, split, truth = row
    return Sample(key, uri, group, SPLITS[split], truth)


def to_sample(row: SampleRow) -> Sample:
    """The record of a row; a truth that is not a human label of its own stays hidden."""
    return Sample(row.id, row.uri, row.group, Split(row.split), row.truth if row.known else None)


def chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return in_pieces(keys, LOOKUP)
