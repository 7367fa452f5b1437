"""What Prometheus is told of deadlines."""

from datetime import timedelta

from prometheus_client import CollectorRegistry, generate_latest

from alloop.clock import WallClock
from alloop.nouns import Flag
from alloop.service.sla_figures import SlaFigures
from alloop.watch import watch


def shown(ws) -> str:
    registry = CollectorRegistry()
    registry.register(SlaFigures(ws))
    return generate_latest(registry).decode()


def test_without_a_cycle_there_is_nothing_to_forecast(ws):
    text = shown(ws)
    assert "alloop_sla_untold 0.0" in text
    assert "alloop_forecast_hours{" not in text


def test_an_open_cycle_has_clocks_and_a_forecast(ws):
    ws.ledger.cycles.open_next(strategy="margin", nominal=500)
    lines = dict(line.rsplit(" ", 1) for line in shown(ws).splitlines() if not line.startswith("#"))
    assert 0 <= float(lines['alloop_stage_hours{stage="cycle"}']) < 0.1
    median, bound = (float(lines[f'alloop_forecast_hours{{bound="{one}"}}']) for one in ("median", "pessimistic"))
    assert 0 < median < bound < 48


def test_announcements_are_counted_by_stage_and_kind(ws):
    cycle = ws.ledger.cycles.open_next(strategy="margin", nominal=500)
    for kind in ("at_risk", "recovered", "at_risk"):
        ws.ledger.decisions.raise_flags([Flag(0, "cycle", kind, 50.0, WallClock().now())])
    watch(ws, cycle.opened_at + timedelta(hours=49))
    text = shown(ws)
    assert 'alloop_sla_flags_total{kind="at_risk",stage="cycle"} 2.0' in text
    assert 'alloop_sla_flags_total{kind="breached",stage="cycle"} 1.0' in text
