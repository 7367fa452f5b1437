import xml.etree.ElementTree as ElementTree

import pytest

from alloop.annotation.label_studio_queue import newest_cycle, score
from alloop.annotation.label_studio_schema import differences, labelling_config
from alloop.nouns import Task
from tests.annotation.fake_label_studio import parsed

LABELS = ("cat", "dog")


def changed(old, new, task=Task.DETECT):
    return differences(parsed(labelling_config(task, LABELS).replace(old, new)), task, LABELS)


@pytest.mark.parametrize("task", list(Task))
def test_our_own_configuration_is_no_different(task):
    assert changed("", "", task) == []


@pytest.mark.parametrize(
    ("task", "controls"),
    [
        (Task.CLASSIFY, ["Choices"]),
        (Task.DETECT, ["RectangleLabels", "Choices"]),
        (Task.SEGMENT, ["PolygonLabels", "BrushLabels", "Choices"]),
    ],
)
def test_each_task_has_its_controls_and_a_way_to_say_unclear(task, controls):
    root = ElementTree.fromstring(labelling_config(task, LABELS))
    assert [tag.tag for tag in root if tag.get("toName")] == controls
    assert [tag.get("hotkey") for tag in root.iter("Choice") if tag.get("value") == "unclear"] == ["0"]


@pytest.mark.parametrize("task", list(Task))
def test_no_two_hotkeys_are_the_same(task):
    root = ElementTree.fromstring(labelling_config(task, tuple("abcdefghijkl")))
    hotkeys = [tag.get("hotkey") for tag in root.iter() if tag.get("hotkey")]
    assert len(hotkeys) == len(set(hotkeys))


def test_labels_are_written_as_they_are():
    label = "<\"cat\" & 'dog'>"
    root = ElementTree.fromstring(labelling_config(Task.DETECT, (label,)))
    assert next(root.iter("Label")).get("value") == label


@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        ('value="dog"', 'value="cow"', ["control 'label' lacks 'dog'", "control 'label' also has 'cow'"]),
        ("RectangleLabels", "EllipseLabels", ["control 'label' is EllipseLabels instead of RectangleLabels"]),
        ("$image", "$picture", ["control 'label' looks at 'picture' instead of 'image'"]),
        ('name="outcome"', 'name="quality"', ["control 'outcome' (Choices) is missing"]),
        ("</View>", '<TextArea name="note" toName="image"/></View>', ["control 'note' (TextArea) is one too many"]),
    ],
)
def test_what_is_different_is_spelled_out(old, new, phrases):
    assert set(phrases) <= set(changed(old, new))


@pytest.mark.parametrize(
    ("version", "cycle"), [("v3/b12", 12), ("a/b/b0", 0), ("v3", None), ("", None), (None, None), ("x/bad", None)]
)
def test_a_version_tells_the_newest_batch(version, cycle):
    assert newest_cycle(version) == cycle


def test_scores_rise_with_rank_and_fall_with_the_cycle():
    """Label Studio leaves out predictions whose score is not between 0 and 1, silently."""
    places = [(cycle, rank) for cycle in (2000, 1999, 7, 1, 0) for rank in (0, 1, 2, 999_999)]
    scores = [score(*place) for place in places]
    assert scores == sorted(set(scores))
    assert 0 < min(scores) < max(scores) <= 1
