import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.draw import polygon2mask

from alloop.errors import BadLabel
from alloop.outlines import joined, outline

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))
SQUARE = ((10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0))
OTHER = ((50.0, 10.0), (60.0, 10.0), (60.0, 20.0), (50.0, 20.0))


def filled(polygon, shape):
    """The pixels whose middle lies inside the polygon."""
    return polygon2mask(shape, np.array(polygon)[:, ::-1] - 0.5)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@given(masks.filter(np.any))
def test_an_outline_covers_what_is_painted(mask):
    assert overlap(filled(outline(mask), mask.shape), mask) > 0.9


def test_parts_and_holes_hang_on_one_outline():
    mask = np.zeros((40, 60), bool)
    mask[5:35, 5:30] = True
    mask[12:25, 12:20] = False
    mask[10:20, 40:55] = True
    assert overlap(filled(outline(mask), mask.shape), mask) == 1


def test_an_outline_stays_inside_the_image():
    points = np.array(outline(np.ones((20, 30), bool)))
    assert (points.min(axis=0).tolist(), points.max(axis=0).tolist()) == ([0, 0], [30, 20])


def test_nothing_painted_has_no_outline():
    with pytest.raises(BadLabel, match="paints nothing"):
        outline(np.zeros((3, 3), bool))


def test_one_part_needs_no_seam():
    assert joined([SQUARE]) is SQUARE


def test_joined_parts_cover_what_the_parts_cover():
    flipped = np.array(joined([SQUARE, OTHER]))[:, ::-1]
    covered = polygon2mask((80, 100), flipped - 0.5)  # which asks at whole numbers, and a pixel's middle is at a half
    assert covered.sum() == 20 * 20 + 10 * 10
    assert covered[10:30, 10:30].all()
    assert covered[10:20, 50:60].all()
