"""What had left the pool when a batch was chosen: kept with the batch, so that a replay sees what the choice saw."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alloop.workspace import Workspace

__all__ = ["KEY", "absent_now", "absent_then"]

KEY = "absent"
"""The fact of diversity_select that holds it."""


def absent_now(ws: Workspace, cycle: int) -> frozenset[str]:
    """The ids of samples that were scored for this cycle, or labelled before it, and are set aside now."""
    away = ws.ledger.samples.away()
    if not away:
        return away
    labels = ws.ledger.labels.training_set(cycle - 1, away=frozenset()).labels
    files = [ws.config.state / path for path, _, _ in ws.ledger.batches.score_files(cycle)]
    return away & (_scored(files, away) | {label.sample.id for label in labels})


def absent_then(ws: Workspace, cycle: int) -> frozenset[str]:
    """The same as it was when the batch of this cycle was chosen; as it is now, where an older alloop did not keep it."""
    kept = ws.ledger.steps.facts(cycle, "diversity_select").get(KEY)
    return absent_now(ws, cycle) if kept is None else frozenset(kept)


def _scored(files: Sequence[Path], ids: frozenset[str]) -> frozenset[str]:
    """Which of these ids the score files have; of a file that is gone, none: whoever reads the scores tells of it."""
    wanted, found = pa.array(sorted(ids), pa.string()), set[str]()
    for path in files:
        if path.exists():
            column = pq.read_table(path, columns=["id"])["id"].cast(pa.string())
            found |= set(column.filter(pc.is_in(column, value_set=wanted)).to_pylist())
    return frozenset(found)
