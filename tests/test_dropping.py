"""What a person drops: it trains and measures no more, nothing brings it back, and comparisons stay paired."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from alloop.commands.pool import pool_drop, pool_status
from alloop.cycle import holdout_eval, open_cycle, retrain, strategy_switch, wait_for_labels, walk
from alloop.dropping import drop_samples, samples_at
from alloop.errors import ConfigError, LabelsPending, LoopError
from alloop.holdout import holdout_hash
from alloop.judging import measure_again, results_of
from alloop.nouns import Lane, Outcome, Sample, Split
from alloop.summary import summarise
from alloop.workspace import Workspace
from tests.loop_project import (
    Row,
    add_manifest,
    answer,
    batch_of,
    for_holdout,
    project,
    truly,
    without_labels,
    write_digits,
)
from tests.small_project import run_until_pushed


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """30 for the holdout, the first with a wrong label, 50 for the pool; files that a test may delete."""
    digits = write_digits(tmp_path / "images")
    (uri, _, *rest), *others = for_holdout(digits[:30])
    return [(uri, "3", *rest), *others, *digits[30:]]


@pytest.fixture
def ws(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """Two cycles are over; v0, v1 and v1.r1 were measured on 30 images."""
    with project(tmp_path / "p", rows[:30] + without_labels(rows[30:]), tool="folder") as ws:
        for number in range(2):
            answer(ws, run_until_pushed(ws), truly(rows))
            walk(ws, number, wait=False)
        yield ws


def wrong(ws: Workspace, version: str) -> list[Sample]:
    """The holdout images that a model is wrong on."""
    found = results_of(ws, model(ws, version))
    named = ws.ledger.samples.get(found.ids)
    return [named[key] for key, right in zip(found.ids, found.correct, strict=True) if not right]  # type: ignore[attr-defined]


def model(ws: Workspace, name: str):  # type: ignore[no-untyped-def]
    version = ws.ledger.models.get(name)
    assert version is not None
    return version


def measured(ws: Workspace) -> dict[str, int]:
    found = {name: ws.ledger.models.evaluation(name) for name in ("v0", "v1", "v1.r1")}
    return {name: evaluation.samples for name, evaluation in found.items() if evaluation}


# The pool


def test_a_dropped_sample_trains_no_more(ws: Workspace) -> None:
    sample = ws.ledger.labels.training_set(1).labels[0].sample
    assert drop_samples(ws, [sample]).pool == 1
    assert sample.id not in {label.sample.id for label in ws.ledger.labels.training_set(1).labels}
    assert [(one.uri, one.cause, one.reason) for one in ws.ledger.samples.aside()] == [
        (sample.uri, "dropped", "dropped by a person")
    ]


def test_nothing_brings_it_back(ws: Workspace) -> None:
    sample = next(iter(ws.ledger.samples.unlabelled(shard=1)))[0]
    drop_samples(ws, [sample])
    kept = Path(sample.uri).read_bytes()
    Path(sample.uri).unlink()
    add_manifest(ws)
    Path(sample.uri).write_bytes(kept)
    add_manifest(ws)
    assert [one.cause for one in ws.ledger.samples.aside()] == ["dropped"]
    assert ws.ledger.samples.counts()["unlabelled"] == 50 - 20 - 1


def test_nobody_is_asked_about_it_any_more(ws: Workspace, rows: list[Row]) -> None:
    run_until_pushed(ws)
    dropped, *others = [item.sample for item in batch_of(ws, 2).items]
    drop_samples(ws, [dropped])
    folder = ws.config.root / "annotation" / "batch-0002"
    assert dropped.id not in (folder / "tasks.jsonl").read_text()
    knows = truly(rows)
    answer(ws, 2, lambda sample: None if sample.id == dropped.id else knows(sample))
    walk(ws, 2, wait=False)
    assert ws.ledger.batches.outcomes(2)[dropped.id] == Outcome.EXPIRED
    assert len(others) == 11


def test_an_image_is_named_from_the_present_folder_too(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    sample = ws.ledger.holdout.all()[0]
    monkeypatch.chdir(Path(sample.uri).parent.parent)
    assert samples_at(ws, [f"images/{Path(sample.uri).name}", sample.uri]) == [sample]


def test_what_is_no_sample_is_refused(ws: Workspace) -> None:
    with pytest.raises(
        ConfigError, match=r"/nowhere\.png is no sample of project 'p'; name an image as the manifest does"
    ):
        samples_at(ws, ["/nowhere.png"])


# The holdout


def test_every_model_is_measured_again_on_the_rest(ws: Workspace) -> None:
    done = drop_samples(ws, [ws.ledger.holdout.all()[0]])
    assert (done.holdout, done.measured_again, done.left) == (1, 3, 29)
    assert measured(ws) == {"v0": 29, "v1": 29, "v1.r1": 29}


def test_without_what_it_was_wrong_on_a_model_is_right(ws: Workspace) -> None:
    before = ws.ledger.models.evaluation("v0")
    drop_samples(ws, wrong(ws, "v0"))
    evaluation = ws.ledger.models.evaluation("v0")
    assert before is not None
    assert evaluation is not None
    assert before.points < evaluation.points == 100.0


def test_an_evaluation_is_known_by_the_hash_of_what_it_was_measured_on(ws: Workspace) -> None:
    before = ws.ledger.models.evaluation("v0")
    drop_samples(ws, [ws.ledger.holdout.all()[0]])
    evaluation, frozen = ws.ledger.models.evaluation("v0"), ws.ledger.holdout.frozen()
    assert before is not None
    assert evaluation is not None
    assert frozen is not None
    assert evaluation.holdout_hash == holdout_hash(frozen[1]) != before.holdout_hash


def test_the_next_cycle_compares_on_the_rest(ws: Workspace, rows: list[Row]) -> None:
    lost = ws.ledger.holdout.all()[:2]
    for sample in lost:
        Path(sample.uri).unlink()
    drop_samples(ws, lost)
    answer(ws, run_until_pushed(ws), truly(rows))
    decision = walk(ws, 2, wait=False)
    challenger, before = (results_of(ws, model(ws, name)) for name in ("v2", "v1"))
    assert challenger.ids == before.ids
    assert len(challenger.ids) == 28
    assert decision.lift is not None
    assert decision.lift.points == pytest.approx(100 * challenger.gain_on(before).share)


def test_dropped_between_measuring_and_deciding_both_are_measured_again(ws: Workspace, rows: list[Row]) -> None:
    answer(ws, run_until_pushed(ws), truly(rows))
    for step in (wait_for_labels, retrain, holdout_eval):
        step(ws, 2)
    sample = ws.ledger.holdout.all()[0]
    ws.ledger.holdout.drop([sample.uri], reason="killed before the models were measured again")
    strategy_switch(ws, 2)
    assert {len(results_of(ws, model(ws, name)).ids) for name in ("v0", "v1", "v2")} == {29}


def test_dropped_twice_is_once(ws: Workspace) -> None:
    sample = ws.ledger.holdout.all()[0]
    drop_samples(ws, [sample])
    at = ws.ledger.samples.aside()
    assert drop_samples(ws, [sample]).measured_again == 0
    assert (ws.ledger.samples.aside(), measured(ws)["v1"]) == (at, 29)


def test_a_model_whose_results_are_gone_keeps_nobody_from_dropping(
    ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    evaluation = ws.ledger.models.evaluation("v0")
    assert evaluation is not None
    (ws.config.state / evaluation.results_path).unlink()
    assert drop_samples(ws, [ws.ledger.holdout.all()[0]]).measured_again == 2
    assert "model v0 cannot be measured again" in caplog.text


def test_something_is_left_to_measure_with(ws: Workspace) -> None:
    with pytest.raises(LoopError, match="nothing would be left of the holdout"):
        drop_samples(ws, ws.ledger.holdout.all())
    assert ws.ledger.samples.aside() == ()


def test_what_was_frozen_stays_in_the_ledger(ws: Workspace) -> None:
    before = ws.ledger.holdout.frozen()
    drop_samples(ws, [ws.ledger.holdout.all()[0]])
    after = ws.ledger.holdout.frozen()
    assert before is not None
    assert after is not None
    assert (after[0], after[1]) == (before[0], before[1][1:])
    assert len(ws.ledger.holdout.all()) == 30


def test_status_counts_what_measures(ws: Workspace) -> None:
    drop_samples(ws, [ws.ledger.holdout.all()[0]])
    summary = summarise(ws)
    assert summary.counts.holdout == 29
    assert [(one.cause, one.reason) for one in summary.set_aside] == [
        ("dropped", "dropped by a person from the holdout; models are compared without it")
    ]


def test_nothing_is_measured_again_where_nothing_was_dropped(ws: Workspace) -> None:
    assert measure_again(ws) == 0


def test_before_it_is_frozen_nobody_is_asked_about_it(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "q", without_labels([(u, n, g, "pool") for u, n, g, _ in rows]), tool="folder") as ws:
        run_until_pushed(ws)
        held = [item.sample for item in batch_of(ws, 0).items if item.lane is Lane.HOLDOUT]
        knows = truly(rows)
        answer(ws, 0, lambda sample: None if sample.id == held[0].id else knows(sample))
        with pytest.raises(LabelsPending, match="27 of 28"):
            wait_for_labels(ws, 0)
        drop_samples(ws, [held[0], held[1]])
        wait_for_labels(ws, 0)
        digest, frozen = ws.ledger.holdout.frozen() or ("", ())
        assert {label.sample.id for label in frozen} == {sample.id for sample in held[2:]}
        assert digest == holdout_hash(frozen)
        assert {sample.split for sample in ws.ledger.samples.get([held[0].id, held[1].id]).values()} == {Split.ASIDE}


# The command


def test_the_holdout_is_touched_on_request_only(ws: Workspace) -> None:
    uri = ws.ledger.holdout.all()[0].uri
    with pytest.raises(ConfigError, match=r"such as .*: without them every model .* if you mean that, say --holdout"):
        pool_drop([uri], config=ws.config.file)
    assert ws.ledger.samples.aside() == ()


def test_the_command_says_what_came_of_it(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    held, pooled = ws.ledger.holdout.all()[0].uri, next(iter(ws.ledger.samples.unlabelled(shard=1)))[0].uri
    pool_drop([held, pooled], holdout=True, config=ws.config.file)
    assert capsys.readouterr().out == (
        "1 dropped from the pool\n"
        "1 dropped from the holdout; 29 images measure every model from now on, and 3 models were measured again on them\n"
    )


def test_pool_status_tells_why_images_were_set_aside(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    pooled = next(iter(ws.ledger.samples.unlabelled(shard=1)))[0].uri
    drop_samples(ws, samples_at(ws, [pooled]))
    pool_status(config=ws.config.file)
    told = capsys.readouterr().out
    assert "1 dropped\n" in told
    assert f"  {pooled} dropped by a person\n" in told


def test_the_command_line_has_it(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from alloop.cli import main

    pooled = next(iter(ws.ledger.samples.unlabelled(shard=1)))[0].uri
    monkeypatch.setattr(sys, "argv", ["alloop", "pool", "drop", pooled, "--config", str(ws.config.file)])
    with suppress(SystemExit):
        main()
    assert capsys.readouterr().out == "1 dropped from the pool\n"
    assert open_cycle(ws) == 2
