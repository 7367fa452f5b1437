"""How far a probability can be believed: its error on the frozen holdout, and the temperature that mends it.

The temperature of a cycle is fitted on its batch, once people have answered it, with the probabilities of the model that
scored the pool for it and had seen none of these answers. It is then given to the cycle's challenger, the same recipe
with these labels added. So nothing is fitted on what a model was trained on, nor on the holdout that measures the
outcome, and it costs one prediction of the batch with any model. A batch is harder than the pool, yet a temperature
depends on the logits only. Measured 2026-11 (hand signs and digits, frozen head, batches of 50 and 100, no or 5 % wrong
labels, 6 seeds, cycles 1 to 6): an error of 17 to 14 points on hand signs fell to 14 in the first and to 5-10 in later
cycles, five-fold over the labels, which needs five more trainings, 5-10, and the control lane alone 6-16. On digits with
5 % wrong answers it helped for five cycles and did harm in the sixth (8.7 to 9.3 points); the report shows both figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alloop.acquisition.calibration import apply_temperature, expected_calibration_error, fit_temperature
from alloop.committee import scored_by
from alloop.ledger import Ledger
from alloop.nouns import Integers, Lane, ModelVersion, Predictions, Task, TrainingLabel
from alloop.workspace import Workspace

__all__ = ["Calibration", "calibrate", "calibration_of", "classes_of", "temperature_of"]

FEWEST = 50
"""Answers that a temperature needs; with fewer the one before stays. Fitted on 25 after a start of 20 it made 15 points 24
(hand signs, 2026-11)."""


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error of a challenger on the holdout (0 to 1, 15 bins), and what its temperature makes of it.

    `temperature` and `scaled_error` are None when nobody could fit one; `fitted_on` counts the answers it is fitted on.
    """

    error: float
    scaled_error: float | None
    temperature: float | None
    fitted_on: int


def calibrate(ws: Workspace, cycle: int, challenger: Predictions) -> Calibration | None:
    """The calibration of a cycle's challenger from its `challenger` predictions of the frozen holdout; not of detectors."""
    if ws.config.project.task is not Task.CLASSIFY:
        return None
    frozen = ws.ledger.holdout.frozen()
    truth = classes_of(ws, frozen[1] if frozen else ())
    error = expected_calibration_error(challenger.probabilities, truth)
    temperature, fitted_on = _fit(ws, cycle)
    if temperature is None:
        return Calibration(error, None, None, fitted_on)
    scaled = apply_temperature(challenger.probabilities, temperature)
    return Calibration(error, expected_calibration_error(scaled, truth), temperature, fitted_on)


def _fit(ws: Workspace, cycle: int) -> tuple[float | None, int]:
    """The temperature at which the model that scored for this batch explains its answers best, and how many they are.

    With too few answers it is that of the cycle before.
    """
    scorer, lanes = scored_by(ws.ledger, cycle), (Lane.ACTIVE, Lane.CONTROL)  # a relabelled one was trained on before
    asked = {item.sample.id for item in ws.ledger.batches.get(cycle).items if item.lane in lanes}
    answers = [label for label in ws.ledger.labels.training_set(cycle).labels if label.sample.id in asked]
    if scorer is None or len(answers) < FEWEST:
        before = calibration_of(ws.ledger, cycle - 1)
        return (before.temperature, before.fitted_on) if before else (None, 0)
    found = ws.model(scorer).predict([label.sample for label in answers])
    return fit_temperature(found.probabilities, classes_of(ws, answers)), len(answers)


def classes_of(ws: Workspace, labels: Sequence[TrainingLabel]) -> Integers:
    """The class of each of a classifier's labels as its place in the label set, (N,) int64."""
    column = {name: index for index, name in enumerate(ws.config.project.labels)}
    return np.array([column[str(label.content.class_name)] for label in labels], dtype=np.int64)


def calibration_of(ledger: Ledger, cycle: int) -> Calibration | None:
    """What `calibrate` found in a cycle; None before its challenger was measured."""
    found = ledger.steps.facts(cycle, "holdout_eval").get("calibration")
    return Calibration(**found) if found else None


def temperature_of(ledger: Ledger, version: ModelVersion | None) -> float:
    """What a model's probabilities are to be softened (above 1) or sharpened by; 1 when that is not known."""
    found = calibration_of(ledger, version.cycle) if version else None
    return found.temperature or 1.0 if found else 1.0
