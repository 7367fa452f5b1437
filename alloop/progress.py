"""How long work shows that it lives: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from alloop.nouns import Progress, no_progress

__all__ = ["current_progress", "shown_progress"]

_current: ContextVar[Progress] = ContextVar("progress", default=no_progress)
LINE_EVERY_S = 5.0


def current_progress() -> Progress:
    """The progress display that the command line has put up; one that shows nothing elsewhere."""
    return _current.get()


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show progress on standard error while the block runs."""
    with _bar() if sys.stderr.isatty() else _lines() as progress:
        token = _current.set(progress)
        try:
            yield progress
        finally:
            _current.reset(token)


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting", total=None)
        shown = [""]

        def progress(what: str, done: int, total: int) -> None:
            if what != shown[0]:
                shown[0] = what
                bars.reset(task, description=what)
            bars.update(task, description=what, completed=done, total=total or None)

        yield progress


@contextmanager
def _lines() -> Iterator[Progress]:
    shown, since, begun, first = "", 0.0, 0.0, 0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal shown, since, begun, first
        now = time.monotonic()
        if what == shown and (done < total or not total) and now - since < LINE_EVERY_S:
            return
        if what != shown:
            begun, first = now, done
        shown, since = what, now
        left = _time_left(now - begun, done - first, total - done)
        print(f"{what}: {done} of {total}{left}" if total else what, file=sys.stderr, flush=True)

    yield progress


def _time_left(spent_s: float, done: int, missing: int) -> str:
    """How long the rest takes at the pace so far, "" when that is not known yet or under a minute."""
    minutes = round(spent_s * missing / done / 60) if done > 0 and spent_s > LINE_EVERY_S else 0
    return f", about {minutes} min left" if minutes else ""
