from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from alloop.acquisition.calibration import apply_temperature, expected_calibration_error, fit_temperature
from alloop.confidence import Calibration, calibrate, calibration_of, temperature_of
from alloop.judging import predict_holdout
from alloop.nouns import Lane
from alloop.report import write_report
from alloop.report_cycle import cycle_markdown
from alloop.summary import Answers, summarise
from alloop.workspace import Workspace
from tests.small_project import LABELS, run_cycles, small_project, write_images


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("confidence")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLOOP_LOOP__BATCH", "24")
        patch.setattr("alloop.confidence.FEWEST", 15)
        with small_project(root / "loop", write_images(root / "data"), ladder=("margin",)) as ws:
            run_cycles(ws, 3)
            patch.undo()
            yield ws


def test_the_first_cycle_has_an_error_and_no_temperature(ws: Workspace) -> None:
    found = calibration_of(ws.ledger, 0)
    assert found is not None
    assert 0 < found.error < 1
    assert (found.scaled_error, found.temperature, found.fitted_on) == (None, None, 0)


def test_a_temperature_is_fitted_with_the_model_before_and_measured_with_the_challenger(ws: Workspace) -> None:
    found, column = calibration_of(ws.ledger, 1), {name: place for place, name in enumerate(LABELS)}
    batch = {item.sample.id for item in ws.ledger.batches.get(1).items}
    answers = [label for label in ws.ledger.labels.training_set(1).labels if label.sample.id in batch]
    _, holdout = ws.ledger.holdout.frozen()
    classes = [np.array([column[label.content.class_name] for label in labels]) for labels in (answers, holdout)]
    before = ws.model(ws.ledger.models.get("v0")).predict([label.sample for label in answers]).probabilities
    now = ws.model(ws.ledger.models.get("v1")).predict([label.sample for label in holdout]).probabilities
    temperature = fit_temperature(before, classes[0])
    assert found == Calibration(
        error=expected_calibration_error(now, classes[1]),
        scaled_error=expected_calibration_error(apply_temperature(now, temperature), classes[1]),
        temperature=temperature,
        fitted_on=len(answers),
    )
    assert temperature != 1
    assert found.fitted_on > 15


def test_a_cycle_that_was_not_measured_has_none(ws: Workspace) -> None:
    assert calibration_of(ws.ledger, 9) is None
    assert temperature_of(ws.ledger, None) == 1.0


def test_annotators_see_the_calibrated_confidence(ws: Workspace) -> None:
    """Cycle 2 was scored by v1, whose temperature was known then."""
    champion = ws.ledger.models.get("v1")
    assert champion is not None
    assert ws.ledger.steps.facts(2, "score_pool")["temperature"] == temperature_of(ws.ledger, champion) != 1
    item = next(item for item in ws.ledger.batches.get(2).items if item.lane is Lane.ACTIVE)
    raw = ws.model(champion).predict([item.sample]).probabilities
    assert item.prelabel is not None
    assert item.prelabel.confidence == pytest.approx(apply_temperature(raw, temperature_of(ws.ledger, champion)).max())


def test_scores_are_what_they_were_before_calibration(ws: Workspace) -> None:
    path, _, _ = ws.ledger.batches.score_files(2)[0]
    table = pq.read_table(ws.config.state / path)
    champion = ws.ledger.models.get("v1")
    assert champion is not None
    sample = ws.ledger.samples.get([table["id"][0].as_py()])[table["id"][0].as_py()]
    second, first = sorted(ws.model(champion).predict([sample]).probabilities[0])[-2:]
    assert table["score"][0].as_py() == pytest.approx(1 - (first - second), abs=1e-5)
    assert table["p1"][0].as_py() != pytest.approx(first, abs=1e-3)


def test_calibration_is_told_everywhere(ws: Workspace, tmp_path: Path) -> None:
    found = calibration_of(ws.ledger, 1)
    assert found is not None
    assert found.scaled_error is not None
    told = f"{100 * found.error:.1f} points, {100 * found.scaled_error:.1f} at temperature {found.temperature:.2f}"
    assert told in write_report(ws, tmp_path / "report.html").read_text(encoding="utf-8")
    assert told in cycle_markdown(ws, 1)
    assert f"{100 * calibration_of(ws.ledger, 0).error:.1f} points, no temperature" in cycle_markdown(ws, 0)
    assert summarise(ws).to_json()["cycles"][1]["calibration"] == vars(found)


def test_a_batch_too_small_gives_no_temperature(tmp_path: Path) -> None:
    with small_project(tmp_path / "loop", write_images(tmp_path / "data")) as ws:
        run_cycles(ws, 2)
        found = calibration_of(ws.ledger, 1)
    assert found is not None
    assert found.temperature is None


def test_an_empty_lane_wastes_nothing() -> None:
    assert Answers(0, 0).share == 0


def test_after_a_batch_too_small_the_temperature_before_stays(ws: Workspace) -> None:
    """The fixture's batches have more than 15 answers and fewer than 50."""
    before = calibration_of(ws.ledger, 1)
    assert before is not None
    found = calibrate(ws, 2, predict_holdout(ws, ws.ledger.models.of(2)[0]))
    assert (found.temperature, found.fitted_on) == (before.temperature, before.fitted_on)
