"""How a loop begins: without any label, with a holdout of the user's own, or with labels that are there already."""

from pathlib import Path

import pytest

from alloop.cycle import diversity_select, open_cycle, push_to_annotation, retrain, score_pool, wait_for_labels, walk
from alloop.errors import ConfigError, CycleClosed, LabelsPending, PoolEmpty, PoolExhausted
from alloop.holdout import holdout_hash
from alloop.nouns import Lane, Split
from alloop.workspace import open_workspace
from tests.loop_project import Row, answer, batch_of, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import run_until_pushed


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return write_digits(tmp_path_factory.mktemp("digits") / "images")


# From nothing


def test_the_first_batch_and_a_holdout_go_to_people_together(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder") as ws:
        cycle = run_until_pushed(ws)
        lanes = [item.lane for item in batch_of(ws, cycle).items]
        assert (cycle, lanes.count(Lane.HOLDOUT), lanes.count(Lane.ACTIVE)) == (0, 20, 8)
        assert len(ws.ledger.batches.refs(0)) == 28
        assert ws.ledger.cycles.get(0).strategy == "clustered-start"
        assert lanes != sorted(lanes), "they lie mixed in one queue"
        assert lanes != sorted(lanes, reverse=True)


def test_nobody_is_led_by_a_prelabel_then(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder") as ws:
        assert {item.prelabel for item in batch_of(ws, run_until_pushed(ws)).items} == {None}


def test_the_holdout_is_frozen_without_what_nobody_could_tell(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder") as ws:
        run_until_pushed(ws)
        held = [item.sample for item in batch_of(ws, 0).items if item.lane is Lane.HOLDOUT]
        knows = truly(rows)
        answer(ws, 0, lambda sample: {"outcome": "unclear"} if sample.id == held[3].id else knows(sample))
        walk(ws, 0, wait=False)
        digest, frozen = ws.ledger.holdout.frozen() or ("", ())
        assert {label.sample.id for label in frozen} == {sample.id for sample in held} - {held[3].id}
        assert digest == holdout_hash(frozen)
        evaluation = ws.ledger.models.evaluation("v0")
        assert evaluation is not None
        assert (evaluation.holdout_hash, evaluation.samples) == (digest, 19)


def test_who_measures_never_trains_and_never_comes_back(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder") as ws:
        run_until_pushed(ws)
        answer(ws, 0, truly(rows))
        walk(ws, 0, wait=False)
        held = {sample.id for sample in ws.ledger.holdout.all()}
        assert held.isdisjoint(label.sample.id for label in ws.ledger.labels.training_set(0).labels)
        assert held.isdisjoint(item.sample.id for item in batch_of(ws, run_until_pushed(ws)).items)


def test_the_holdout_waits_for_every_single_answer(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder") as ws:
        run_until_pushed(ws)
        last = next(item.sample for item in batch_of(ws, 0).items if item.lane is Lane.HOLDOUT)
        knows = truly(rows)
        answer(ws, 0, lambda sample: None if sample.id == last.id else knows(sample))
        with pytest.raises(LabelsPending, match="27 of 28 samples of cycle 0 are answered"):
            wait_for_labels(ws, 0)
        assert ws.ledger.holdout.frozen() is None


def test_frames_of_one_clip_never_straddle_the_holdout(tmp_path: Path, rows: list[Row]) -> None:
    clips = [(uri, "", f"clip-{number // 4}", split) for number, (uri, _, _, split) in enumerate(rows)]
    with project(tmp_path / "p", clips, tool="folder") as ws:
        score_pool(ws, open_cycle(ws))
        held = {sample.group for sample in ws.ledger.holdout.all()}
        pool = {sample.group for shard in ws.ledger.samples.everything(shard=100) for sample in shard}
        assert len(held) == 5
        assert held.isdisjoint(pool)


def test_the_same_seed_draws_the_same_holdout_and_another_one_another(tmp_path: Path, rows: list[Row]) -> None:
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with project(tmp_path / name, without_labels(rows), tool="folder", seed=seed) as ws:
            score_pool(ws, open_cycle(ws))
            drawn.append([sample.id for sample in ws.ledger.holdout.all()])
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


# With what the user has


def test_a_labelled_holdout_is_used_as_it_is_and_frozen_at_once(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", for_holdout(rows[:30]) + without_labels(rows[30:]), tool="folder") as ws:
        score_pool(ws, open_cycle(ws))
        frozen = ws.ledger.holdout.frozen()
        assert frozen is not None
        assert {x.sample.uri: x.content.class_name for x in frozen[1]} == {row[0]: row[1] for row in rows[:30]}


def test_nobody_is_asked_about_it(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", for_holdout(rows[:30]) + without_labels(rows[30:]), tool="folder") as ws:
        items = batch_of(ws, run_until_pushed(ws)).items
        assert [item.lane for item in items] == [Lane.ACTIVE] * 8


def test_people_are_asked_about_its_unlabelled_part_only(tmp_path: Path, rows: list[Row]) -> None:
    held = for_holdout(rows[:10]) + for_holdout(without_labels(rows[10:14]))
    with project(tmp_path / "p", held + without_labels(rows[14:]), tool="folder") as ws:
        items = batch_of(ws, run_until_pushed(ws)).items
        assert {item.sample.uri for item in items if item.lane is Lane.HOLDOUT} == {row[0] for row in rows[10:14]}
        answer(ws, 0, truly(rows))
        wait_for_labels(ws, 0)
        frozen = ws.ledger.holdout.frozen()
        assert frozen is not None
        assert len(frozen[1]) == 14


def test_labels_of_the_manifest_train_from_the_start_and_make_the_first_batch_smaller(
    tmp_path: Path, rows: list[Row]
) -> None:
    known = for_holdout(rows[:30]) + rows[30:35] + without_labels(rows[35:])
    with project(tmp_path / "p", known, tool="folder") as ws:
        run_until_pushed(ws)
        assert len(batch_of(ws, 0).items) == 3
        answer(ws, 0, truly(rows))
        wait_for_labels(ws, 0)
        trained = {x.sample.uri: x.content.class_name for x in ws.ledger.labels.training_set(0).labels}
        assert len(trained) == 8
        assert trained.items() >= {row[0]: row[1] for row in rows[30:35]}.items()


def test_with_more_labels_than_a_first_batch_nobody_is_asked(tmp_path: Path, rows: list[Row]) -> None:
    known = for_holdout(rows[:30]) + rows[30:50] + without_labels(rows[50:])
    with project(tmp_path / "p", known, tool="folder") as ws:
        decision = walk(ws, open_cycle(ws), wait=False)
        assert batch_of(ws, 0).items == ()
        assert (decision.strategy, ws.ledger.models.of(0)[0].labels) == ("margin", 20)
        assert len(batch_of(ws, run_until_pushed(ws)).items) == 12


def test_a_holdout_is_drawn_from_labelled_samples_too(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows[:70] + without_labels(rows[70:]), tool="folder") as ws:
        run_until_pushed(ws)
        answer(ws, 0, truly(rows))
        walk(ws, 0, wait=False)
        frozen = ws.ledger.holdout.frozen()
        assert frozen is not None
        assert len(frozen[1]) == 20
        assert ws.ledger.models.of(0)[0].labels >= 50


def test_the_labels_of_simulated_annotators_stay_hidden(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows) as ws:
        run_until_pushed(ws)
        assert all(item.sample.truth is None for item in batch_of(ws, 0).items)
        assert ws.ledger.samples.counts()["unlabelled"] == 80 - 28


# What cannot begin


def test_a_pool_without_samples(tmp_path: Path) -> None:
    with project(tmp_path / "p", []) as ws, pytest.raises(PoolEmpty, match="project 'p' has no samples; add some"):
        open_cycle(ws)


def test_a_pool_too_small_for_batch_and_holdout_opens_no_cycle(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows[:27]), tool="folder") as ws:
        with pytest.raises(PoolExhausted) as error:
            open_cycle(ws)
        assert str(error.value) == (
            "7 samples remain after a holdout of 20 for a batch of 8; add images with 'alloop pool add', or lower "
            "loop.holdout or loop.start until both fit into 27 images"
        )
        assert ws.ledger.cycles.all() == ()
        assert ws.ledger.samples.counts()[Split.POOL] == 27


def test_a_pool_that_is_just_large_enough(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows[:28]), tool="folder") as ws:
        assert len(batch_of(ws, run_until_pushed(ws)).items) == 28
        assert ws.ledger.samples.counts()["unlabelled"] == 0


def test_where_no_holdout_is_drawn_it_is_not_blamed(tmp_path: Path, rows: list[Row]) -> None:
    few = for_holdout(rows[:30]) + without_labels(rows[30:35])
    told = r"5 samples remain for a batch of 8; .*, or lower loop\.start$"
    with project(tmp_path / "p", few, tool="folder") as ws, pytest.raises(PoolExhausted, match=told):
        open_cycle(ws)


@pytest.mark.parametrize("seed", range(4))
def test_a_first_batch_is_no_larger_than_what_the_holdout_leaves(tmp_path: Path, rows: list[Row], seed: int) -> None:
    known = rows[:25] + without_labels(rows[25:75])
    with project(tmp_path / "p", known, tool="folder", seed=seed, loop="") as made:
        file = made.config.file
    file.write_text(file.read_text().replace("start = 8", "start = 65").replace("holdout = 20", "holdout = 30"))
    with open_workspace(file) as ws:
        run_until_pushed(ws)
        drawn = {sample.id for sample in ws.ledger.holdout.all()}
        left = 50 - sum(item.lane is Lane.HOLDOUT for item in batch_of(ws, 0).items)
        assert len(drawn) == 30
        assert ws.ledger.cycles.get(0).nominal == left < 40, "40 are what 65 need beside 25 labels"
        answer(ws, 0, truly(rows))
        assert walk(ws, 0, wait=False).cycle == 0


def test_labels_that_the_holdout_takes_do_not_make_the_first_batch_smaller(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", rows[:25] + without_labels(rows[25:]), tool="folder") as made:
        file = made.config.file
    file.write_text(file.read_text().replace("start = 8", "start = 30"))
    with open_workspace(file) as ws:
        run_until_pushed(ws)
        kept = 25 - sum(sample.truth is not None for sample in ws.ledger.holdout.all())
        assert kept < 25
        assert kept + ws.ledger.cycles.get(0).nominal == 30


def test_groups_too_large_for_the_holdout_open_no_cycle(tmp_path: Path, rows: list[Row]) -> None:
    clips = [(uri, "", f"clip-{number // 40}", split) for number, (uri, _, _, split) in enumerate(rows)]
    with project(tmp_path / "p", clips, tool="folder") as ws:
        with pytest.raises(PoolExhausted, match="the smallest group has 40 samples"):
            open_cycle(ws)
        assert ws.ledger.cycles.all() == ()


def test_a_model_that_cannot_be_made_is_told_before_people_have_worked(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder", model="tests.small_project:centroid") as ws:
        with pytest.raises(ConfigError, match=r"model 'tests.small_project:centroid' cannot be made"):
            open_cycle(ws)
        assert ws.ledger.cycles.all() == ()


def test_a_step_that_comes_too_early_does_nothing(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "p", without_labels(rows), tool="folder") as ws:
        cycle = open_cycle(ws)
        for step in (diversity_select, push_to_annotation, wait_for_labels, retrain):
            with pytest.raises(CycleClosed, match="cannot begin before"):
                step(ws, cycle)
        assert ws.ledger.steps.of(cycle) == ()
