"""The loop with boxes: the same seven steps, a detector that learns in no time, and simulated annotators."""

from pathlib import Path

import pytest

from alloop.choosing import replay_batch
from alloop.cycle import open_cycle, walk
from alloop.errors import ConfigError
from alloop.nouns import Action, Lane, Task
from alloop.summary import summarise
from alloop.testing.oracle_masks import truths_of, write_oracle
from alloop.workspace import Workspace
from tests.scene_project import scene_project


def run(ws: Workspace, cycles: int) -> None:
    for _ in range(cycles):
        walk(ws, open_cycle(ws), wait=True)


@pytest.mark.parametrize(("task", "metric"), [(Task.DETECT, "mAP50"), (Task.SEGMENT, "mask mAP50")])
def test_a_detector_goes_round_to_its_decisions(tmp_path: Path, task: Task, metric: str) -> None:
    with scene_project(tmp_path, task=task) as ws:
        run(ws, 3)
        rows = summarise(ws).cycles
        assert [replay_batch(ws, number) for number in range(3)] == [()] * 3
    assert rows[0].decision.action is Action.START
    assert {row.evaluation.metric for row in rows} == {metric}
    assert rows[-1].evaluation.points > 60
    assert rows[1].lift is not None
    assert rows[1].labels == 24


def test_annotators_see_the_boxes_of_the_champion(tmp_path: Path) -> None:
    with scene_project(tmp_path) as ws:
        run(ws, 2)
        items = [item for item in ws.ledger.batches.get(1).items if item.lane is Lane.ACTIVE]
    assert {item.prelabel.model_version for item in items} == {"v0"}
    boxes = [box for item in items for box in item.prelabel.content.boxes]
    assert {box.class_name for box in boxes} <= {"red", "green", "blue"}
    assert all(0 <= box.x0 < box.x1 <= 64 and 0 <= box.y0 < box.y1 <= 48 for box in boxes)


def test_boxes_that_people_drew_kept_and_deleted_are_counted(tmp_path: Path) -> None:
    with scene_project(tmp_path) as ws:
        run(ws, 2)
        first, second = summarise(ws).cycles
        answered = ws.ledger.labels.training_set(1).labels
        asked = {item.sample.id for item in ws.ledger.batches.get(1).items}
    drawn = sum(len(label.content.boxes) for label in answered if label.sample.id in asked)
    assert first.corrections.drawn == first.corrections.instances > 0  # nothing was proposed
    assert second.corrections.instances == drawn
    assert second.corrections.kept + second.corrections.corrected > 0


@pytest.mark.parametrize("strategy", ["disagreement", "disagreement-kmeans"])
@pytest.mark.parametrize("kind", ["models", "views"])
def test_a_committee_of_detectors_says_where_it_disagrees(tmp_path: Path, kind: str, strategy: str) -> None:
    with scene_project(tmp_path, ladder=[strategy], more=f'[committee]\nkind = "{kind}"') as ws:
        run(ws, 3)
        row = summarise(ws).cycles[-1]
        items = ws.ledger.batches.get(2).items
    assert row.choosing.committee == {"models": ("v1", "v0"), "views": ("v1", "v1 mirrored")}[kind]
    assert row.choosing.committee_s > 0
    active = [item for item in items if item.lane is Lane.ACTIVE]
    assert any(item.evidence for item in active)
    assert all(not item.evidence for item in items if item.lane is Lane.CONTROL)


def test_masks_that_do_not_fit_the_boxes_drive_a_whole_cycle(tmp_path: Path) -> None:
    more = '[committee]\nkind = "alloop.testing.oracle_masks:from_config"\ncheckpoint = "oracle.json"\npropose = true'
    with scene_project(tmp_path, task=Task.SEGMENT, ladder=["disagreement-kmeans"], more=more) as ws:
        pool = [sample for shard in ws.ledger.samples.everything(shard=100) for sample in shard]
        truths = ws.ledger.samples.truths([sample.id for sample in pool])
        known = truths_of([type(sample)(sample.id, sample.uri, truth=truths[sample.id]) for sample in pool])
        write_oracle(tmp_path / "oracle.json", known, dropped=0.2)
        run(ws, 2)
        row = summarise(ws).cycles[1]
        evidence = [place for item in ws.ledger.batches.get(1).items for place in item.evidence]
    assert row.decision is not None
    assert row.choosing.committee == ("v0", "alloop.testing.oracle_masks:from_config")
    assert {place.kind for place in evidence} & {"mask does not fit the box", "nobody boxed this"}


def test_no_more_than_a_share_of_what_is_chosen_looks_empty(tmp_path: Path) -> None:
    with scene_project(tmp_path, ladder=["least-confidence"], more="[acquisition]\nempty_share = 0.2") as ws:
        run(ws, 2)
        active = [item for item in ws.ledger.batches.get(1).items if item.lane is Lane.ACTIVE]
    assert sum(item.prelabel.content.boxes == () for item in active) <= 0.2 * len(active)


def test_a_strategy_for_classifiers_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'badge' is for classifiers"), scene_project(tmp_path, ladder=["badge"]):
        pass


def test_half_of_the_control_lane_is_shown_without_the_pre_label(tmp_path: Path) -> None:
    with scene_project(tmp_path, more="", count=160) as ws:
        run(ws, 3)
        items = [item for cycle in (1, 2) for item in ws.ledger.batches.get(cycle).items]
        effort = [row.effort for row in summarise(ws).cycles]
    control = [item for item in items if item.lane is Lane.CONTROL]
    assert {item.blind for item in control} == {True, False}
    assert all((item.shown is None) is item.blind and item.prelabel for item in control)
    assert not any(item.blind for item in items if item.lane is Lane.ACTIVE)
    assert any(found.anchoring is not None for found in effort)
