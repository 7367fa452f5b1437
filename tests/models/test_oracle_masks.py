import numpy as np
import pytest
from PIL import Image

from alloop.errors import ConfigError
from alloop.images import read_image
from alloop.nouns import Box, Content, Sample, Task
from alloop.sections import CommitteeSection, Project
from alloop.testing.mask_contract import MaskContract, make_scenes
from alloop.testing.oracle_masks import OracleMasks, from_config, pixels_id, truths_of, write_oracle

PROJECT = Project(name="p", task=Task.SEGMENT, labels=("one",))


class TestOracle(MaskContract):
    def make_model(self, home):
        return OracleMasks({pixels_id(image): truth for image, truth in make_scenes()})


class TestOracleThatErrs(MaskContract):
    def make_model(self, home):
        return OracleMasks({pixels_id(image): truth for image, truth in make_scenes()}, dropped=0.4, jitter=0.3)


def oracle_of(image, *boxes, **options):
    return OracleMasks({pixels_id(image): Content(boxes=boxes)}, **options)


def paper(height=20, width=30):
    return np.zeros((height, width, 3), np.uint8)


def ask(oracle, image, *corners):
    return oracle.masks_of(image, np.array(corners, np.float32))


def test_a_box_of_the_truth_is_its_mask():
    mask = ask(oracle_of(paper(), Box("a", 2, 3, 5, 7)), paper(), [2, 3, 5, 7]).masks[0]
    expected = np.zeros((20, 30), bool)
    expected[3:7, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_of_the_truth_is_filled():
    corner = Box("a", 0, 0, 10, 10, polygon=((0, 0), (10, 0), (0, 10)))
    mask = ask(oracle_of(paper(), corner), paper(), [0, 0, 10, 10]).masks[0]
    assert mask[1, 1]
    assert not mask[9, 9]
    assert abs(mask.sum() - 50) <= 5


def test_the_prompt_gets_the_object_that_it_overlaps_most():
    oracle = oracle_of(paper(), Box("a", 0, 0, 10, 10), Box("b", 5, 0, 15, 10))
    found = ask(oracle, paper(), [6, 0, 16, 10], [1, 0, 9, 10])
    assert found.masks[:, 5, 0].tolist() == [False, True]
    assert found.masks[:, 5, 14].tolist() == [True, False]
    assert found.quality.tolist() == found.stability.tolist() == [1, 1]


def test_a_prompt_that_meets_no_object_gets_nothing():
    found = ask(oracle_of(paper(), Box("a", 0, 0, 10, 10)), paper(), [10, 10, 20, 20])
    assert not found.masks.any()
    assert (found.quality.tolist(), found.stability.tolist()) == ([0], [0])


def test_it_proposes_every_object():
    oracle = oracle_of(paper(), Box("a", 0, 0, 10, 10), Box("b", 15, 0, 25, 10))
    assert oracle.propose(paper()).masks.sum(axis=(1, 2)).tolist() == [100, 100]


def grid():
    """Two hundred objects of 4 x 4 pixels in one image, none touching another."""
    return [Box("a", x, y, x + 4, y + 4) for x in range(5, 205, 10) for y in range(5, 105, 10)]


def test_it_does_not_know_of_the_share_that_is_dropped():
    image = paper(110, 210)
    shares = [len(oracle_of(image, *grid(), dropped=share).propose(image).masks) / 200 for share in (0, 0.3, 0.7, 1)]
    np.testing.assert_allclose(shares, [1, 0.7, 0.3, 0], atol=0.08)


def test_of_a_larger_share_it_drops_the_same_ones_and_more():
    image, corners = paper(110, 210), [[box.x0, box.y0, box.x1, box.y1] for box in grid()]
    few, many = (ask(oracle_of(image, *grid(), dropped=share), image, *corners).quality > 0 for share in (0.3, 0.6))
    assert not (many & ~few).any()


def test_jitter_moves_masks_aside_and_the_quality_says_how_far():
    image = paper(110, 210)
    boxes = [Box("a", x, y, x + 20, y + 20) for x in (10, 60, 110, 160) for y in (10, 60)]
    for jitter in (0.2, 0.5):
        oracle = oracle_of(image, *boxes, jitter=jitter)
        found = ask(oracle, image, *[[box.x0, box.y0, box.x1, box.y1] for box in boxes])
        for box, mask, quality in zip(boxes, found.masks, found.quality, strict=True):
            truth = np.zeros(mask.shape, bool)
            truth[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = True
            rows, columns = np.nonzero(mask)
            assert abs(rows.min() - box.y0) <= 20 * jitter + 1
            assert abs(columns.min() - box.x0) <= 20 * jitter + 1
            assert quality == pytest.approx((truth & mask).sum() / (truth | mask).sum())
        assert 0.2 < found.quality.mean() < 1


def test_its_seed_decides_which_objects_it_misses():
    image = paper(110, 210)
    one, same, other = (
        oracle_of(image, *grid(), dropped=0.5, seed=seed).propose(image).masks.any(axis=0) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_an_image_it_was_not_told_about_is_an_error():
    with pytest.raises(ConfigError, match="knows no image of 31 x 20 pixels"):
        oracle_of(paper(), Box("a", 0, 0, 10, 10)).propose(paper(20, 31))


def test_a_project_gets_it_from_its_config(tmp_path):
    Image.fromarray(paper()).save(tmp_path / "image.png")
    box = Box("one", 0, 0, 10, 10, polygon=((0, 0), (10, 0), (0, 10)))
    told = Sample("s", str(tmp_path / "image.png"), truth=Content(boxes=(box, Box("one", 15, 0, 25, 10))))
    path = write_oracle(tmp_path / "oracle.json", truths_of([told, Sample("untold", "nowhere")]), jitter=0.1, seed=3)
    oracle = from_config(PROJECT, CommitteeSection(kind="own:factory", checkpoint=path))
    image = np.asarray(read_image(told.uri))
    expected = oracle_of(paper(), *told.truth.boxes, jitter=0.1, seed=3).propose(paper())
    np.testing.assert_array_equal(oracle.propose(image).masks, expected.masks)
    assert len(expected.masks) == 2


def test_without_a_file_it_says_what_to_set():
    with pytest.raises(ConfigError, match="write_oracle"):
        from_config(PROJECT, CommitteeSection())
