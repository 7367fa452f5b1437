"""What is set out and brought in again says the same."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.formats.boxes import around
from alloop.formats.kinds import Target
from alloop.formats.placing import Item
from alloop.formats.setting_out import Form, set_out
from alloop.images import content_id
from alloop.nouns import Box, Content, Sample, Task
from tests.formats.made import bring_in, picture

LABELS = ("cat", "a dog: yes", "Möwe", "7", "no")
SIZES = ((100, 80), (33, 7))
TOLERANCE_PX = 1e-3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("pool")
    names = ("a b", "\xe9", "x.y", "x.y")
    paths = [folder / str(number) / f"{name}.png" for number, name in enumerate(names)]
    return tuple(Path(picture(path, size=SIZES[number % 2])) for number, path in enumerate(paths))


def numbers(size: int) -> st.SearchStrategy[float]:
    return st.floats(0, size, allow_subnormal=False) | st.integers(0, size).map(float)


@st.composite
def outlines(draw: st.DrawFn, size: tuple[int, int]) -> Box:
    """A box with an outline that has an area."""
    points = st.lists(st.tuples(numbers(size[0]), numbers(size[1])), min_size=3, max_size=6)
    return around(tuple(draw(points.filter(spans))), draw(st.sampled_from(LABELS)))


def spans(points: list[tuple[float, float]]) -> bool:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return max(xs) - min(xs) > 0.01 and max(ys) - min(ys) > 0.01


def contents(size: tuple[int, int], task: Task) -> st.SearchStrategy[Content]:
    shapes = outlines(size)
    if task is Task.DETECT:
        shapes = shapes.map(lambda box: Box(box.class_name, box.x0, box.y0, box.x1, box.y1))
    return st.lists(shapes, max_size=4).map(lambda boxes: Content(boxes=tuple(boxes)))


def item(path: Path, content: Content, size: tuple[int, int]) -> Item:
    sample = Sample(content_id(path.read_bytes()), str(path))
    return Item(sample, content, *size, path.stat().st_size, path.stat().st_mtime_ns)


def brought_back(out: Path, target: Target, task: Task) -> Mapping[str, tuple[str, Content | None]]:
    """{sample id: (split, label)} of what was set out."""
    found = {}
    for split in ("train", "holdout"):
        labels = out / "annotations" / f"instances_{split}.json" if target is Target.COCO else out
        images = out / "images" / split
        holdout = split if split == "holdout" else None
        store, added = bring_in(images, labels, task=task, labels=LABELS, holdout=holdout)
        assert not added.aside
        found |= {one.sample.id: (one.sample.split.value, one.sample.truth) for one in store.found.values()}
    return found


def distance(one: Content, other: Content) -> float:
    """How far the corners and outlines of two labels are apart in pixels."""
    assert [(box.class_name, len(box.polygon)) for box in one.boxes] == [
        (box.class_name, len(box.polygon)) for box in other.boxes
    ]
    pairs = zip(map(values, one.boxes), map(values, other.boxes), strict=True)
    return max((abs(a - b) for some, others in pairs for a, b in zip(some, others, strict=True)), default=0)


def values(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1, *(value for point in box.polygon for value in point)]


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
@pytest.mark.parametrize("target", [Target.COCO, Target.YOLO])
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_set_out_comes_back(
    pictures: tuple[Path, ...], target: Target, task: Task, data: st.DataObject
) -> None:
    items = []
    for number, path in enumerate(pictures):
        size = SIZES[number % 2]
        items.append(item(path, data.draw(contents(size, task)), size))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        assert set_out({"train": items[:2], "holdout": items[2:]}, out, Form(task, LABELS, target)) == ()
        found = brought_back(out, target, task)
    assert [found[one.sample.id][0] for one in items] == ["pool", "pool", "holdout", "holdout"]
    for one in items:
        truth = found[one.sample.id][1]
        assert truth is not None
        assert distance(one.content, truth) < TOLERANCE_PX
