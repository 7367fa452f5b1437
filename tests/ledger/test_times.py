"""Times go in aware and come out in UTC, and all of them are the clock's."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import StatementError

from alloop.ledger.tables import ObservationRow
from alloop.nouns import Action, Content, Split

NEPAL = timezone(timedelta(hours=5, minutes=45))


def test_a_time_of_another_zone_comes_back_in_utc(loop):
    loop.add("a")
    loop.ask("a")
    told = datetime(2026, 1, 5, 14, 45, 30, 123456, tzinfo=NEPAL)
    loop.tell(loop.label("a", updated_at=told))
    with loop.ledger.database.read() as session:
        (row,) = session.query(ObservationRow).filter_by(project=loop.ledger.samples._project)
        assert row.updated_at == told
        assert row.updated_at.isoformat() == "2026-01-05T09:00:30.123456+00:00"


def test_one_moment_told_in_two_zones_is_one_observation(loop, rows):
    loop.add("a")
    loop.ask("a")
    loop.tell(loop.label("a", updated_at=datetime(2026, 1, 5, 14, 45, tzinfo=NEPAL)))
    once = rows(loop.ledger)["observation"]
    loop.tell(loop.label("a", updated_at=datetime(2026, 1, 5, 9, tzinfo=UTC)))
    assert rows(loop.ledger)["observation"] == once


def test_a_naive_time_is_refused_and_nothing_is_written(loop, rows):
    loop.add("ab")
    loop.ask("ab")
    before = rows(loop.ledger)
    with pytest.raises(StatementError, match="has no time zone"):
        loop.tell(loop.label("a"), loop.label("b", updated_at=datetime(2026, 1, 5, 9)))
    assert rows(loop.ledger) == before


def test_every_time_is_the_clocks(loop, clock):
    loop.add("ab", split=Split.POOL)
    opened = clock.now()
    loop.ask("a")
    clock.sleep(3600)
    loop.tell(loop.label("a"))
    loop.close()
    loop.ledger.holdout.freeze({"b": Content("cat")}, digest="f" * 64, dropped=0)
    clock.sleep(3600)
    loop.decide(Action.KEEP)
    (cycle,) = loop.ledger.cycles.all()
    assert (cycle.opened_at, cycle.closed_at) == (opened, opened + timedelta(hours=2))
    assert cycle.opened_at.tzinfo is UTC


def test_a_stage_is_timed_by_the_loops_clock_and_its_work_by_the_processor(loop, clock):
    loop.open()
    with loop.ledger.steps.working(0, "score_pool") as lease:
        clock.sleep(7200)
        loop.ledger.batches.record_scores(lease, [], strategy="margin")
    (stage,) = loop.ledger.steps.of(0)
    assert stage.finished_at - stage.started_at == timedelta(hours=2)
    assert 0 < stage.work_s < 60
    assert stage.facts == {"strategy": "margin"}


def test_a_stage_that_failed_once_counts_from_its_first_beginning(loop, clock):
    loop.open()
    first = clock.now()
    loop.ledger.steps.release(loop.begin("score_pool"))
    clock.sleep(60)
    loop.finish("score_pool")
    assert loop.ledger.steps.of(0)[0].started_at == first
