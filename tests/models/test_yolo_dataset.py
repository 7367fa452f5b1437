from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alloop.errors import BadLabel
from alloop.images import read_image
from alloop.models.yolo_dataset import count_entries, write_dataset
from alloop.nouns import Box, Content, Sample, Task, TrainingLabel, no_progress

LABELS = ("cat", "dog")


def label(folder, name, content, width=100, height=50):
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.png"
    Image.new("RGB", (width, height), (10, 20, 30)).save(file)
    return TrainingLabel(Sample(name, str(file)), content)


def write(labels, folder, task=Task.DETECT, size=64, batch=1, seed=0):
    write_dataset(labels, folder, task=task, label_set=LABELS, size=size, batch=batch, seed=seed, progress=no_progress)
    return folder


def boxes(*boxes):
    return Content(boxes=boxes)


def numbers(folder):
    return [
        [float(word) for word in line.split()] for line in (folder / "labels/0000000-0.txt").read_text().splitlines()
    ]


def written(folder):
    return read_image(str(folder / "images/0000000-0.jpg"))


def test_a_box_is_class_centre_and_size_as_shares(tmp_path):
    labels = [label(tmp_path, "a", boxes(Box("dog", 10, 10, 30, 20)))]
    assert numbers(write(labels, tmp_path / "set")) == [[1, 0.2, 0.3, 0.2, 0.2]]


def test_a_box_over_the_edge_is_clipped(tmp_path):
    labels = [label(tmp_path, "a", boxes(Box("cat", -10, 25, 50, 80)))]
    assert numbers(write(labels, tmp_path / "set")) == [[0, 0.25, 0.75, 0.5, 0.5]]


def test_a_polygon_is_its_corners_as_shares(tmp_path):
    triangle = Box("cat", 0, 0, 50, 50, polygon=((0, 0), (50, 0), (25, 50)))
    labels = [label(tmp_path, "a", boxes(triangle))]
    assert numbers(write(labels, tmp_path / "set", Task.SEGMENT)) == [[0, 0, 0, 0.5, 0, 0.25, 1]]


def test_a_segmenters_box_without_a_polygon_is_its_own_outline(tmp_path):
    labels = [label(tmp_path, "a", boxes(Box("cat", 0, 0, 50, 25)))]
    assert numbers(write(labels, tmp_path / "set", Task.SEGMENT)) == [[0, 0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]]


def test_a_background_has_an_empty_label(tmp_path):
    assert numbers(write([label(tmp_path, "a", boxes())], tmp_path / "set")) == []


def test_images_are_no_larger_than_needed(tmp_path):
    folder = write([label(tmp_path, "a", boxes())], tmp_path / "set")
    assert written(folder).size == (64, 32)


def test_small_images_are_not_enlarged(tmp_path):
    folder = write([label(tmp_path, "a", boxes())], tmp_path / "set", size=320)
    assert written(folder).size == (100, 50)


def test_a_strip_is_padded_lest_ultralytics_ignores_it(tmp_path):
    folder = write([label(tmp_path, "a", boxes(Box("cat", 0, 0, 640, 20)), 640, 20)], tmp_path / "set")
    assert written(folder).size == (64, 10)
    assert numbers(folder) == [[0, 0.5, 0.1, 1, 0.2]]


def test_a_turned_image_is_written_upright(tmp_path):
    one = label(tmp_path, "a", boxes(Box("cat", 0, 0, 25, 50)))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(one.sample.uri, exif=exif)
    folder = write([one], tmp_path / "set")
    assert written(folder).size == (32, 64)
    assert numbers(folder) == [[0, 0.25, 0.25, 0.5, 0.5]]


def test_the_users_files_are_not_touched(tmp_path):
    one = label(tmp_path, "a", boxes())
    before = (tmp_path / "a.png").stat()
    write([one], tmp_path / "set")
    after = (tmp_path / "a.png").stat()
    assert (before.st_mtime_ns, before.st_nlink) == (after.st_mtime_ns, after.st_nlink)


def test_classes_are_folders_in_the_order_of_the_label_set(tmp_path):
    labels = [label(tmp_path, "a", Content("dog")), label(tmp_path, "b", Content("cat"))]
    folder = write(labels, tmp_path / "set", Task.CLASSIFY)
    found = sorted(str(path.relative_to(folder / "train")) for path in (folder / "train").rglob("*.jpg"))
    assert found == ["c00000/0000001-0.jpg", "c00001/0000000-0.jpg"]


def test_every_batch_is_full(tmp_path):
    labels = [label(tmp_path, name, boxes()) for name in "abc"]
    folder = write(labels, tmp_path / "set", batch=8)
    times = Counter(path.name.split("-")[0] for path in (folder / "images").iterdir())
    assert sorted(times.values()) == [2, 3, 3]


def test_the_seed_chooses_what_is_shown_more_often(tmp_path):
    labels = [label(tmp_path, name, boxes()) for name in "abcdefg"]
    sets = [write(labels, tmp_path / f"set-{seed}", batch=4, seed=seed) for seed in range(5)]
    assert len({tuple(sorted(path.name for path in (one / "images").iterdir())) for one in sets}) > 1


@pytest.mark.parametrize("box", [Box("cat", 10, 10, 10, 20), Box("cat", 200, 0, 220, 10), Box("cat", 30, 9, 20, 19)])
def test_a_box_without_area_in_the_image_is_refused(tmp_path, box):
    with pytest.raises(BadLabel, match=r"a\.png of 100 x 50"):
        write([label(tmp_path, "a", boxes(box))], tmp_path / "set")


@given(samples=st.integers(1, 10_000), batch=st.integers(1, 256))
def test_an_epoch_shows_every_sample_in_full_batches(samples, batch):
    entries = count_entries(samples, batch)
    assert entries % batch == 0
    assert samples <= entries < samples + batch


def test_colours_survive(tmp_path):
    folder = write([label(tmp_path, "a", boxes())], tmp_path / "set")
    pixels = np.asarray(written(folder))
    np.testing.assert_allclose(pixels[10, 10], [10, 20, 30], atol=2)
