"""Probabilities that mean what they say: one temperature, fitted where the model was not trained.

Source: Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv 1706.04599.
"""

import numpy as np

from alloop.nouns import Floats, Integers

__all__ = ["apply_temperature", "expected_calibration_error", "fit_temperature"]

COLDEST, HOTTEST = 0.05, 20.0
SMALLEST = 1e-12  # stands in for a probability of 0, whose logarithm nobody can scale


def fit_temperature(probabilities: Floats, classes: Integers) -> float:
    """The temperature in [0.05, 20] at which the true classes are likeliest; above 1 the model was too sure.

    Args:
        probabilities: (N, C) float32, for samples that the model was not trained on.
        classes: (N,) int64, what people answered. None at all gives 1.0.
    """
    if not len(classes):
        return 1.0
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = _logarithms(probabilities, float(np.exp(log_temperature)))
        return -float(scaled[np.arange(len(classes)), classes].mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def apply_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities (N, C) float32 with their logits divided by `temperature`; the order within a row stays."""
    scaled = np.maximum(probabilities, SMALLEST, dtype=np.float32)
    scaled /= scaled.max(axis=1, keepdims=True, initial=SMALLEST)
    np.power(scaled, np.float32(1 / temperature), out=scaled)  # not by logarithms: a pool is scaled every cycle
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def expected_calibration_error(probabilities: Floats, classes: Integers, *, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal-width bins of confidence, in [0, 1]; NaN for no rows.

    Args:
        probabilities: (N, C) float32.
        classes: (N,) int64, what people answered.
        bins: how many; 15 as in the source.
    """
    if not len(classes):
        return float("nan")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == classes
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(places, right - confidence.astype(np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(classes))


def _logarithms(probabilities: Floats, temperature: float) -> np.typing.NDArray[np.float64]:
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits
