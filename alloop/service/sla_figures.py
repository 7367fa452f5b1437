"""Figures about deadlines for Prometheus: clocks, forecast, and what was raised and told."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alloop.outlook import Outlook, look_ahead
from alloop.sla import to_hours
from alloop.workspace import Workspace

__all__ = ["SlaFigures"]


class SlaFigures(Collector):
    """Read from the ledger at the moment of asking; the forecast only while a cycle is open."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def describe(self) -> Iterator[Metric]:
        """Nothing yet: without this, registering would read the ledger."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Announcements by stage and kind, and the clocks of the open cycle."""
        ledger = self._ws.ledger
        raised = CounterMetricFamily("alloop_sla_flags", "Announcements raised", labels=["stage", "kind"])
        for (stage, kind), count in Counter((flag.stage, flag.kind) for flag in ledger.decisions.flags()).items():
            raised.add_metric([stage, kind], count)
        yield raised
        untold = "Announcements that a channel has not taken yet"
        yield GaugeMetricFamily("alloop_sla_untold", untold, value=ledger.announcements.untold())
        cycles = ledger.cycles.all()
        if cycles and cycles[-1].closed_at is None:
            yield from _clocks(look_ahead(self._ws, cycles[-1].number, self._ws.clock.now()))


def _clocks(outlook: Outlook) -> Iterator[Metric]:
    clocks = GaugeMetricFamily("alloop_stage_hours", "Hours that a stage has taken so far", labels=["stage"])
    for stage, age in outlook.clocks.items():
        clocks.add_metric([stage], to_hours(age))
    yield clocks
    ends = GaugeMetricFamily("alloop_forecast_hours", "Hours from open to decision, as forecast", labels=["bound"])
    opened = outlook.cycle.opened_at
    ends.add_metric(["median"], to_hours(outlook.forecast.finished - opened))
    ends.add_metric(["pessimistic"], to_hours(outlook.forecast.finished_bound - opened))
    yield ends
