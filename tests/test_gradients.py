import time
from pathlib import Path

import numpy as np
import pytest

from alloop.choosing import replay_batch
from alloop.cycle import diversity_select, open_cycle, score_pool
from alloop.errors import ConfigError
from alloop.gradients import PROBED, gradients_within, require_gradients
from alloop.nouns import Sample, no_progress
from alloop.summary import summarise
from alloop.tables import cost_lines
from tests.small_project import NearestCentroid, run_cycles, small_project, write_images

SAMPLES = [Sample(f"{number}", f"{number}.png") for number in range(600)]


class Slow:
    """A GradientModel that takes its time and keeps count."""

    def __init__(self, seconds_each: float) -> None:
        self.seconds_each, self.asked = seconds_each, 0

    def gradients(self, samples: list[Sample]) -> np.ndarray:
        self.asked += len(samples)
        time.sleep(self.seconds_each * len(samples))
        return np.array([float(sample.id) for sample in samples], dtype=np.float32)


def test_gradients_come_in_order_with_their_cost_and_progress() -> None:
    told: list[tuple[str, int, int]] = []
    model = Slow(1e-6)
    lengths, seconds = gradients_within(model, SAMPLES, budget_s=60, progress=lambda *news: told.append(news))
    assert lengths.tolist() == list(range(600))
    assert 600e-6 < seconds < 60
    assert [done for _, done, _ in told] == [256, 512, 600]
    assert model.asked == 600 + PROBED + 1


def test_above_the_budget_only_a_few_are_tried_and_the_sentence_names_both_figures() -> None:
    model = Slow(0.001)
    with pytest.raises(ConfigError) as error:
        gradients_within(model, SAMPLES, budget_s=0.25, progress=no_progress)
    assert model.asked == PROBED + 1
    assert str(error.value).startswith("the gradients of 600 samples would take about 1 s, more than the 0.25 s of ")
    assert "acquisition.gradient_budget_s; raise that, or lower acquisition.shortlist_ratio" in str(error.value)


def test_nothing_costs_nothing() -> None:
    lengths, _ = gradients_within(Slow(1.0), [], budget_s=1e-9, progress=no_progress)
    assert lengths.shape == (0,)


def test_a_model_without_gradients_is_refused_before_a_cycle_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NearestCentroid gives no gradients"):
        require_gradients(NearestCentroid(("a", "b")))
    with small_project(tmp_path / "p", write_images(tmp_path / "data"), ladder=("expected-gradient",)) as ws:
        run_cycles(ws, 1)
        with pytest.raises(ConfigError, match=r"take that strategy out of loop\.ladder"):
            open_cycle(ws)
        assert len(ws.ledger.cycles.all()) == 1


def test_the_loop_records_what_gradients_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_MODEL__KIND", "frozen")
    with small_project(tmp_path / "p", write_images(tmp_path / "data"), ladder=("expected-gradient",)) as ws:
        run_cycles(ws, 2)
        summary = summarise(ws)
        assert replay_batch(ws, 1) == ()
    seconds = summary.cycles[1].choosing.gradient_s
    assert seconds is not None
    assert 0 < seconds < 60
    assert summary.cycles[0].choosing.gradient_s is None
    assert cost_lines(summary) == [f"cycle 1: gradients took {seconds:.1f} s"]
    assert summary.to_json()["cycles"][1]["gradient_s"] == seconds


def test_the_loop_refuses_gradients_above_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_MODEL__KIND", "frozen")
    monkeypatch.setenv("ALLOOP_ACQUISITION__GRADIENT_BUDGET_S", "1e-9")
    with small_project(tmp_path / "p", write_images(tmp_path / "data"), ladder=("expected-gradient",)) as ws:
        run_cycles(ws, 1)
        cycle = open_cycle(ws)
        score_pool(ws, cycle)
        with pytest.raises(ConfigError, match="more than the 1e-09 s"):
            diversity_select(ws, cycle)
        assert ws.ledger.batches.get(cycle).items == ()
