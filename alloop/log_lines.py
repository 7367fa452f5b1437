"""Log lines say of which project, cycle and step they tell: `[digits/7 retrain] done in 41.3 s`.

Whoever logs needs to know nothing of it. Within `at_step` every record of a logger below "alloop" starts with that mark,
and carries `project`, `cycle` and `stage` for those who write logs as JSON.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = ["ROOT", "at_step", "lines_on_stderr"]

ROOT = "alloop"
"""Every logger of ours is below this one."""


class _Place(NamedTuple):
    project: str
    cycle: int
    stage: str


_place: ContextVar[_Place | None] = ContextVar("place", default=None)


@contextmanager
def at_step(project: str, cycle: int, stage: str) -> Iterator[None]:
    """Mark what is logged within the block, in this thread and in those that run in a copy of its context."""
    _mark_records()
    token = _place.set(_Place(project, cycle, stage))
    try:
        yield
    finally:
        _place.reset(token)


def _mark_records() -> None:
    """A filter would have to hang on every logger, and an adapter to be handed to everybody; a factory sees all records."""
    make = logging.getLogRecordFactory()
    if not getattr(make, "marks_alloop", False):
        logging.setLogRecordFactory(_marking(make))


def _marking(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record, place = make(*args, **kwargs), _place.get()
        if place is not None and (record.name == ROOT or record.name.startswith(f"{ROOT}.")):
            record.__dict__.update(place._asdict())
            record.msg = f"[{place.project}/{place.cycle} {place.stage}] {record.msg}"  # no name holds a percent sign
        return record

    factory.marks_alloop = True  # type: ignore[attr-defined]
    return factory


@contextmanager
def lines_on_stderr() -> Iterator[None]:
    """Show our log lines on standard error while the block runs, plain ones too; elsewhere they go on as before."""
    logger, handler = logging.getLogger(ROOT), _Stderr(logging.INFO)
    handler.setFormatter(logging.Formatter("%(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # Prefect's console would tell them a second time
    try:
        yield
    finally:
        logger.level, logger.propagate = before
        logger.removeHandler(handler)


class _Stderr(logging.Handler):
    """Looks up standard error for each line: a progress bar stands there and takes lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # logging's own rule: a line that cannot be written ends nothing
            self.handleError(record)
