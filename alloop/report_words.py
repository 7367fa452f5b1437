"""How the report and the page of a cycle put things: short phrases, and pictures within the text."""

from base64 import b64encode

from alloop.confidence import Calibration
from alloop.effort import Effort
from alloop.nouns import Action, Decision
from alloop.summary import CycleRow

__all__ = ["calibration_words", "data_uri", "decision_words", "pull_words", "sentence", "unclear_words"]


def unclear_words(row: CycleRow) -> str:
    """The share of unclear answers, by lane, and whether anything was done about it."""
    if row.unclear_rate is None:
        return "–"
    lanes = [f"{found.unclear} of {found.answered} {lane}" for lane, found in row.lanes.items()]
    predictor = {None: "", True: "; predictor on", False: "; predictor off"}[row.choosing.unclear_predictor]
    return f"{row.unclear_rate:.1%} ({', '.join(lanes)}{predictor})"


def calibration_words(found: Calibration | None) -> str:
    """The calibration error in points, and what the temperature makes of it."""
    if found is None:
        return "–"
    if found.temperature is None or found.scaled_error is None:
        return f"{100 * found.error:.1f} points, no temperature"
    return (
        f"{100 * found.error:.1f} points, {100 * found.scaled_error:.1f} at temperature {found.temperature:.2f} "
        f"(fitted on {found.fitted_on} answers)"
    )


def pull_words(effort: Effort) -> str:
    """How far pre-labels lead people; nothing without answers of both kinds in the control lane."""
    if effort.anchoring is None:
        return "–"
    shown, blind = effort.anchoring.shown, effort.anchoring.blind
    return (
        f"{effort.anchoring.pull_points:+.0f} points (agreed {shown.share:.0%} where {shown.samples} samples showed it, "
        f"{blind.share:.0%} where {blind.samples} hid it)"
    )


def decision_words(decision: Decision | None) -> str:
    """A decision in two words."""
    if decision is None:
        return "open"
    moves = decision.action in (Action.START, Action.SWITCH)
    return f"{decision.action} → {decision.strategy}" if moves else decision.action.value


def sentence(text: str) -> str:
    """A reason as a sentence: a capital first, and one full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def data_uri(image: bytes) -> str:
    """A PNG or JPEG as an address that holds the image itself."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{b64encode(image).decode()}"
