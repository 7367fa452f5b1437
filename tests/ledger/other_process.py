"""The other process of the tests: reads verbs from stdin, one JSON line each, and answers each with one."""

import json
import sys
from datetime import UTC, datetime

from alloop.clock import WallClock
from alloop.errors import AlloopError
from alloop.ledger import Ledger, open_ledger
from alloop.ledger.leases import Lease
from alloop.nouns import Changes, Content, Label, Outcome, Task

url, project = sys.argv[1:]
opened: list[Ledger] = []
leases: list[Lease] = []


def ledger() -> Ledger:
    if not opened:
        labels = ("cat", "dog")
        opened.append(open_ledger(url, project=project, task=Task.CLASSIFY, labels=labels, clock=WallClock()))
    return opened[0]


def open_() -> str:
    return ledger().samples._project


def open_next(nominal: int) -> list[object]:
    cycle = ledger().cycles.open_next(strategy=f"strategy-{nominal}", nominal=nominal)
    return [cycle.number, cycle.strategy, cycle.opened_at.isoformat()]


def begin(step: str, lease_s: float) -> str:
    lease = ledger().steps.begin(0, step, lease_s=lease_s)
    leases.extend([lease] if lease else [])
    return "lease" if lease else "finished"


def finish_scores() -> str:
    ledger().batches.record_scores(leases[-1], [("other.parquet", "0" * 64, 1)])
    return "finished"


def write(writer: int, times: int) -> int:
    for number in range(times):
        ref = f"{writer}/{number}"
        label = Label("a", f"ann-{writer}", Outcome.LABELLED, ref, datetime.now(UTC), Content("cat"))
        ledger().labels.record("tool", Changes((label,), ref))
    return times


VERBS = {"open": open_, "open_next": open_next, "begin": begin, "finish_scores": finish_scores, "write": write}
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    verb, *args = json.loads(line)
    try:
        answer: object = VERBS[verb](*args)
    except AlloopError as error:
        answer = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), flush=True)
