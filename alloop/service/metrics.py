"""Figures for Prometheus: the service's own, and where the loop stands."""

import asyncio
from collections.abc import Iterator
from datetime import datetime

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from alloop.errors import AlloopError
from alloop.nouns import Cycle
from alloop.service.answers import refusal
from alloop.service.sla_figures import SlaFigures
from alloop.sla import cycle_age, to_hours
from alloop.workspace import Workspace

__all__ = ["Metrics", "metrics_routes"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds; Label Studio hangs up after 1, and 0.05 is what the service promises."""


class Metrics:
    """Counts of one application, apart from those of any other in the same process."""

    def __init__(self, ws: Workspace) -> None:
        self.registry = CollectorRegistry()
        self._hints = Counter(
            "alloop_hints", "Webhooks by tool and by what became of them", ["tool", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "alloop_hint_answer_seconds",
            "Seconds until a webhook was answered",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._images = Counter("alloop_images", "Images asked for, by HTTP status", ["status"], registry=self.registry)
        self.registry.register(Loop(ws))
        self.registry.register(SlaFigures(ws))

    def count_hint(self, tool: str, status: str, seconds: float) -> None:
        """Note a webhook's end."""
        self._hints.labels(tool, status).inc()
        self._seconds.observe(seconds)

    def count_image(self, status: int) -> None:
        """Note the answer to a request for an image."""
        self._images.labels(str(status)).inc()


class Loop(Collector):
    """Where the loop stands at the moment of asking, read from the ledger."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing yet: without this, registering would read the ledger."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        for name, (says, value) in self._gauges().items():
            yield GaugeMetricFamily(f"alloop_{name}", says, value=value)

    def _gauges(self) -> dict[str, tuple[str, float]]:
        ledger, cycles = self._ws.ledger, self._ws.ledger.cycles.all()
        found: dict[str, tuple[str, float]] = {
            "hints_waiting": ("1 while the tool has not been read since the last hint", ledger.hints.waiting()),
            "cycles": ("Cycles so far, an open one included", len(cycles)),
            "cycle_open": ("1 while a cycle is open", bool(cycles) and cycles[-1].closed_at is None),
        }
        if cycles:
            last = cycles[-1]
            answered, asked = ledger.labels.pending(last.number)
            found |= {
                "cycle_number": ("The newest cycle", last.number),
                "cycle_answered": ("Samples of the newest batch that people answered", answered),
                "cycle_asked": ("Samples of the newest batch", asked),
                "cycle_hours": ("Age of the newest cycle, from open to decision", _hours(last, self._ws.clock.now())),
                "cycle_limit_hours": ("What was promised", self._ws.limits.cycle_hours),
            }
        return found


def _hours(cycle: Cycle, now: datetime) -> float:
    return to_hours(cycle_age(cycle, now))


def metrics_routes(ws: Workspace, metrics: Metrics) -> APIRouter:
    """/metrics, /healthz (the process lives) and /readyz (its ledger answers)."""
    routes = APIRouter()

    @routes.get("/metrics")
    async def shown() -> Response:
        try:
            text = await asyncio.to_thread(generate_latest, metrics.registry)
        except AlloopError as error:
            raise refusal(error) from error
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    @routes.get("/healthz")
    async def lives() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/readyz")
    async def ready() -> dict[str, str]:
        try:
            await asyncio.to_thread(ws.ledger.hints.waiting)
        except AlloopError as error:
            raise refusal(error) from error
        return {"status": "ok"}

    return routes
