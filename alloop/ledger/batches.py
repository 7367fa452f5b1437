"""Batches: what was chosen and why, and how far the tool has it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from alloop.clock import Clock
from alloop.errors import HoldoutLeak
from alloop.ledger.database import Database
from alloop.ledger.leases import Lease
from alloop.ledger.samples import chunks, to_sample
from alloop.ledger.steps import Steps
from alloop.ledger.tables import BatchItemRow, SampleRow, ScoreFileRow
from alloop.nouns import Batch, BatchItem, Lane, Outcome, Split

__all__ = ["Batches"]


class Batches:
    """The batches of one project, and the score files they were chosen from."""

    def __init__(self, database: Database, project: str, clock: Clock, steps: Steps) -> None:
        self._database, self._project, self._clock, self._steps = database, project, clock, steps

    def record_scores(self, lease: Lease, files: Sequence[tuple[str, str, int]], **facts: Any) -> None:
        """End score_pool with its files (path, sha256, samples); LeaseLost when the step was taken over."""
        with self._steps.finishing(lease, **facts) as session:
            key = {"project": self._project, "cycle": lease.cycle}
            rows = [{**key, "path": path, "sha256": digest, "samples": samples} for path, digest, samples in files]
            self._database.insert_new(session, ScoreFileRow, rows)

    def score_files(self, cycle: int) -> tuple[tuple[str, str, int], ...]:
        """(path, sha256, samples) of the score files of a cycle."""
        with self._database.read() as session:
            query = select(ScoreFileRow).filter_by(project=self._project, cycle=cycle).order_by(ScoreFileRow.path)
            return tuple((row.path, row.sha256, row.samples) for row in session.scalars(query))

    def record(self, lease: Lease, items: Sequence[BatchItem], **facts: Any) -> None:
        """End diversity_select with its batch; HoldoutLeak when a sample of another split would enter it."""
        with self._steps.finishing(lease, **facts) as session:
            self._refuse_leaks(session, items)
            self._database.insert(session, BatchItemRow, [self._row(lease.cycle, item) for item in items])

    def _refuse_leaks(self, session: Session, items: Sequence[BatchItem]) -> None:
        lanes = {item.sample.id: item.lane for item in items}
        query = select(SampleRow.id, SampleRow.split).filter_by(project=self._project)
        for some in chunks(sorted(lanes)):
            for key, split in session.execute(query.where(SampleRow.id.in_(some))):
                wanted = Split.HOLDOUT if lanes[key] is Lane.HOLDOUT else Split.POOL
                if split != wanted:
                    raise HoldoutLeak(f"sample {key} is in the {split}, it cannot enter lane '{lanes[key]}' of a batch")

    def _row(self, cycle: int, item: BatchItem) -> dict[str, Any]:
        return {
            "project": self._project,
            "cycle": cycle,
            "sample_id": item.sample.id,
            "rank": item.rank,
            "lane": item.lane.value,
            "score": None if math.isnan(item.score) else item.score,
            "cluster": item.cluster,
            "distance": None if math.isnan(item.distance) else item.distance,
            "prelabel": item.prelabel,
            "evidence": list(item.evidence),
            "blind": item.blind,
            "annotators": item.annotators,
        }

    def get(self, cycle: int) -> Batch:
        """The batch of a cycle in order of rank; empty before it was chosen."""
        return Batch(self._project, cycle, tuple(item for item, _, _ in self._rows(cycle)))

    def refs(self, cycle: int) -> Mapping[str, str]:
        """{sample id: task ref} of what the tool has confirmed."""
        return {item.sample.id: ref for item, ref, _ in self._rows(cycle) if ref is not None}

    def outcomes(self, cycle: int) -> Mapping[str, Outcome]:
        """{sample id: outcome} of what has become terminal."""
        return {item.sample.id: outcome for item, _, outcome in self._rows(cycle) if outcome is not None}

    def tally(self, cycle: int) -> Mapping[Outcome, int]:
        """How many samples that were chosen for the batch ended in each outcome; not the holdout's, nor those asked again."""
        chosen = (Lane.ACTIVE, Lane.CONTROL)
        return Counter(out for item, _, out in self._rows(cycle) if out is not None and item.lane in chosen)

    def _rows(self, cycle: int) -> tuple[tuple[BatchItem, str | None, Outcome | None], ...]:
        with self._database.read() as session:
            query = (
                select(BatchItemRow, SampleRow)
                .join(SampleRow, (SampleRow.project == BatchItemRow.project) & (SampleRow.id == BatchItemRow.sample_id))
                .where(BatchItemRow.project == self._project, BatchItemRow.cycle == cycle)
                .order_by(BatchItemRow.rank)
            )
            return tuple(
                (_item(row, sample), row.ref, Outcome(row.outcome) if row.outcome else None)
                for row, sample in session.execute(query)
            )

    def confirm(self, cycle: int, refs: Mapping[str, str]) -> None:
        """Note the task refs {sample id: ref} that the tool gave; the first ref of a sample stays."""
        mine = update(BatchItemRow).where(
            BatchItemRow.project == self._project,
            BatchItemRow.cycle == cycle,
            BatchItemRow.sample_id == bindparam("sample"),
            BatchItemRow.ref.is_(None),
        )
        rows = [{"sample": key, "told": ref} for key, ref in refs.items()]
        if rows:
            with self._database.write() as session:
                session.connection().execute(mine.values(ref=bindparam("told")), rows)


def _item(row: BatchItemRow, sample: SampleRow) -> BatchItem:
    return BatchItem(
        sample=to_sample(sample),
        rank=row.rank,
        lane=Lane(row.lane),
        score=math.nan if row.score is None else row.score,
        cluster=row.cluster,
        distance=math.nan if row.distance is None else row.distance,
        prelabel=row.prelabel,
        evidence=tuple(row.evidence or ()),
        blind=row.blind,
        annotators=row.annotators,
    )
