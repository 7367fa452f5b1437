import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from alloop.annotation.label_studio_masks import decode_mask
from alloop.errors import BadLabel
from tests.annotation.label_studio_strokes import encode_mask

SMALL = np.array([[0, 1, 1], [1, 0, 0]], bool)
# label-studio-sdk 2.1.2: converter.brush.encode_rle of SMALL
FROM_THE_SDK = [0, 0, 0, 24, 57, 27, 252, 96, 22, 255, 231, 0, 0]
masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(masks)
def test_every_mask_comes_back_as_it_went_out(mask):
    assert (decode_mask(encode_mask(mask), mask.shape[::-1]) == mask).all()


def test_a_long_run_comes_back():
    mask = np.ones((300, 400), bool)
    assert decode_mask(encode_mask(mask), (400, 300)).all()


def test_what_label_studios_own_tools_write_is_read():
    assert (decode_mask(FROM_THE_SDK, (3, 2)) == SMALL).all()


def test_values_that_do_not_repeat_are_read():
    head = f"{4:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    bits = head + "0" + "00" + f"{3:03b}" + "".join(f"{value:08b}" for value in (9, 9, 9, 255))
    packed = [int(bits.ljust(96, "0")[at : at + 8], 2) for at in range(0, 96, 8)]
    assert decode_mask(packed, (1, 1)).tolist() == [[True]]


@given(st.lists(st.integers(0, 255), max_size=40))
def test_bytes_that_are_no_mask_are_refused(packed):
    with pytest.raises(BadLabel):
        decode_mask(packed, (3, 2))


@pytest.mark.parametrize("packed", [[], [256], [-1], ["a"], None, encode_mask(SMALL)[:-2]])
def test_a_damaged_stroke_is_refused(packed):
    with pytest.raises(BadLabel, match="draw it again"):
        decode_mask(packed, (3, 2))


def test_a_stroke_for_another_picture_is_refused():
    with pytest.raises(BadLabel, match="covers 6 pixels, its image 9"):
        decode_mask(encode_mask(SMALL), (3, 3))


def test_an_image_too_large_to_unpack_is_refused():
    with pytest.raises(BadLabel, match="cannot be unpacked"):
        decode_mask([], (100_000, 100_000))
