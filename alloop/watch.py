"""Looking at the clocks: what broke its promise or will break it is raised once, and told."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

from alloop.announce import Channel, announce, channels_of
from alloop.nouns import Cycle, Flag
from alloop.outlook import last_label, look_ahead
from alloop.sla import WHOLE_CYCLE, breaches, prospects
from alloop.workspace import Workspace

__all__ = ["watch"]

NO_MORE: Mapping[str, Channel] = MappingProxyType({})


def watch(ws: Workspace, now: datetime, *, channels: Mapping[str, Channel] = NO_MORE) -> tuple[Flag, ...]:
    """Raise what is news at `now` (aware), and tell it on the log, on the channels of `[notify]` and on `channels`.

    All that is known stands in the ledger: it does not matter how long nobody looked, who looks, or how often. What was
    raised by others, or could not be told before, is told too.
    """
    raised: list[Flag] = []
    for cycle in ws.ledger.cycles.all()[-2:]:  # the one before can have been closed since the last look
        raised += ws.ledger.decisions.raise_flags(tuple(_due(ws, cycle, now)))
    announce(ws, {**channels_of(ws.config.notify), **channels})
    return tuple(raised)


def _due(ws: Workspace, cycle: Cycle, now: datetime) -> Iterator[Flag]:
    """Flags that the clocks call for; the ledger knows which of them are news."""
    number = cycle.number
    stages, standing = ws.ledger.steps.of(number), None
    for flag in ws.ledger.decisions.flags():
        if (flag.cycle, flag.stage) == (number, WHOLE_CYCLE):
            standing = flag.kind
    bound = cycle.closed_at or look_ahead(ws, number, now).forecast.finished_bound
    yield from prospects(cycle, ws.limits, now, bound=bound, standing=standing)
    answered = last_label(ws, stages, ws.ledger.expiry.items(number))
    yield from breaches(cycle, stages, ws.limits, now, last_label=answered)
