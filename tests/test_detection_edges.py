"""The loop with boxes where things go wrong: images that are gone, and models of the user's own that misbehave."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alloop.acquisition.boxes import BOX_SCORES
from alloop.cycle import open_cycle, score_pool, walk
from alloop.errors import ConfigError
from alloop.models.base import Model
from alloop.nouns import Box, Content, Detections, Lane, Polygon, Predictions, Sample, Task
from alloop.sections import ModelSection, Project
from alloop.summary import summarise
from alloop.testing.oracle_masks import truths_of, write_oracle
from alloop.workspace import Workspace, open_workspace
from tests.scene_project import HEIGHT, WIDTH, BlobDetector, scene_project, write_scenes

FAR = 1000.0


class Spoiled(BlobDetector):
    """A blob detector whose surest detection in every image is spoiled in the way that is its name."""

    def __init__(self, task: Task, labels: Sequence[str], how: str) -> None:
        super().__init__(task, labels)
        self._spoil = SPOILED[how]

    def _see(self, samples: Sequence[Sample], embeddings: bool, floor: float, *, mirrored: bool) -> Predictions:
        seen = super()._see(samples, embeddings, floor, mirrored=mirrored)
        spoiled = tuple(self._spoil(one, sample) for one, sample in zip(seen.detections, samples, strict=True))
        tops = [one.class_scores.max(axis=0, initial=0) for one in spoiled]
        return replace(seen, detections=spoiled, probabilities=np.array(tops, np.float32))


def corners(*edges: float) -> Callable[[Detections, Sample], Detections]:
    return lambda seen, _: (
        replace(seen, boxes=np.concatenate([[edges], seen.boxes[1:]]).astype(np.float32)) if len(seen) else seen
    )


def outline(*points: tuple[float, float]) -> Callable[[Detections, Sample], Detections]:
    return lambda seen, _: replace(seen, polygons=(points, *seen.polygons[1:])) if len(seen) else seen


def seldom(seen: Detections, sample: Sample) -> Detections:
    """Nothing at all in most images."""
    if int(sample.id[0], 16) == 0:
        return seen
    return Detections(np.empty((0, 4), np.float32), np.empty((0, 3), np.float32))


SPOILED: dict[str, Callable[[Detections, Sample], Detections]] = {
    "no number": corners(np.nan, 1, 20, 20),
    "endless": corners(-np.inf, -np.inf, np.inf, np.inf),
    "outside": corners(-20, -20, -5, -5),
    "too large": corners(-FAR, -FAR, FAR, FAR),
    "a point": corners(5, 5, 5, 5),
    "flipped": corners(20, 20, 5, 5),
    "a line": outline((1, 1), (9, 9)),
    "an outline outside": outline((-9, -9), (-9, -5), (-5, -5)),
    "an outline of no numbers": outline((np.nan, 1), (9, 9), (1, 9)),
    "without best": lambda seen, _: replace(seen, best=0.0),
    "seldom": seldom,
}


def make_spoiled(project: Project, section: ModelSection) -> Model:
    return Spoiled(project.task, project.labels, section.architecture)


class Blind(BlobDetector):
    """It sees blobs, and no class in them."""

    def _scores(self, colour: np.ndarray, *, jitter: bool) -> list[float]:
        return [0.0] * len(self.labels)


def make_blind(project: Project, section: ModelSection) -> Model:
    return Blind(project.task, project.labels)


class OneView:
    """A detector that cannot look at mirrored images."""

    def __init__(self, inner: BlobDetector) -> None:
        self.task, self.labels = inner.task, inner.labels
        self.predict, self.fit, self.load = inner.predict, inner.fit, inner.load


def make_one_view(project: Project, section: ModelSection) -> OneView:
    del section
    return OneView(BlobDetector(project.task, project.labels))


@contextmanager
def project_with(folder: Path, factory: str, **options: object) -> Iterator[Workspace]:
    """A scene project with another model."""
    with scene_project(folder, **options):
        pass
    config = folder / "alloop.toml"
    kind = f"{__name__}:{factory}"
    config.write_text(config.read_text().replace("tests.scene_project:make_detector", kind))
    with open_workspace(config) as ws:
        yield ws


@contextmanager
def truths_changed(folder: Path, change: Callable[[int, Content], Content], **options: object) -> Iterator[Workspace]:
    """A scene project whose hidden truths are others; the first 16 images are its holdout."""
    files = write_scenes(folder / "images")
    (folder / "alloop.toml").touch()  # so that nobody adds the scenes as they are
    samples = [replace(file.sample, truth=change(n, file.sample.truth)) for n, file in enumerate(files)]
    with scene_project(folder, **options) as ws:
        changed = [replace(file, sample=sample) for file, sample in zip(files, samples, strict=True)]
        ws.ledger.samples.add(changed, truths_are_labels=False)
        yield ws


def run(ws: Workspace, cycles: int) -> None:
    for _ in range(cycles):
        walk(ws, open_cycle(ws), wait=True)


def unlabelled(ws: Workspace) -> list[Sample]:
    return [sample for shard in ws.ledger.samples.unlabelled(shard=1000) for sample in shard]


def lose(samples: Sequence[Sample]) -> None:
    for sample in samples:
        Path(sample.uri).unlink()


@pytest.mark.parametrize("strategy", ["least-confidence", "random", "auto"])
def test_images_that_are_gone_since_they_were_scored_are_set_aside_and_others_chosen(
    tmp_path: Path, strategy: str
) -> None:
    with scene_project(tmp_path, ladder=[strategy]) as ws:
        run(ws, 1)
        cycle = open_cycle(ws)
        score_pool(ws, cycle)
        lose(unlabelled(ws)[::2])
        walk(ws, cycle, wait=True)
        batch = ws.ledger.batches.get(cycle).items
        assert len(batch) == 12
        assert all(Path(item.sample.uri).exists() for item in batch)
        assert summarise(ws).set_aside


def test_images_that_are_gone_before_masks_are_asked_for_are_set_aside(tmp_path: Path) -> None:
    more = '[committee]\nkind = "alloop.testing.oracle_masks:from_config"\ncheckpoint = "oracle.json"'
    with scene_project(tmp_path, task=Task.SEGMENT, ladder=["disagreement"], more=more) as ws:
        pool = [sample for shard in ws.ledger.samples.everything(shard=100) for sample in shard]
        truths = ws.ledger.samples.truths([sample.id for sample in pool])
        write_oracle(tmp_path / "oracle.json", truths_of([replace(one, truth=truths[one.id]) for one in pool]))
        run(ws, 1)
        cycle = open_cycle(ws)
        score_pool(ws, cycle)
        lose(unlabelled(ws)[::3])
        walk(ws, cycle, wait=True)
        assert all(Path(item.sample.uri).exists() for item in ws.ledger.batches.get(cycle).items)


def test_images_that_people_called_unclear_may_be_deleted(tmp_path: Path) -> None:
    odd = Content(boxes=(Box("unclear", 1, 1, 20, 20),))
    ladder = ["auto", "uncertainty-coreset"]  # both look at what was called unclear
    with truths_changed(tmp_path, lambda n, truth: odd if n > 16 and n % 3 == 0 else truth, ladder=ladder) as ws:
        run(ws, 1)
        unclear = list(ws.ledger.samples.get(ws.ledger.labels.unclear(before=1)).values())
        assert unclear
        lose(unclear[:-1])
        run(ws, 1)
        lose(unclear[-1:])
        run(ws, 1)
        assert [row.batch for row in summarise(ws).cycles] == [12, 12, 12]


@pytest.mark.parametrize("how", ["no number", "endless", "outside", "too large", "a point", "flipped", "without best"])
def test_pre_labels_are_boxes_that_tools_accept_whatever_the_model_says(tmp_path: Path, how: str) -> None:
    with project_with(tmp_path, "make_spoiled", model=f'architecture = "{how}"', ladder=["random"]) as ws:
        run(ws, 2)
        shown = [item.prelabel for item in ws.ledger.batches.get(1).items]
    boxes = [box for prelabel in shown for box in prelabel.content.boxes]
    assert boxes
    assert all(0 <= box.x0 < box.x1 <= WIDTH and 0 <= box.y0 < box.y1 <= HEIGHT for box in boxes)
    assert all(0 <= prelabel.confidence <= 1 for prelabel in shown)


@pytest.mark.parametrize("how", ["a line", "an outline outside", "an outline of no numbers"])
def test_an_outline_that_is_none_leaves_its_box(tmp_path: Path, how: str) -> None:
    options = {"task": Task.SEGMENT, "model": f'architecture = "{how}"', "ladder": ["random"]}
    with project_with(tmp_path, "make_spoiled", **options) as ws:
        run(ws, 2)
        shown = [item.prelabel for item in ws.ledger.batches.get(1).items]
    outlines: list[Polygon] = [box.polygon for prelabel in shown for box in prelabel.content.boxes]
    assert {len(polygon) for polygon in outlines} == {0, 4}


@pytest.mark.parametrize("how", ["no number", "endless"])
def test_boxes_that_lie_nowhere_are_no_evidence(tmp_path: Path, how: str) -> None:
    more = '[committee]\nkind = "views"'
    options = {"model": f'architecture = "{how}"', "ladder": ["disagreement"], "more": more}
    with project_with(tmp_path, "make_spoiled", **options) as ws:
        run(ws, 2)
        evidence = [place for item in ws.ledger.batches.get(1).items for place in item.evidence]
        assert summarise(ws).cycles[1].choosing.committee == ("v0", "v0 mirrored")
    assert json.dumps([vars(place) for place in evidence], allow_nan=False)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("score", sorted(BOX_SCORES))
def test_an_image_with_a_score_that_is_no_number_gets_none(score: str, wrong: float) -> None:
    boxes = np.array([[0, 0, 9, 9], [20, 20, 30, 30]], np.float32)
    doubt = np.array([0.1, 0.1], np.float32)
    bad = Detections(boxes, np.array([[0.9, 0.1], [wrong, 0.1]], np.float32), mask_doubt=doubt)
    good = Detections(boxes, np.array([[0.9, 0.1], [0.2, 0.1]], np.float32), mask_doubt=doubt)
    assert np.isnan(BOX_SCORES[score]([bad, good])).tolist() == [True, False]


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_the_few_images_with_something_in_them_all_come_before_empty_ones(tmp_path: Path, share: float) -> None:
    options = {"model": 'architecture = "seldom"', "more": f"[acquisition]\nempty_share = {share}", "count": 200}
    with project_with(tmp_path, "make_spoiled", ladder=["least-confidence"], **options) as ws:
        run(ws, 1)
        cycle = open_cycle(ws)
        score_pool(ws, cycle)
        champion = ws.model(ws.ledger.models.champion())
        pool = unlabelled(ws)
        seen = {one.id for one, found in zip(pool, champion.predict(pool).detections, strict=True) if len(found)}
        walk(ws, cycle, wait=True)
        items = ws.ledger.batches.get(cycle).items
    random = {item.sample.id for item in items if item.lane is Lane.CONTROL}
    active = {item.sample.id for item in items if item.lane is Lane.ACTIVE}
    assert 0 < len(seen) < len(active)
    assert seen - random <= active


@pytest.mark.parametrize(
    ("factory", "more", "says"),
    [
        ("make_one_view", '[committee]\nkind = "views"', "a OneView cannot look at mirrored images"),
        ("make_one_view", '[committee]\nkind = "sam2"', "checkpoint is not set"),
        (
            "make_one_view",
            '[acquisition]\nbox_score = "mask-doubt"',
            "'mask-doubt' needs masks, and the task is detect",
        ),
    ],
)
def test_what_a_later_rung_of_the_ladder_lacks_is_told_before_people_work(
    tmp_path: Path, factory: str, more: str, says: str
) -> None:
    with project_with(tmp_path, factory, ladder=["auto", "disagreement"], more=more) as ws:
        with pytest.raises(ConfigError, match=says):
            open_cycle(ws)
        assert ws.ledger.cycles.all() == ()


def test_a_detector_of_one_view_goes_round_with_a_committee_of_models(tmp_path: Path) -> None:
    with project_with(tmp_path, "make_one_view", ladder=["disagreement"]) as ws:
        run(ws, 3)
        assert summarise(ws).cycles[2].choosing.committee == ("v1", "v0")


def test_a_holdout_without_any_object_measures_nothing_and_says_so(tmp_path: Path) -> None:
    with truths_changed(tmp_path, lambda n, truth: Content() if n < 16 else truth, ladder=["auto", "random"]) as ws:
        run(ws, 2)
        row = summarise(ws).cycles[1]
    assert (row.evaluation.points, row.evaluation.low, row.evaluation.high) == (0, 0, 100)
    assert row.lift is None


def test_a_pool_without_any_object_goes_round(tmp_path: Path) -> None:
    more = '[committee]\nkind = "views"'
    with truths_changed(tmp_path, lambda *_: Content(), ladder=["disagreement-kmeans"], more=more) as ws:
        run(ws, 2)
        row = summarise(ws).cycles[1]
    assert (row.batch, row.labels, row.corrections.instances) == (12, 24, 0)
    assert row.choosing.committee == ("v0", "v0 mirrored")


def test_two_models_that_find_nothing_are_no_verdict_on_a_strategy(tmp_path: Path) -> None:
    with project_with(tmp_path, "make_blind", ladder=["random", "least-confidence"]) as ws:
        run(ws, 3)
        decisions = ws.ledger.decisions.all()
    assert [decision.strategy for decision in decisions] == ["random"] * 3
    assert decisions[-1].lift is None
    assert decisions[-1].reason == "there is no lift to judge yet, so 'random' stays"
