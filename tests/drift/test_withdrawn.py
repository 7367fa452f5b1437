"""What is scored again after a change of champion, and what of it is withdrawn."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alloop.acquisition.balance import weigh_classes
from alloop.acquisition.boxes import FLOOR, doubt
from alloop.cycle import (
    open_cycle,
    walk,
)
from alloop.errors import ModelCorrupt
from alloop.hands_on import roll_back
from alloop.nouns import Lane, Outcome, Sample, TrainingLabel
from alloop.outlook import look_ahead
from alloop.sections import ModelSection, Project
from alloop.summary import summarise
from alloop.tables import stage_lines
from alloop.workspace import Workspace, open_workspace
from tests.drift.conftest import (
    OPEN,
    UP_TO_PUSH,
    Made,
    chosen,
    copied,
    do,
    drift_of,
    fallen,
    middle,
    queue,
    until_it_waits,
)
from tests.drift_project import GREEN, RED, colour_of, drift_project
from tests.loop_project import Row, batch_of
from tests.scene_project import BlobDetector, scene_project


def test_what_fell_below_the_median_of_the_pool_is_withdrawn(ws: Workspace) -> None:
    gone, asked = fallen(ws), {item.sample.id for item in batch_of(ws, OPEN).items}
    drift = drift_of(ws)
    assert 0 < len(gone) < len(chosen(ws))
    assert set(drift.withdrawn) == gone
    assert queue(ws) == asked - gone


def test_it_is_noted_with_what_it_was_measured_by(ws: Workspace) -> None:
    drift = drift_of(ws)
    assert (drift.cycle, drift.chosen_by, drift.version) == (OPEN, "v1", "v0")
    assert (drift.rescored, drift.reference) == (len(chosen(ws)), ws.ledger.samples.counts()["unlabelled"])
    assert drift.threshold == pytest.approx(middle(ws, RED), abs=1e-6)
    assert drift.finished_at is not None
    assert ws.ledger.drifts.of(OPEN) == (drift,)


def test_the_control_lane_stays_whatever_it_scores(ws: Workspace) -> None:
    control = chosen(ws, lane=Lane.CONTROL)
    bar = 255 * middle(ws, RED)
    assert any(colour_of(sample, RED) < bar for sample in control.values())
    roll_back(ws, "v0")
    assert control.keys() <= queue(ws)


def test_what_was_below_the_median_before_is_not_blamed_for_it(made: Made, tmp_path: Path) -> None:
    """It was chosen for something else, which has not changed."""
    with copied(made, tmp_path / "p", strategy="tests.drift_project:ANYTHING") as ws:
        bar = 255 * middle(ws, GREEN)
        before = {key for key, sample in chosen(ws).items() if colour_of(sample, GREEN) >= bar}
        gone = fallen(ws)
        assert gone - before
        assert set(drift_of(ws).withdrawn) == gone & before


def test_half_of_the_batch_remains_and_the_highest_scores_of_what_fell(made_of: Made, tmp_path: Path) -> None:
    with copied(made_of, tmp_path / "p") as ws:
        scores = {key: colour_of(sample, RED) for key, sample in chosen(ws).items()}
        assert fallen(ws) == scores.keys()
        drift = drift_of(ws)
        assert set(drift.withdrawn) == set(sorted(scores, key=scores.__getitem__)[:6])
        assert ws.ledger.labels.pending(OPEN) == (0, 6)


def test_what_throws_dice_withdraws_nothing_for_that(made: Made, tmp_path: Path) -> None:
    """Both models see the same, and the scores of power-margin are mostly chance."""
    with copied(made, tmp_path / "p", model="one_eyed", strategy="power-margin") as ws:
        drift = drift_of(ws)
        assert (drift.rescored, drift.withdrawn) == (9, ())


@pytest.mark.parametrize("settings", [{"strategy": "random"}, {"loop": "rescore_on_drift = false"}])
def test_without_scores_or_not_wanted_it_is_only_told(made: Made, tmp_path: Path, settings: dict[str, str]) -> None:
    with copied(made, tmp_path / "p", **settings) as ws:
        before = queue(ws)
        drift = drift_of(ws)
        assert (drift.rescored, drift.reference, drift.threshold, drift.withdrawn) == (0, 0, None, ())
        assert queue(ws) == before
        assert any("none of its samples was scored again" in line for line in stage_lines(summarise(ws)))


def test_a_champion_whose_file_is_lost_is_followed_by_one_that_scores(ws: Workspace) -> None:
    """That it was lost may be why somebody went back."""
    gone, champion = fallen(ws), ws.ledger.models.champion()
    assert champion is not None
    ws.registry.path(champion.sha256).unlink()
    with pytest.raises(ModelCorrupt):
        ws.model(champion)
    assert set(drift_of(ws).withdrawn) == gone


def test_what_cannot_be_read_any_more_stays(ws: Workspace, rows: list[Row], tmp_path: Path) -> None:
    lost = sorted(fallen(ws))[0]
    path = Path(chosen(ws)[lost].uri)
    kept = path.rename(tmp_path / "away.png")
    try:
        drift = drift_of(ws)
    finally:
        kept.rename(path)
    assert drift.rescored == 8
    assert lost in queue(ws)
    assert lost not in drift.withdrawn


def test_when_the_batch_was_the_last_of_the_pool_it_stays(tmp_path: Path, rows: list[Row]) -> None:
    """8 and 12 were labelled before, so 12 are left."""
    until_it_waits(tmp_path / "p", [*rows[:16], *rows[30:46], *rows[100:]])
    with open_workspace(tmp_path / "p") as ws:
        assert ws.ledger.samples.counts()["unlabelled"] == 0
        assert drift_of(ws).rescored == 0
        assert len(queue(ws)) == 12


# Annotators on a virtual clock, and detectors

SLOW = "[annotation.simulated]\npickup_hours = 1\nseconds_per_sample = 3600\nannotators = 3"


def test_amid_a_batch_that_is_half_answered_on_a_virtual_clock(tmp_path: Path, rows: list[Row]) -> None:
    """Three people take about an hour for each sample, and after two hours somebody rolls back."""
    with drift_project(tmp_path / "p", rows, tool="simulated", more=SLOW) as ws:
        for _ in range(OPEN):
            walk(ws, open_cycle(ws), wait=True)
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        ws.clock.sleep(2.2 * 3600)
        gone = fallen(ws)
        drift = drift_of(ws)
        answered, asked = ws.ledger.labels.pending(OPEN)
        assert 0 < answered < asked == 12 - len(drift.withdrawn)
        assert 0 < len(drift.withdrawn) < len(gone)  # the others were answered in time
        assert look_ahead(ws, OPEN, ws.clock.now()).asked == asked
        walk(ws, OPEN, wait=True)
        outcomes = ws.ledger.batches.outcomes(OPEN)
        assert {key for key, outcome in outcomes.items() if outcome is Outcome.EXPIRED} == set(drift.withdrawn)
        assert walk(ws, open_cycle(ws), wait=True).cycle == OPEN + 1


class Forgetting(BlobDetector):
    """After its first batch it knows nothing of red."""

    def fit(self, labels: Sequence[TrainingLabel], **more: Any) -> Path:
        path = super().fit(labels, **more)
        if len(labels) > 12:
            facts = json.loads(path.read_text())
            facts["colours"].pop("red")
            path.write_text(json.dumps(facts))
        return path


def forgetting(project: Project, _section: ModelSection) -> Forgetting:
    return Forgetting(project.task, project.labels)


def seen_by(ws: Workspace, name: str, samples: Sequence[Sample], *, beside: Sequence[Sample]) -> tuple:
    """(M,) scores of `samples`, and the median of those `beside`, as the strategy of cycle 2 sees them, by hand."""
    model = ws.model(ws.ledger.models.get(name))
    found = [model.predict(some) for some in (samples, beside)]
    scores = [doubt(seen.detections) for seen in found]
    tops = [seen.probabilities.argmax(axis=1) for seen in found]
    if ws.ledger.cycles.get(OPEN).strategy == "auto":
        shows = found[1].probabilities.max(axis=1) >= FLOOR
        counts = np.bincount(tops[1][shows], minlength=3)
        scores = [weigh_classes(x, top, counts / counts.sum()) for x, top in zip(scores, tops, strict=True)]
    return scores[0], np.median(scores[1])


@pytest.mark.parametrize("strategy", ["uncertainty-kmeans", "auto"])
def test_a_detectors_batch_is_scored_as_it_was_chosen(tmp_path: Path, strategy: str) -> None:
    factory = "tests.drift.test_withdrawn:forgetting"
    with scene_project(tmp_path / "p", ladder=[strategy], count=120) as made:
        text = made.config.file.read_text().replace("tests.scene_project:make_detector", factory)
    (tmp_path / "p" / "alloop.toml").write_text(text)
    with open_workspace(tmp_path / "p") as ws:
        for _ in range(OPEN):
            walk(ws, open_cycle(ws), wait=True)
        ws.ledger.interventions.roll_back("v1", reason="made champion for the test")
        ws.ledger.cycles.go_on()  # it is much worse
        do(ws, open_cycle(ws), *UP_TO_PUSH)
        samples = list(chosen(ws).values())
        pool = [sample for shard in ws.ledger.samples.unlabelled(shard=50) for sample in shard]
        (before, was), (now, bar) = (seen_by(ws, name, samples, beside=pool) for name in ("v1", "v0"))
        gone = {x.id for x, old, new in zip(samples, before, now, strict=True) if old >= was and new < bar}
        drift = drift_of(ws)
        assert drift.threshold == pytest.approx(bar)
        assert set(drift.withdrawn) == gone
        assert 0 < len(gone) < len(samples)
        walk(ws, OPEN, wait=True)
        assert ws.ledger.batches.tally(OPEN) == {Outcome.EXPIRED: len(gone), Outcome.LABELLED: 12 - len(gone)}
