from pathlib import Path

import pytest

from alloop.gallery import TAGGED, UNITS, Outline, draw_over, show_batch
from alloop.nouns import Box, Content, Evidence, Lane, Task
from tests.scene_project import scene_project
from tests.small_project import run_cycles

CAT = Box("cat", 10, 20, 30, 50)
DOG = Box("dog", 0, 0, 8, 4, polygon=((0, 0), (8, 0), (4, 4)))
CAT_PATH = "M48 96L144 96L144 240L48 240Z"
DOG_PATH = "M0 0L38 0L19 19Z"
SIZE = (100, 50)
"""An image in which a pixel is 4.8 units."""


def over(proposed=None, answered=None, doubted=()):
    contents = [None if boxes is None else Content(boxes=boxes) for boxes in (proposed, answered)]
    return draw_over(SIZE, proposed=contents[0], answered=contents[1], doubted=doubted)


def test_a_drawing_has_the_shape_of_its_image():
    assert (over().width, over().height) == (UNITS, UNITS // 2)


def test_boxes_are_drawn_in_units():
    assert over(answered=(CAT,)).outlines == (Outline("answered", CAT_PATH, 1),)


def test_an_outline_is_drawn_instead_of_its_box():
    assert over(answered=(DOG,)).outlines == (Outline("answered", DOG_PATH, 1),)


def test_points_that_fall_together_are_drawn_once():
    fine = Box("dog", 0, 0, 8, 4, polygon=((0, 0), (0.05, 0), (8, 0), (8.02, 0.01), (4, 4)))
    assert over(answered=(fine,)).outlines[0].path == DOG_PATH


def test_all_boxes_of_one_kind_are_one_line():
    assert over(proposed=(CAT, DOG)).outlines == (Outline("proposed", CAT_PATH + DOG_PATH, 2),)


def test_the_pre_label_is_drawn_over_the_answer_and_both_over_doubts():
    doubt = Evidence("class", 10, 20, 30, 50, 0.5)
    drawn = over(proposed=(CAT,), answered=(CAT,), doubted=(doubt,))
    assert [line.kind for line in drawn.outlines] == ["doubted", "answered", "proposed"]
    assert {line.path for line in drawn.outlines} == {CAT_PATH}
    assert drawn.told == "1 of the pre-label, 1 of people, 1 where the committee disagrees most"


def test_class_names_are_those_of_the_answer():
    drawn = over(proposed=(CAT,), answered=(DOG,))
    assert [(tag.name, tag.kind) for tag in drawn.tags] == [("dog", "answered")]


def test_class_names_are_those_of_the_pre_label_before_there_is_an_answer():
    assert [(tag.name, tag.kind) for tag in over(proposed=(CAT,)).tags] == [("cat", "proposed")]


def test_a_class_name_stays_in_the_image():
    low, high = over(answered=(CAT, DOG)).tags
    assert (low.x, low.y) == (48, 88)
    assert (high.x, high.y) == (0, 36)


def test_a_crowd_has_no_class_names():
    assert len(over(answered=(CAT,) * TAGGED).tags) == TAGGED
    assert over(answered=(CAT,) * (TAGGED + 1)).tags == ()


def test_nothing_drawn_is_told_too():
    assert over(proposed=(), answered=()).told == "nothing"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Three cycles of a detector whose batches its own mirrored view chose: the gallery and the items of the last one."""
    folder = tmp_path_factory.mktemp("gallery")
    with scene_project(folder, ladder=["disagreement"], more='[committee]\nkind = "views"') as ws:
        run_cycles(ws, 3)
        yield show_batch(ws, 2), ws.ledger.batches.get(2).items, ws.ledger.labels.training_set(2).labels


def test_every_image_is_shown_with_what_people_answered(pair):
    gallery, items, labels = pair
    answers = {label.sample.uri: label.content for label in labels}
    assert [tile.rank for tile in gallery.tiles] == [item.rank + 1 for item in items]
    for tile in gallery.tiles:
        drawn = {line.kind: line.number for line in tile.drawing.outlines}
        assert drawn.get("answered", 0) == len(answers[tile.uri].boxes)
        assert (tile.drawing.width, tile.drawing.height) == (480, 360)


def test_evidence_is_drawn_and_told(pair):
    gallery, items, _ = pair
    doubted = [(tile, item) for tile, item in zip(gallery.tiles, items, strict=True) if item.evidence]
    assert doubted
    for tile, item in doubted:
        drawn = {line.kind: line.number for line in tile.drawing.outlines}
        assert drawn["doubted"] == min(5, len(item.evidence))
        told = sum(
            int(part.split(": ")[1].split()[0]) for part in tile.why.split(", ") if part.endswith(("place", "s"))
        )
        assert told == drawn["doubted"]
    assert any("sureness differs: " in tile.why for tile, _ in doubted)
    assert "doubted" in gallery.kinds


def test_objects_are_told_by_class(pair):
    words = {word for tile in pair[0].tiles for word in tile.answer.replace(", ", " ").replace("\xa0", " ").split()}
    assert words <= {"red", "green", "blue", "×2", "×3", "nothing"}


def test_boxes_have_no_agreement_by_class(pair):
    assert pair[0].agreements == ()


def test_a_hidden_pre_label_is_told(tmp_path):
    with scene_project(tmp_path, count=120) as ws:
        run_cycles(ws, 3)
        items = [item for cycle in (1, 2) for item in ws.ledger.batches.get(cycle).items]
        tiles = [tile for cycle in (1, 2) for tile in show_batch(ws, cycle).tiles]
    control = [(item.blind, tile.why) for item, tile in zip(items, tiles, strict=True) if item.lane is Lane.CONTROL]
    words = {True: "drawn at random, pre-label hidden", False: "drawn at random"}
    assert {blind for blind, _ in control} == {True, False}
    assert all(why == words[blind] for blind, why in control)


def test_a_mask_is_drawn_as_its_polygon(tmp_path):
    with scene_project(tmp_path, task=Task.SEGMENT) as ws:
        run_cycles(ws, 1)
        tiles = show_batch(ws, 0).tiles
        answers = {label.sample.uri: label.content for label in ws.ledger.labels.training_set(0).labels}
    tile = next(tile for tile in tiles if tile.drawing.outlines)
    x, y = answers[tile.uri].boxes[0].polygon[0]
    assert tile.drawing.outlines[0].path.startswith(f"M{round(x * 7.5)} {round(y * 7.5)}L")


def test_an_image_that_is_gone_has_no_drawing(tmp_path):
    with scene_project(tmp_path) as ws:
        run_cycles(ws, 1)
        Path(ws.ledger.batches.get(0).items[0].sample.uri).unlink()
        gone, still_there = show_batch(ws, 0).tiles[:2]
    assert gone.drawing is None
    assert still_there.drawing is not None
