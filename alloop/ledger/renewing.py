"""Keeping a lease while its holder works, and giving it back."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Event, Thread

from alloop.errors import LeaseLost

__all__ = ["let_go", "renewing"]

log = logging.getLogger(__name__)


@contextmanager
def renewing(renew: Callable[[], None], *, lease_s: float, what: str) -> Iterator[None]:
    """While the block runs, `renew` is called three times per lease; what goes wrong is told once and tried again.

    LeaseLost ends it: who finishes with a lost lease is refused, so nothing more is to be done here.
    """
    done = Event()
    beat = Thread(target=copy_context().run, args=(_keep, renew, lease_s / 3, done, what), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()


def _keep(renew: Callable[[], None], every_s: float, done: Event, what: str) -> None:
    told = ""
    while not done.wait(every_s):
        try:
            renew()
        except LeaseLost:
            return
        except Exception as error:  # whatever it was: without this thread, others would take the work after a minute
            if told != str(error):
                log.warning("%s could not be renewed, and is tried again: %s", what, _first_line(error))
            told = str(error)
        else:
            told = ""


def let_go(release: Callable[[], None], *, what: str) -> None:
    """Release a lease, or only log what goes wrong: it runs out by itself, and what ended the work is the news."""
    try:
        release()
    except Exception as error:  # of any kind: it would stand in the place of the error that ended the work
        log.warning("%s could not be released: %s", what, _first_line(error))


def _first_line(error: Exception) -> str:
    return f"{error}".partition("\n")[0]  # a statement and its parameters follow in those of SQLAlchemy
