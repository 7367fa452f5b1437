"""Labels: every version that a tool tells of, the close of a batch, and the training set it makes.

The firewall stands here: only an observation of a human annotator with outcome `labelled`, of a sample that is
not in the holdout, is ever a training label, or a verdict that such observations came to. Pre-labels are not observations
and have no way in; what names a model as its annotator is refused, and the tables hold a content for nothing else.
"""

from collections.abc import Iterable, Mapping, Set
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.ledger.database import Database
from alloop.ledger.drifts import withdrawn_samples
from alloop.ledger.holdouts import freeze_holdout
from alloop.ledger.label_sets import LabelSet, label_set_hash
from alloop.ledger.leases import Lease
from alloop.ledger.observations import PLAIN, current, label_of, observation, standing
from alloop.ledger.refusals import refusals_of, renew_refusals
from alloop.ledger.samples import SHOWN, chunks, shown
from alloop.ledger.steps import Steps
from alloop.ledger.tables import (
    BatchItemRow,
    HoldoutFreezeRow,
    ModelVersionRow,
    ObservationRow,
    SampleRow,
    ToolCursorRow,
)
from alloop.ledger.verdicts import Judge, newest_verdicts, shared_samples, write_verdicts
from alloop.nouns import Changes, Content, Label, Lane, Outcome, Split, TrainingLabel

__all__ = ["Labels"]

TICK = timedelta(microseconds=1)
NOW = 2**31 - 1
"""A cycle after all others."""


class Labels:
    """The answers of the annotators of one project."""

    def __init__(self, database: Database, project: str, clock: Clock, steps: Steps) -> None:
        self._database, self._project, self._clock, self._steps = database, project, clock, steps

    def cursor(self, tool: str) -> str:
        """How far the tool was read; "" for not at all."""
        with self._database.read() as session:
            row = session.get(ToolCursorRow, (self._project, tool))
            return row.cursor if row else ""

    def record(self, tool: str, changes: Changes) -> None:
        """Store what a tool told, its cursor and its refusals in one go; what is known already changes nothing."""
        with self._database.write() as session:
            now = self._clock.now()
            ours = self._ours(session, {label.sample_id for label in changes.labels})
            models = self._models(session, {label.annotator for label in changes.labels})
            faults = [(label, _fault(label, ours, models)) for label in changes.labels]
            told = [label for label, fault in faults if fault is None]
            told += self._vanished(session, tool, changes)
            self._database.insert_new(
                session, ObservationRow, [observation(self._project, tool, label, at=now) for label in told]
            )
            key, why = (
                {"project": self._project, "tool": tool, "at": now},
                {label.ref: fault for label, fault in faults},
            )
            renew_refusals(session, self._database, changes, faults=why, key=key)
            session.merge(ToolCursorRow(project=self._project, tool=tool, cursor=changes.cursor, at=now))

    def _ours(self, session: Session, ids: set[str]) -> set[str]:
        query = select(SampleRow.id).filter_by(project=self._project)
        return {key for some in chunks(sorted(ids)) for key in session.scalars(query.where(SampleRow.id.in_(some)))}

    def _models(self, session: Session, names: set[str]) -> set[str]:
        query = select(ModelVersionRow.name).filter_by(project=self._project)
        return {
            key
            for some in chunks(sorted(names))
            for key in session.scalars(query.where(ModelVersionRow.name.in_(some)))
        }

    def _vanished(self, session: Session, tool: str, changes: Changes) -> list[Label]:
        """Deletions of annotations of open batches that the tool no longer holds."""
        if changes.present is None:
            return []
        asked = select(BatchItemRow.sample_id).filter_by(project=self._project, outcome=None)
        query = select(ObservationRow).filter_by(project=self._project, tool=tool, joined_cycle=None)
        rows = session.scalars(query.where(ObservationRow.sample_id.in_(asked)))
        told = {label.ref for label in changes.labels}
        gone = [row for row in current(rows) if row.ref not in changes.present and row.ref not in told]
        return [
            # just after what vanished, and not now: made again, it is newer than that by the tool's clock only
            Label(row.sample_id, row.annotator, Outcome(row.outcome), row.ref, row.updated_at + TICK, deleted=True)
            for row in gone
        ]

    def pending(self, cycle: int) -> tuple[int, int]:
        """(answered, asked) of a cycle's batch: answered by enough different annotators, and asked unless withdrawn."""
        wanted = select(BatchItemRow.sample_id, BatchItemRow.annotators).filter_by(project=self._project, cycle=cycle)
        people: dict[str, set[str]] = {}
        with self._database.read() as session:
            for row in current(self._fresh(session, cycle)):
                people.setdefault(row.sample_id, set()).add(row.annotator)
            answered = {key: len(people.get(key, ())) >= count for key, count in session.execute(wanted)}
            gone = {key for key in withdrawn_samples(session, self._project, cycle) if not answered[key]}
            return sum(answered.values()), len(answered) - len(gone)

    def _fresh(self, session: Session, cycle: int) -> Iterable[ObservationRow]:
        """What was told of the samples of a batch since they were asked for."""
        asked = select(BatchItemRow.sample_id).filter_by(project=self._project, cycle=cycle)
        query = select(ObservationRow).filter_by(project=self._project)
        fresh = or_(ObservationRow.joined_cycle.is_(None), ObservationRow.joined_cycle == cycle)
        return session.scalars(query.where(fresh, ObservationRow.sample_id.in_(asked)))

    def _answers(self, session: Session, cycle: int) -> Mapping[str, ObservationRow | None]:
        """{sample id: the newest label it has in this cycle, or none} of a batch."""
        asked = select(BatchItemRow.sample_id).filter_by(project=self._project, cycle=cycle)
        rows = standing(self._fresh(session, cycle))
        return {key: rows.get(key) for key in session.scalars(asked)}

    def holdout_answers(self, cycle: int) -> Mapping[str, Content]:
        """{sample id: content} of the holdout samples that were labelled in this cycle, or in those cancelled before it."""
        lane = select(BatchItemRow.sample_id).filter_by(project=self._project, lane=Lane.HOLDOUT)
        fresh = or_(ObservationRow.joined_cycle.is_(None), ObservationRow.joined_cycle == cycle)
        told = select(ObservationRow).where(ObservationRow.project == self._project, fresh)
        with self._database.read() as session:
            asked = lane.where(BatchItemRow.cycle <= cycle)
            rows = standing(session.scalars(told.where(ObservationRow.sample_id.in_(asked))))
            return {
                key: row.content
                for key, row in rows.items()
                if row.outcome == Outcome.LABELLED and row.content is not None
            }

    def close_batch(
        self, lease: Lease, *, judge: Judge, holdout: Mapping[str, Content] | None = None, digest: str = ""
    ) -> None:
        """End wait_for_labels: each sample's outcome is fixed and the labels join this cycle's training set.

        `judge` says what several annotators' answers to one sample come to; one that is disputed stays open.
        With `holdout`, the holdout is frozen with these answers in the same transaction.
        Labels that arrive later join the next cycle. LeaseLost when the step was taken over.
        """
        with self._steps.finishing(lease) as session:
            now, cycle = self._clock.now(), lease.cycle
            self._join(session, cycle)
            self._settle(session, _ends(self._answers(session, cycle)), BatchItemRow.cycle == cycle)
            self._revise(session, cycle)
            self._judge(session, cycle, judge)
            if holdout is not None and session.get(HoldoutFreezeRow, self._project) is None:
                held = session.scalars(select(SampleRow.id).filter_by(project=self._project, split=Split.HOLDOUT))
                dropped = len(held.all()) - len(holdout)
                freeze_holdout(session, self._database, self._project, holdout, digest=digest, dropped=dropped, at=now)

    def _join(self, session: Session, cycle: int) -> None:
        asked = select(BatchItemRow.sample_id).filter_by(project=self._project).where(BatchItemRow.cycle <= cycle)
        late = update(ObservationRow).filter_by(project=self._project, joined_cycle=None)
        for which in (ObservationRow.sample_id.in_(asked), ObservationRow.tool == "manifest"):
            # not one statement with OR: Postgres would look through all of `asked` for each observation
            session.execute(
                late.where(which).values(joined_cycle=cycle), execution_options={"synchronize_session": False}
            )

    def _revise(self, session: Session, cycle: int) -> None:
        """Give samples of earlier batches, whose labels changed since, the outcome that stands now."""
        moved = select(ObservationRow.sample_id).filter_by(project=self._project, joined_cycle=cycle).distinct()
        here = select(BatchItemRow.sample_id).filter_by(project=self._project, cycle=cycle)
        earlier = set(session.scalars(moved)) - set(session.scalars(here))
        for some in chunks(sorted(earlier)):
            query = select(ObservationRow).filter_by(project=self._project)
            rows = standing(session.scalars(query.where(ObservationRow.sample_id.in_(some))))
            self._settle(session, _ends({key: rows.get(key) for key in some}))

    def _judge(self, session: Session, cycle: int, judge: Judge) -> None:
        """Give the samples that several annotators were asked about their verdict, where an answer came or was wanted."""
        shared = shared_samples(session, self._project, by=cycle)
        if not shared:
            return
        moved = select(ObservationRow.sample_id).filter_by(project=self._project, joined_cycle=cycle)
        here = select(BatchItemRow.sample_id).filter_by(project=self._project, cycle=cycle)
        touched = {*session.scalars(moved), *session.scalars(here)}
        asked = {key: how for key, how in sorted(shared.items()) if key in touched}
        ends = write_verdicts(session, self._database, self._project, asked, cycle=cycle, judge=judge)
        for since in sorted({how.since for how in asked.values()}):
            some = {key: ends[key] for key, how in asked.items() if how.since == since}
            self._settle(session, some, BatchItemRow.cycle >= since)

    def _settle(self, session: Session, ends: Mapping[str, str | None], *where: ColumnElement[bool]) -> None:
        """Write down what became of these samples in batches; None leaves them open."""
        ended: dict[str | None, list[str]] = {}
        for key, outcome in ends.items():
            ended.setdefault(outcome, []).append(key)
        for outcome, keys in ended.items():
            for some in chunks(keys):
                items = update(BatchItemRow).filter_by(project=self._project).where(*where)
                items = items.where(BatchItemRow.sample_id.in_(some)).values(outcome=outcome)
                session.execute(items, execution_options={"synchronize_session": False})

    def training_set(self, cycle: int, *, away: Set[str] | None = None) -> LabelSet:
        """The labels that had joined when this cycle's batch closed: human, labelled, and not of the holdout.

        Without those of samples that are set aside now; or with `away`, without those of these samples instead.
        """
        pooled = SampleRow.split == Split.POOL
        there = pooled if away is None else SampleRow.split.in_((Split.POOL, Split.ASIDE))
        with self._database.read() as session:
            joined = (ObservationRow.project == self._project, ObservationRow.joined_cycle <= cycle)
            rows = standing(session.execute(select(*PLAIN).where(*joined)).all())
            rows = {**rows, **newest_verdicts(session, self._project, by=cycle)}
            pool = select(*SHOWN).where(SampleRow.project == self._project, there)
            samples = {
                row.id: shown(row)
                for some in chunks(sorted(rows))
                for row in session.execute(pool.where(SampleRow.id.in_(some)))
            }
            labels = [
                TrainingLabel(samples[key], row.content)
                for key, row in sorted(rows.items())
                if key in samples and key not in (away or ())
                if row.outcome == Outcome.LABELLED and row.content is not None
            ]
        return LabelSet(tuple(labels), label_set_hash(labels))

    def unclear(self, *, before: int) -> tuple[str, ...]:
        """The pool samples that annotators called unclear or skipped in cycles before this one."""
        outcomes = [Outcome.UNCLEAR, Outcome.SKIPPED]
        again = select(BatchItemRow.sample_id).filter_by(project=self._project, lane=Lane.RELABEL)
        with self._database.read() as session:
            query = select(BatchItemRow.sample_id).filter_by(project=self._project)
            query = query.where(BatchItemRow.outcome.in_(outcomes), BatchItemRow.lane != Lane.HOLDOUT)
            query = query.where(BatchItemRow.cycle < before)
            query = query.where(
                BatchItemRow.sample_id.not_in(again.where(BatchItemRow.cycle >= before))
            )  # not known then
            return tuple(session.scalars(query.distinct().order_by(BatchItemRow.sample_id)))

    def disputed(self, *, before: int) -> tuple[str, ...]:
        """The samples about which annotators disagreed, and which one more has to answer in this cycle."""
        with self._database.read() as session:
            found = newest_verdicts(session, self._project, by=before - 1)
            return tuple(sorted(key for key, row in found.items() if row.outcome is None))

    def verdicts(self) -> Mapping[str, tuple[Outcome | None, Content | None]]:
        """{sample id: (outcome, content)} that several annotators' answers have come to by now; None: not settled yet."""
        with self._database.read() as session:
            found = newest_verdicts(session, self._project, by=NOW)
            return {key: (Outcome(row.outcome) if row.outcome else None, row.content) for key, row in found.items()}

    def given(self) -> tuple[tuple[Label, int | None], ...]:
        """Every answer that people gave and did not take back, and the cycle it joined in; none of a manifest."""
        with self._database.read() as session:
            plain = select(*PLAIN, ObservationRow.annotator, ObservationRow.joined_cycle)
            query = plain.where(ObservationRow.project == self._project, ObservationRow.tool != "manifest")
            rows = sorted(current(session.execute(query).all()), key=lambda row: (row.updated_at, row.tool, row.ref))
            return tuple((label_of(row), row.joined_cycle) for row in rows)

    def annotator_hours(self) -> float:
        """Hours that people spent on the answers that they gave and did not take back, where the tool measured them."""
        with self._database.read() as session:
            rows = current(session.execute(select(*PLAIN).where(ObservationRow.project == self._project)).all())
            return sum(row.lead_time_s or 0.0 for row in rows) / 3600

    def refusals(self) -> tuple[tuple[str, str], ...]:
        """(where, reason) of every answer that could not be used when its tool was last read."""
        with self._database.read() as session:
            return refusals_of(session, self._project)


def _ends(answers: Mapping[str, ObservationRow | None]) -> Mapping[str, str | None]:
    """{sample id: outcome} of samples and their newest label."""
    return {key: Outcome.EXPIRED.value if row is None else row.outcome for key, row in answers.items()}


def _fault(label: Label, ours: Set[str], models: Set[str]) -> str | None:
    """Why an answer cannot be used, if so."""
    if label.sample_id not in ours:
        return f"sample {label.sample_id} is not in this project"
    if not label.annotator:
        return "names no annotator; only people's answers are labels"
    if label.annotator in models:
        return f"names the model {label.annotator} as its annotator; only people's answers are labels"
    if label.outcome is Outcome.LABELLED and label.content is None and not label.deleted:
        return "is labelled, but with nothing"
    return None
