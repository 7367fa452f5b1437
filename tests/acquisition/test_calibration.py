import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.acquisition.calibration import apply_temperature, expected_calibration_error, fit_temperature


def test_calibration_error_by_hand() -> None:
    """Two at 0.9, of which one is right: 0.4 off. Two at 0.6, both right: 0.4 off."""
    rows = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]], dtype=np.float32)
    assert expected_calibration_error(rows, np.array([0, 1, 0, 0])) == pytest.approx(0.4, abs=1e-6)


def test_nothing_to_measure_is_nan_and_nothing_to_fit_is_one() -> None:
    nothing = np.empty((0, 2), dtype=np.float32)
    assert np.isnan(expected_calibration_error(nothing, np.empty(0, dtype=np.int64)))
    assert fit_temperature(nothing, np.empty(0, dtype=np.int64)) == 1.0


def test_a_model_that_is_too_sure_is_cooled_down() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.ones(4), size=4000).astype(np.float32)
    classes = np.array([rng.choice(4, p=row / row.sum()) for row in honest.astype(np.float64)])
    boastful = apply_temperature(honest, 1 / 3)
    temperature = fit_temperature(boastful, classes)
    assert temperature == pytest.approx(3, rel=0.1)
    mended = apply_temperature(boastful, temperature)
    assert expected_calibration_error(mended, classes) < 0.05 < expected_calibration_error(boastful, classes)


def test_a_model_that_is_always_right_gets_a_finite_temperature() -> None:
    assert 0 < fit_temperature(np.eye(3, dtype=np.float32), np.arange(3)) < 21


@given(seed=st.integers(0, 2**32 - 1), temperature=st.floats(0.1, 10))
def test_scaled_rows_sum_to_one_and_keep_their_order(seed: int, temperature: float) -> None:
    rows = np.random.default_rng(seed).dirichlet(np.ones(4), size=9).astype(np.float32)
    scaled = apply_temperature(rows, temperature)
    assert scaled.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (scaled.argmax(axis=1) == rows.argmax(axis=1)).all()
