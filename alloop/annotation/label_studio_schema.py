"""The labelling configuration that alloop gives a Label Studio project, and whether a project has it."""

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from alloop.errors import ConfigError
from alloop.nouns import Task

__all__ = ["CONTROLS", "IMAGE", "OUTCOME", "UNCLEAR", "check_labels", "differences", "labelling_config"]

UNCLEAR = "unclear"
"""The choice of an annotator who cannot tell."""
OUTCOME = "outcome"
"""The control with that choice, where the labels are not choices themselves."""
IMAGE = "image"
"""The name of the picture and of its address in a task's data."""
CONTROLS: Mapping[Task, Mapping[str, str]] = {
    Task.CLASSIFY: {"label": "Choices"},
    Task.DETECT: {"label": "RectangleLabels"},
    Task.SEGMENT: {"polygon": "PolygonLabels", "brush": "BrushLabels"},
}
"""{task: {control name: its type}} of what carries the label set."""
MODIFIERS = ("", "shift+")
"""Hotkeys of the first and the second control: 1 to 9, shift and 1 to 9."""
GOLDEN = 0.618034
"""Turning the colour wheel by this share gives neighbours that differ."""


def check_labels(labels: Sequence[str]) -> None:
    """ConfigError when a label has the name that says "nobody can tell"."""
    if UNCLEAR in labels:
        raise ConfigError(f"the label {UNCLEAR!r} means in Label Studio that nobody can tell; give it another name")


def labelling_config(task: Task, labels: Sequence[str]) -> str:
    """The XML of a project for this task: its controls, with hotkeys, and the choice "unclear" (hotkey 0)."""
    unclear = f'<Choice value="{UNCLEAR}" hotkey="0"/>'
    controls = CONTROLS[task].items()
    if task is Task.CLASSIFY:
        choices = "".join(_tag("Choice", label, number) for number, label in enumerate(labels))
        body = f'<Choices name="label" toName="{IMAGE}" choice="single" required="true">{choices}{unclear}</Choices>'
    else:
        pairs = zip(controls, MODIFIERS, strict=False)
        body = "".join(_control(*control, labels, modifier) for control, modifier in pairs)
        body += f'<Choices name="{OUTCOME}" toName="{IMAGE}" choice="single" showInline="true">{unclear}</Choices>'
    return f'<View><Image name="{IMAGE}" value="${IMAGE}" zoom="true"/>{body}</View>'


def _control(name: str, kind: str, labels: Sequence[str], modifier: str) -> str:
    tags = "".join(_tag("Label", label, number, modifier) for number, label in enumerate(labels))
    return f'<{kind} name="{name}" toName="{IMAGE}">{tags}</{kind}>'


def _tag(kind: str, label: str, number: int, modifier: str = "") -> str:
    hotkey = f' hotkey="{modifier}{number + 1}"' if number < 9 else ""
    colour = f' background="{_colour(number)}"' if kind == "Label" else ""
    return f"<{kind} value={quoteattr(label)}{hotkey}{colour}/>"


def _colour(number: int) -> str:
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.8, 0.9)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def differences(parsed: Mapping[str, Any], task: Task, labels: Sequence[str]) -> list[str]:
    """What sets a project's `parsed_label_config` apart from ours, a phrase each; none when answers mean the same."""
    wanted = _wanted(task, labels)
    missing = [f"control '{name}' ({kind}) is missing" for name, (kind, _) in wanted.items() if name not in parsed]
    extra = [f"control '{name}' ({parsed[name].get('type')}) is one too many" for name in parsed if name not in wanted]
    both = [name for name in wanted if name in parsed]
    return missing + extra + [phrase for name in both for phrase in _control_differences(name, parsed[name], wanted)]


def _wanted(task: Task, labels: Sequence[str]) -> dict[str, tuple[str, set[str]]]:
    if task is Task.CLASSIFY:
        return {"label": ("Choices", {*labels, UNCLEAR})}
    controls = {name: (kind, set(labels)) for name, kind in CONTROLS[task].items()}
    return controls | {OUTCOME: ("Choices", {UNCLEAR})}


def _control_differences(
    name: str, control: Mapping[str, Any], wanted: Mapping[str, tuple[str, set[str]]]
) -> list[str]:
    kind, labels = wanted[name]
    found, sources = set(control.get("labels", ())), [source.get("value") for source in control.get("inputs", ())]
    phrases = []
    if control.get("type") != kind:
        phrases.append(f"control '{name}' is {control.get('type')} instead of {kind}")
    if labels - found:
        phrases.append(f"control '{name}' lacks {_listed(labels - found)}")
    if found - labels:
        phrases.append(f"control '{name}' also has {_listed(found - labels)}")
    if sources != [IMAGE]:
        phrases.append(f"control '{name}' looks at {_listed(map(str, sources)) or 'nothing'} instead of '{IMAGE}'")
    return phrases


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names))
