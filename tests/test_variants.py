"""Harder pools made from an easy one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alloop.errors import ConfigError
from alloop.nouns import Sample, no_progress
from alloop.variants import Variant, copies_each, vary, write_blends, write_copies


@given(st.integers(1, 60), st.data())
def test_copies_have_the_sum_asked_for_and_keep_to_their_bounds(images: int, data: st.DataObject) -> None:
    total = data.draw(st.integers(images, 400 * images))
    counts = copies_each(images, total, np.random.default_rng(0))
    assert counts.sum() == total
    assert counts.min() >= 1
    assert counts.max() <= 400


def test_copies_have_a_heavy_tail() -> None:
    counts = np.sort(copies_each(1000, 20_000, np.random.default_rng(0)))[::-1]
    assert counts[0] == 400
    assert np.median(counts) <= 3
    assert counts[:100].sum() > 0.7 * counts.sum()


@pytest.mark.parametrize("total", [9, 4001])
def test_sizes_that_no_repetition_gives_are_refused(total: int) -> None:
    with pytest.raises(ConfigError, match="choose a size from 10 to 4000"):
        copies_each(10, total, np.random.default_rng(0))


def test_too_many_blends_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"share of blends of 0\.7"):
        Variant(blend_share=0.7)


def test_a_near_copy_is_near_and_no_copy() -> None:
    gradient = np.linspace(40, 200, 32, dtype=np.uint8)
    pixels = np.stack([np.tile(gradient, (32, 1))] * 3, axis=2)
    copy = vary(pixels, np.random.default_rng(0))
    assert copy.shape == pixels.shape
    assert copy.dtype == np.uint8
    difference = np.abs(copy.astype(int) - pixels.astype(int))
    assert 0 < difference.mean() < 20


@pytest.fixture
def two(tmp_path: Path) -> list[Sample]:
    """A black and a white image."""
    for name, value in (("black", 0), ("white", 200)):
        Image.new("RGB", (8, 8), (value, value, value)).save(tmp_path / f"{name}.png")
    return [Sample(name, str(tmp_path / f"{name}.png")) for name in ("black", "white")]


def test_a_blend_is_half_of_each(two: list[Sample], tmp_path: Path) -> None:
    made = list(write_blends(two, ["b", "w"], tmp_path, count=1, seed=1, side=64))
    assert [np.asarray(Image.open(one.path)).tolist() for one in made] == [np.full((8, 8, 3), 100).tolist()]


def test_no_two_samples_are_blended_twice(tmp_path: Path) -> None:
    for value in (0, 8, 100, 140):
        Image.new("RGB", (8, 8), (value, value, value)).save(tmp_path / f"{value}.png")
    samples = [Sample(str(value), str(tmp_path / f"{value}.png")) for value in (0, 8, 100, 140)]
    made = write_blends(samples, ["b", "b", "w", "w"], tmp_path, count=4, seed=1, side=64)
    assert sorted(np.asarray(Image.open(one.path)).max() for one in made) == [50, 54, 70, 74]


def test_the_same_seed_writes_the_same_files(two: list[Sample], tmp_path: Path) -> None:
    def write(folder: Path) -> list[bytes]:
        folder.mkdir()
        made = write_copies(two, folder, total=30, seed=3, side=64, progress=no_progress)
        return [one.path.read_bytes() for one in made]

    first = write(tmp_path / "a")
    assert len(first) == 28
    assert first == write(tmp_path / "b")
