"""What Prometheus reads, and what a supervisor asks."""

import sqlite3
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alloop.ledger import database
from alloop.ledger.samples import SampleFile
from alloop.nouns import BatchItem, Lane, Sample
from alloop.service.app import create_app
from tests.service.conftest import SECRET, Caller, birds

TOKEN = {"X-Alloop-Token": SECRET}


def figures(service):
    """{(name, labels): value} of everything shown."""
    text = service.get("/metrics").text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def service(ws):
    return Caller(create_app(ws))


def open_cycle(ws, *names):
    """A cycle that asks for these samples."""
    files = [SampleFile(Sample(name * 64, f"/{name}.png"), 8, 6, 100, 1) for name in names]
    ws.ledger.samples.add(files, truths_are_labels=False)
    cycle = ws.ledger.cycles.open_next(strategy="margin", nominal=len(names)).number
    ws.ledger.batches.record_scores(ws.ledger.steps.begin(cycle, "score_pool", lease_s=60), [])
    items = [BatchItem(file.sample, rank, Lane.ACTIVE) for rank, file in enumerate(files)]
    ws.ledger.batches.record(ws.ledger.steps.begin(cycle, "diversity_select", lease_s=60), items)


def test_webhooks_are_counted_by_tool_and_by_what_became_of_them(service):
    body = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "updated_at": "now"}}
    for headers in (TOKEN, TOKEN, {}):
        service.post("/webhooks/label-studio", body, headers=headers)
    service.post("/webhooks/cvat", b"{}")
    found = figures(service)
    assert found["alloop_hints_total", "label-studio", "stored"] == 1
    assert found["alloop_hints_total", "duplicate", "label-studio"] == 1
    assert found["alloop_hints_total", "forged", "label-studio"] == 1
    assert found["alloop_hints_total", "cvat", "forged"] == 1


def test_the_time_of_each_answer_is_counted(service):
    service.post("/webhooks/label-studio", b"{}", headers=TOKEN)
    found = figures(service)
    assert found["alloop_hint_answer_seconds_count",] == 1
    assert 0 < found["alloop_hint_answer_seconds_sum",] < 5


def test_a_tool_that_nobody_reads_makes_no_figure(service):
    service.post("/webhooks/anything-at-all", b"{}")
    assert not [name for name in figures(service) if name[0] == "alloop_hints_total"]


def test_images_are_counted_by_status(service):
    service.get(f"/images/{'0' * 64}")
    assert figures(service)["alloop_images_total", "403"] == 1


def test_before_the_first_cycle_there_is_none(service):
    found = figures(service)
    assert (found["alloop_cycles",], found["alloop_cycle_open",]) == (0, 0)
    assert ("alloop_cycle_asked",) not in found


def test_the_open_cycle_shows_answers_and_hours(service, ws):
    open_cycle(ws, "a", "b")
    found = figures(service)
    assert (found["alloop_cycle_open",], found["alloop_cycle_number",]) == (1, 0)
    assert (found["alloop_cycle_answered",], found["alloop_cycle_asked",]) == (0, 2)
    assert found["alloop_cycle_limit_hours",] == 48
    assert 0 <= found["alloop_cycle_hours",] < timedelta(minutes=5) / timedelta(hours=1)


def test_a_hint_shows_as_waiting_until_the_tool_was_read(service, ws):
    service.post("/webhooks/label-studio", {"action": "A"}, headers=TOKEN)
    assert figures(service)["alloop_hints_waiting",] == 1
    ws.ledger.hints.handle(ws.ledger.hints.newest())
    assert figures(service)["alloop_hints_waiting",] == 0


def test_two_applications_count_for_themselves(ws):
    first, second = Caller(create_app(ws)), Caller(create_app(ws))
    first.post("/webhooks/label-studio", b"{}", headers=TOKEN)
    assert not [name for name in figures(second) if name[0] == "alloop_hints_total"]


def test_a_service_that_lives_says_so(service):
    assert service.get("/healthz").json() == {"status": "ok"}


def test_one_whose_ledger_answers_is_ready(service):
    assert service.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
def test_one_whose_ledger_does_not_answer_is_not_ready(tmp_path, monkeypatch, path):
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with birds(tmp_path) as ws:
        service = Caller(create_app(ws))
        ws.ledger.close()  # it connects again when it is asked
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        answer = service.get(path)
        lives = service.get("/healthz")
        other.close()
    assert (answer.status_code, lives.status_code) == (503, 200)
