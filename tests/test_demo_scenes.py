import csv
import json
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from alloop.demo_scenes import HEIGHT, MARGIN, SCENE_LABELS, WIDTH, Glyph, Scene, Stock, draw, write_scenes
from alloop.formats.coco import open_coco
from alloop.images import read_image
from alloop.nouns import Box, Content, Split, Task

DARK = np.zeros((HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN, 3), np.float32)
WHITE = np.ones(3, np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), seed=0, pool=96, holdout=24)


@pytest.fixture(scope="module")
def rows(written):
    with written.manifest.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def coco(written):
    return json.loads(written.coco.read_text())


@pytest.fixture(scope="module")
def stock():
    """Photographs whose redness over their greenness tells the column: 0 on the left, 2 on the right."""
    pixels = np.full((427, 640, 3), 100, np.uint8)
    pixels[:, :, 0] = np.rint(200 * np.arange(640) / 640)
    return Stock([Image.fromarray(pixels)], np.random.default_rng(0))


def boxes_of(coco):
    """{file name: its boxes}."""
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    classes = {category["id"]: category["name"] for category in coco["categories"]}
    found = {name: [] for name in names.values()}
    for one in coco["annotations"]:
        x, y, width, height = one["bbox"]
        found[names[one["image_id"]]].append(Box(classes[one["category_id"]], x, y, x + width, y + height))
    return found


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_a_digit_is_drawn_where_its_box_is():
    glyph = Glyph("7", np.ones((3, 2), np.float32), WHITE, x=10, y=20)
    pixels, boxes = draw(Scene(DARK, (glyph,)), 0)
    assert boxes == (Box("7", 10, 20, 12, 23),)
    assert pixels[20:23, 10:12].min() == 1
    assert pixels.sum() == 3 * 2 * 3


def test_a_digit_drifts_and_its_box_with_it():
    glyph = Glyph("0", np.ones((3, 2), np.float32), WHITE, x=10, y=20, dx=1.5, dy=-1)
    pixels, boxes = draw(Scene(DARK, (glyph,), frames=3), 2)
    assert boxes == (Box("0", 13, 18, 15, 21),)
    assert pixels[18:21, 13:15].min() == 1


def test_a_camera_that_shakes_moves_the_photograph_only():
    photograph = DARK.copy()
    photograph[MARGIN + 50, MARGIN + 60] = 1
    still, _ = draw(Scene(photograph, ()), 0)
    shaken, _ = draw(Scene(photograph, ()), 0, shake=(2, -1))
    assert still[50, 60, 0] == 1
    assert shaken[51, 58, 0] == 1


@pytest.mark.parametrize("frame", [0, 7])
def test_the_pixels_of_a_real_digit_touch_every_edge_of_its_box(stock, frame):
    scenes = [stock.scene(Split.POOL, frames=8) for _ in range(30)]
    glyphs = [replace(glyph, colour=WHITE) for scene in scenes for glyph in scene.glyphs]
    assert len(glyphs) > 30
    for glyph in glyphs:
        pixels, (box,) = draw(Scene(DARK, (glyph,), frames=8), frame)
        ys, xs = np.nonzero(pixels[:, :, 0])
        assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (box.x0, box.y0, box.x1, box.y1)
        inside = pixels[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1), 0]
        edges = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
        assert min(edge.max() for edge in edges) >= 0.35


def test_no_digit_is_in_both_pool_and_holdout(stock):
    pool, holdout = (set(stock.rows[split].tolist()) for split in (Split.POOL, Split.HOLDOUT))
    assert not pool & holdout
    assert 4 * len(holdout) == pytest.approx(len(pool), abs=4)


def test_no_part_of_a_photograph_is_in_both_pool_and_holdout(stock):
    hues = {}
    for split in (Split.POOL, Split.HOLDOUT):
        photographs = [stock.scene(split).photograph for _ in range(40)]
        ratios = [np.median(pixels[:, :, 0] / pixels[:, :, 1], axis=0) for pixels in photographs]
        hues[split] = min(ratio.min() for ratio in ratios), max(ratio.max() for ratio in ratios)
    assert hues[Split.POOL][1] <= 1.22  # 60 % of the width, and what rounding to 8 bits makes of it
    assert hues[Split.HOLDOUT][0] >= 1.18


def test_every_image_stands_once_in_the_manifest_and_once_in_coco(written, rows, coco):
    files = sorted(path.name for path in written.images.iterdir())
    assert len(files) == 96 + 24
    assert sorted(row["uri"] for row in rows) == [f"images/{name}" for name in files]
    assert sorted(image["file_name"] for image in coco["images"]) == [f"images/{name}" for name in files]


def test_images_have_the_size_that_coco_says(written, coco):
    sizes = {(image["width"], image["height"]) for image in coco["images"]}
    assert sizes == {(WIDTH, HEIGHT)} == {read_image(str(path)).size for path in written.images.iterdir()}


def test_half_of_the_pool_are_clips_and_the_holdout_has_none(rows):
    clips = Counter(row["group"] for row in rows if row["split"] == "pool")
    assert clips.pop("") == 48
    assert set(clips.values()) == {8}
    assert {row["group"] for row in rows if row["split"] == "holdout"} == {""}


def test_some_scenes_are_empty_and_none_is_crowded(coco):
    numbers = Counter(len(boxes) for boxes in boxes_of(coco).values())
    assert 0.02 < numbers[0] / 120 < 0.25
    assert max(numbers) == 5


def test_every_class_is_there_and_about_as_often(coco):
    seen = Counter(box.class_name for boxes in boxes_of(coco).values() for box in boxes)
    assert set(seen) == set(SCENE_LABELS)
    assert max(seen.values()) < 2 * min(seen.values())


def test_boxes_lie_in_the_image_and_hardly_on_one_another(coco):
    for boxes in boxes_of(coco).values():
        assert all(0 <= box.x0 < box.x1 <= WIDTH and 0 <= box.y0 < box.y1 <= HEIGHT for box in boxes)
        for one, other in combinations(boxes, 2):
            width = max(0, min(one.x1, other.x1) - max(one.x0, other.x0))
            height = max(0, min(one.y1, other.y1) - max(one.y0, other.y0))
            areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in (one, other)]
            assert width * height <= 0.25 * min(areas)


def test_frames_of_a_clip_are_alike_and_not_the_same(written, rows):
    clips = {}
    for row in rows:
        small = np.asarray(read_image(str(written.folder / row["uri"]), size=8), dtype=float)
        clips.setdefault(row["group"] or row["uri"], []).append(small)
    frames = [clip for clip in clips.values() if len(clip) == 8]
    within = [np.abs(one - other).mean() for clip in frames for one, other in combinations(clip, 2)]
    between = [np.abs(one[0] - other[0]).mean() for one, other in combinations(clips.values(), 2)]
    assert min(within) > 0
    assert np.median(within) < 0.3 * np.median(between)


def test_our_own_reader_finds_the_same_boxes(written, coco):
    expected = boxes_of(coco)
    with open_coco(written.coco, str(written.folder), Task.DETECT) as labels:
        for path in written.images.iterdir():
            assert labels.of(str(path)).content(WIDTH, HEIGHT) == Content(boxes=tuple(expected[f"images/{path.name}"]))


def test_names_do_not_tell_clips_or_splits(rows):
    held = [place for place, row in enumerate(rows) if row["split"] == "holdout"]
    assert 0.35 < np.mean(held) / len(rows) < 0.65
    followed = sum(one["group"] == other["group"] != "" for one, other in pairwise(rows))
    assert followed < 12


def test_a_seed_writes_the_same_and_another_seed_something_else(tmp_path):
    one, again, other = (
        write_scenes(tmp_path / name, seed=seed, pool=20, holdout=4) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert contents(one.folder) == contents(again.folder)
    assert contents(one.folder) != contents(other.folder)
