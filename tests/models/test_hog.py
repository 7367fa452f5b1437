import numpy as np
import pytest
from PIL import Image

from alloop.models.hog import describe

NOISE = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (64, 64), (500, 300)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_any_image_becomes_one_unit_vector_of_one_length(size, mode):
    vector = describe(Image.fromarray(NOISE).resize(size).convert(mode))
    assert (vector.shape, vector.dtype) == ((372,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("shade", ["black", "white", "#808080"])
def test_a_plain_image_has_a_vector_too(shade):
    vector = describe(Image.new("RGB", (20, 20), shade))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_colour_counts():
    red, blue = (describe(Image.new("RGB", (20, 20), colour)) for colour in ("red", "blue"))
    assert np.linalg.norm(red - blue) > 0.1


def test_shape_counts():
    upright = Image.new("L", (20, 20))
    upright.paste(255, (8, 0, 12, 20))
    assert np.linalg.norm(describe(upright) - describe(upright.rotate(90))) > 0.3
