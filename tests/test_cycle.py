"""The loop between its first and its last cycle: what leaves the pool, what people see, and what goes missing."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alloop.choosing import replay_batch
from alloop.cycle import decision_of, diversity_select, open_cycle, retrain, score_pool, wait_for_labels, walk
from alloop.errors import BadImage, CycleClosed, LabelsPending, PoolExhausted
from alloop.nouns import STEPS, Lane, Outcome
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
from tests.small_project import run_cycles, run_until_pushed


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """30 for the holdout, 50 for the pool; files that a test may delete."""
    digits = write_digits(tmp_path / "images")
    return for_holdout(digits[:30]) + digits[30:]


@pytest.fixture
def ws(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """After its first cycle, with simulated annotators who never err."""
    with project(tmp_path / "p", rows, more="[annotation.simulated]\nerror_rate = 0") as ws:
        run_cycles(ws, 1)
        yield ws


@pytest.fixture
def people(tmp_path: Path, rows: list[Row]) -> Iterator[Workspace]:
    """After its first cycle, with people who answer in a folder."""
    with project(tmp_path / "p", rows[:30] + without_labels(rows[30:]), tool="folder") as ws:
        run_until_pushed(ws)
        answer(ws, 0, truly(rows))
        walk(ws, 0, wait=False)
        yield ws


# Unclear answers


def test_unclear_answers_make_a_batch_complete_and_never_train(people: Workspace) -> None:
    cycle = run_until_pushed(people)
    answer(people, cycle, lambda _: {"outcome": "unclear"})
    wait_for_labels(people, cycle)
    assert people.ledger.batches.tally(cycle) == {Outcome.UNCLEAR: 12}
    assert people.ledger.labels.training_set(cycle).hash == people.ledger.labels.training_set(0).hash


def test_unclear_samples_leave_the_pool_for_good(people: Workspace, rows: list[Row]) -> None:
    cycle, knows = run_until_pushed(people), truly(rows)
    unclear = {item.sample.id for item in batch_of(people, cycle).items[::2]}
    answer(people, cycle, lambda sample: {"outcome": "unclear"} if sample.id in unclear else knows(sample))
    walk(people, cycle, wait=False)
    left = {sample.id for shard in people.ledger.samples.unlabelled(shard=100) for sample in shard}
    assert left.isdisjoint(unclear)
    assert len(left) == 50 - 8 - 12


def test_too_many_unclear_answers_are_a_reason_to_switch(people: Workspace, rows: list[Row]) -> None:
    cycle, knows = run_until_pushed(people), truly(rows)
    unclear = {item.sample.id for item in batch_of(people, cycle).items[:4]}
    answer(people, cycle, lambda sample: {"outcome": "unclear"} if sample.id in unclear else knows(sample))
    decision = walk(people, cycle, wait=False)
    assert (decision.action, decision.strategy) == ("switch", "random")
    assert "33.3% of the answers were unclear" in decision.reason


# What people see


def test_a_quarter_of_the_batch_is_drawn_at_random(ws: Workspace) -> None:
    lanes = [item.lane for item in batch_of(ws, run_until_pushed(ws)).items]
    assert (lanes.count(Lane.CONTROL), lanes.count(Lane.ACTIVE)) == (3, 9)


def test_the_active_lane_is_asked_in_the_order_of_the_strategy(ws: Workspace) -> None:
    scores = [item.score for item in batch_of(ws, run_until_pushed(ws)).items if item.lane is Lane.ACTIVE]
    assert scores == sorted(scores, reverse=True)


def test_prelabels_are_what_the_champion_says(ws: Workspace) -> None:
    items = batch_of(ws, run_until_pushed(ws)).items
    champion = ws.ledger.models.champion()
    assert champion is not None
    said = ws.model(champion).predict([item.sample for item in items]).probabilities
    for item, row in zip(items, said, strict=True):
        assert item.prelabel is not None
        assert item.prelabel.model_version == "v0"
        assert item.prelabel.content.class_name == str(row.argmax())
        assert item.prelabel.confidence == pytest.approx(row.max(), abs=1e-5)


def test_a_prelabel_is_never_a_label(people: Workspace) -> None:
    cycle = run_until_pushed(people)
    assert all(item.prelabel for item in batch_of(people, cycle).items)
    with pytest.raises(LabelsPending, match="0 of 12"):
        wait_for_labels(people, cycle)
    assert len(people.ledger.labels.training_set(cycle).labels) == 8


# Images that go missing


def forget(ws: Workspace, number: int) -> list[str]:
    """Delete the files of some unlabelled samples; their ids."""
    samples = next(iter(ws.ledger.samples.unlabelled(shard=number)))
    for sample in samples:
        Path(sample.uri).unlink()
    return [sample.id for sample in samples]


def test_an_image_that_was_deleted_is_set_aside_and_the_cycle_goes_on(ws: Workspace) -> None:
    lost = forget(ws, 2)
    run_cycles(ws, 1)
    aside = {refused.uri: refused for refused in ws.ledger.samples.aside()}
    assert set(aside) == {sample.uri for sample in ws.ledger.samples.get(lost).values()}
    assert {(refused.cause, refused.reason.split(":")[0]) for refused in aside.values()} == {
        ("bad image", "gave no score")
    }
    assert ws.ledger.steps.facts(1, "score_pool")["unusable"] == 2
    assert len(batch_of(ws, 1).items) == 12


def test_what_is_lost_after_scoring_is_not_shown_to_anybody(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        score_pool(ws, open_cycle(ws))  # nobody looks at an image yet: there is no model
        lost = forget(ws, 3)
        diversity_select(ws, 0)
        assert len(batch_of(ws, 0).items) == 8
        assert {item.sample.id for item in batch_of(ws, 0).items}.isdisjoint(lost)
        assert len(ws.ledger.samples.aside()) == 3
        assert replay_batch(ws, 0) == ()


def test_when_the_storage_is_away_nothing_is_set_aside(ws: Workspace, tmp_path: Path) -> None:
    shutil.move(tmp_path / "images", tmp_path / "away")
    cycle = open_cycle(ws)
    with pytest.raises(PoolExhausted, match=r"42 others gave no score .* too few for a batch of 12; restore"):
        score_pool(ws, cycle)
    assert ws.ledger.samples.aside() == ()
    shutil.move(tmp_path / "away", tmp_path / "images")
    run_cycles(ws, 1)
    assert ws.ledger.steps.facts(cycle, "score_pool")["unusable"] == 0


def test_when_the_storage_goes_away_before_the_choice_nothing_is_set_aside(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        score_pool(ws, open_cycle(ws))
        shutil.move(tmp_path / "images", tmp_path / "away")
        with pytest.raises(BadImage):
            diversity_select(ws, 0)
        assert ws.ledger.samples.aside() == ()
        shutil.move(tmp_path / "away", tmp_path / "images")
        run_cycles(ws, 1)


def test_an_image_that_comes_back_is_in_the_pool_again(ws: Workspace, tmp_path: Path) -> None:
    kept = shutil.copytree(tmp_path / "images", tmp_path / "kept")
    forget(ws, 2)
    run_cycles(ws, 1)
    shutil.copytree(kept, tmp_path / "images", dirs_exist_ok=True)
    add_manifest(ws)
    assert ws.ledger.samples.aside() == ()
    assert ws.ledger.samples.counts()["unlabelled"] == 50 - 8 - 12


# The order of things


def test_a_cycle_done_again_changes_nothing(ws: Workspace) -> None:
    run_cycles(ws, 1)
    before = [stage for number in (0, 1) for stage in ws.ledger.steps.of(number)]
    decision = walk(ws, 1, wait=True)
    assert [stage for number in (0, 1) for stage in ws.ledger.steps.of(number)] == before
    assert decision == decision_of(ws, 1)


def test_a_step_that_is_left_out_is_missed(ws: Workspace) -> None:
    cycle = run_until_pushed(ws)
    with pytest.raises(CycleClosed, match="retrain of cycle 1 cannot begin before wait_for_labels has finished"):
        retrain(ws, cycle)


def test_an_open_cycle_has_no_decision(ws: Workspace) -> None:
    with pytest.raises(CycleClosed, match="cycle 1 has no decision yet"):
        decision_of(ws, open_cycle(ws))


def test_every_step_leaves_its_clock(ws: Workspace) -> None:
    stages = ws.ledger.steps.of(0)
    assert tuple(stage.step for stage in stages) == STEPS
    assert all(stage.finished_at and stage.work_s is not None for stage in stages)


def test_cycle_one_trains_again_with_other_seeds_to_see_the_noise_of_training(ws: Workspace) -> None:
    run_cycles(ws, 2)
    assert [[model.name for model in ws.ledger.models.of(n)] for n in range(3)] == [["v0"], ["v1", "v1.r1"], ["v2"]]
    first, again = ws.ledger.models.of(1)
    assert first.label_set_hash == again.label_set_hash
    assert first.seed != again.seed


def test_every_evaluation_is_on_the_one_frozen_holdout(ws: Workspace) -> None:
    run_cycles(ws, 2)
    frozen = ws.ledger.holdout.frozen()
    assert frozen is not None
    for name in ("v0", "v1", "v1.r1", "v2"):
        evaluation = ws.ledger.models.evaluation(name)
        assert evaluation is not None
        assert evaluation.holdout_hash == frozen[0]
        assert evaluation.low <= evaluation.points <= evaluation.high
        assert np.isfinite([evaluation.low, evaluation.high]).all()
