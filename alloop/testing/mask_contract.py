"""What every model of masks promises, as tests: subclass `MaskContract` in a file that pytest collects."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from alloop.models.base import MaskModel, Masks
from alloop.nouns import Box, Content, Floats

__all__ = ["MaskContract", "make_scenes"]

Pixels = NDArray[np.uint8]
Scene = tuple[Pixels, Content]
ALIKE = 0.98
"""This share of a mask's pixels must be the same when it is asked for among others: networks round differently then."""


def make_scenes() -> tuple[Scene, ...]:
    """Three images (H, W, 3) uint8 RGB with what is in them: bright rectangles on dark noise, one at a corner, none."""
    wide = (Box("one", 20, 10, 60, 40), Box("two", 70, 30, 100, 70))
    return _scene(80, 120, *wide), _scene(100, 64, Box("one", 0, 60, 30, 100)), _scene(48, 48)


class MaskContract:
    """Tests that a MaskModel must pass; a subclass fills in `make_model`."""

    def make_model(self, home: Path) -> MaskModel:
        """A model that answers about `make_scenes`; it may keep files in `home`, and be the same one for every test."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, tmp_path: Path) -> MaskModel:
        """The model."""
        return self.make_model(tmp_path)

    @pytest.mark.parametrize("number", range(3), ids=["wide", "tall", "nothing in it"])
    def test_a_box_gets_a_mask_of_the_images_size(self, model: MaskModel, number: int) -> None:
        """And finite numbers between 0 and 1 about it."""
        image, _ = make_scenes()[number]
        _check(model.masks_of(image, _boxes([5, 6, 30, 40])), image, count=1)

    def test_each_box_gets_its_mask_in_order(self, model: MaskModel) -> None:
        """Two objects and a corner, forwards and backwards."""
        image, truth = make_scenes()[0]
        boxes = _boxes(*map(_corners, truth.boxes), [0, 0, 12, 9])
        there, back = model.masks_of(image, boxes), model.masks_of(image, boxes[::-1])
        _check(there, image, count=3)
        assert (there.masks == back.masks[::-1]).mean() > ALIKE
        np.testing.assert_allclose(there.quality, back.quality[::-1], atol=1e-3)

    def test_many_boxes_are_answered_as_one_is(self, model: MaskModel) -> None:
        """Seventy boxes, more than fit into one piece; the last one is asked about alone too."""
        image, _ = make_scenes()[0]
        corners = np.random.default_rng(0).uniform(0, 40, (70, 4))
        boxes = _boxes(*np.hstack([corners[:, :2], corners[:, 2:] + 40]))
        many, alone = model.masks_of(image, boxes), model.masks_of(image, boxes[-1:])
        _check(many, image, count=70)
        assert (many.masks[-1] == alone.masks[0]).mean() > ALIKE
        np.testing.assert_allclose(many.quality[-1], alone.quality[0], atol=1e-3)

    def test_no_box_gets_no_mask(self, model: MaskModel) -> None:
        """A detector may see nothing: (0, H, W) and (0,)."""
        image, _ = make_scenes()[1]
        _check(model.masks_of(image, _boxes()), image, count=0)

    def test_boxes_may_touch_and_cross_the_border(self, model: MaskModel) -> None:
        """The whole image, its last pixel, a box that is partly and one that is quite outside."""
        image, _ = make_scenes()[0]
        boxes = _boxes([0, 0, 120, 80], [119, 79, 120, 80], [-9, 50, 30, 99], [130, 90, 150, 95])
        _check(model.masks_of(image, boxes), image, count=4)

    def test_asked_again_it_says_the_same(self, model: MaskModel) -> None:
        """Bit for bit, whatever other image came between."""
        image, truth = make_scenes()[0]
        boxes = _boxes(*map(_corners, truth.boxes))
        first, proposed = model.masks_of(image, boxes), model.propose(image)
        model.masks_of(make_scenes()[1][0], boxes)
        _same(model.masks_of(image, boxes), first)
        model.propose(make_scenes()[1][0])
        _same(model.propose(image), proposed)

    def test_it_changes_neither_image_nor_boxes(self, model: MaskModel) -> None:
        """Both are the caller's."""
        image, truth = make_scenes()[0]
        boxes = _boxes(*map(_corners, truth.boxes))
        model.masks_of(image, boxes)
        model.propose(image)
        np.testing.assert_array_equal(image, make_scenes()[0][0])
        np.testing.assert_array_equal(boxes, _boxes(*map(_corners, truth.boxes)))

    def test_it_takes_an_image_however_it_lies_in_memory(self, model: MaskModel) -> None:
        """Read-only as Pillow gives it, and a view with its channels turned round."""
        image, truth = make_scenes()[0]
        boxes = _boxes(*map(_corners, truth.boxes))
        expected, proposed = model.masks_of(image, boxes), model.propose(image)
        locked = image.copy()
        locked.flags.writeable = False
        turned = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
        for view in (locked, turned):
            _same(model.masks_of(view, boxes), expected)
            _same(model.propose(view), proposed)

    @pytest.mark.parametrize("number", range(3), ids=["wide", "tall", "nothing in it"])
    def test_its_proposals_are_masks_with_something_in_them(self, model: MaskModel, number: int) -> None:
        """As many as it likes, also none; of the image's size, and none empty."""
        image, _ = make_scenes()[number]
        proposed = model.propose(image)
        _check(proposed, image, count=len(proposed.masks))
        assert proposed.masks.any(axis=(1, 2)).all()


def _scene(height: int, width: int, *boxes: Box) -> Scene:
    image = np.random.default_rng(height).integers(0, 60, (height, width, 3), dtype=np.uint8)
    for number, box in enumerate(boxes):
        image[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1), number] += 180
    return image, Content(boxes=boxes)


def _corners(box: Box) -> list[float]:
    return [box.x0, box.y0, box.x1, box.y1]


def _boxes(*corners: Any) -> Floats:
    return np.array(corners, dtype=np.float32).reshape(-1, 4)


def _check(found: Masks, image: Pixels, *, count: int) -> None:
    assert found.masks.shape == (count, *image.shape[:2])
    assert found.masks.dtype == np.bool_
    for values in (found.quality, found.stability):
        assert values.shape == (count,)
        assert values.dtype == np.float32
        assert ((values >= 0) & (values <= 1)).all()


def _same(found: Masks, expected: Masks) -> None:
    np.testing.assert_array_equal(found.masks, expected.masks)
    np.testing.assert_array_equal(found.quality, expected.quality)
    np.testing.assert_array_equal(found.stability, expected.stability)
