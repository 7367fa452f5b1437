"""COCO files as labels of a pool."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.draw import polygon2mask

from alloop.errors import BadLabel, BadManifest
from alloop.formats.masks import mask_outline, run_lengths
from alloop.nouns import Box, Content, Split, Task
from alloop.pool import Cause
from tests.formats.made import bring_in, picture, reasons, truths, write_json

CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
TRIANGLE = [10, 10, 30, 10, 30, 40]


def image(name: str = "a.png", key: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": key, "file_name": name, "width": 100, "height": 80} | more


def annotation(**more: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": 1, "category_id": 7, "bbox": [10, 10, 20, 30], "iscrowd": 0} | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.png")
    return tmp_path


def coco(folder: Path, *annotations: dict[str, Any], images: Any = None, **more: Any) -> Path:
    value = {"images": images or [image()], "annotations": list(annotations), "categories": CATEGORIES} | more
    return write_json(folder / "labels.json", value)


def label(folder: Path, *annotations: dict[str, Any], task: Task = Task.DETECT) -> Content | None:
    store, _ = bring_in(folder / "images", coco(folder, *annotations), task=task)
    assert not store.aside
    return truths(store)["a.png"]


def outline_of(folder: Path, segmentation: Any) -> Box:
    found = label(folder, annotation(bbox=None, segmentation=segmentation), task=Task.SEGMENT)
    assert found is not None
    (box,) = found.boxes
    return box


def aside(folder: Path, *annotations: dict[str, Any], task: Task = Task.SEGMENT, **more: Any) -> str:
    """Why the image was set aside."""
    store, added = bring_in(folder / "images", coco(folder, *annotations, **more), task=task)
    assert added.aside == {Cause.BAD_LABEL: 1}
    return reasons(store)["a.png"].removeprefix("has a label that cannot be used: ").replace(f"{folder}/", "")


def refusal(folder: Path, file: Path, **how: Any) -> str:
    """The sentence that the whole source is refused with."""
    with pytest.raises((BadManifest, BadLabel)) as caught:
        bring_in(folder / "images", file, **how)
    return str(caught.value).replace(f"{folder}/", "")


class TestBoxes:
    def test_a_box_becomes_corners(self, folder: Path) -> None:
        assert label(folder, annotation()) == Content(boxes=(Box("cat", 10, 10, 30, 40),))

    def test_boxes_keep_their_order(self, folder: Path) -> None:
        found = label(folder, annotation(), annotation(id=6, category_id=9), annotation(id=2))
        assert found is not None
        assert [box.class_name for box in found.boxes] == ["cat", "dog", "cat"]

    def test_a_listed_image_without_annotations_shows_nothing(self, folder: Path) -> None:
        assert label(folder) == Content()

    def test_an_image_that_is_not_listed_is_unlabelled(self, folder: Path) -> None:
        picture(folder / "images" / "b.png")
        store, added = bring_in(folder / "images", coco(folder, annotation()))
        assert truths(store)["b.png"] is None
        assert (added.labelled, added.rows) == (1, 2)

    def test_a_listed_image_that_is_not_there_is_set_aside(self, folder: Path) -> None:
        file = coco(folder, images=[image(), image("gone.png", 2)])
        store, _ = bring_in(folder / "images", file)
        assert reasons(store) == {"gone.png": "does not exist; check the path"}

    def test_ids_may_be_texts(self, folder: Path) -> None:
        file = coco(folder, annotation(image_id="one"), images=[image(key="one")])
        store, _ = bring_in(folder / "images", file)
        assert truths(store)["a.png"] == Content(boxes=(Box("cat", 10, 10, 30, 40),))

    def test_images_may_lie_in_folders(self, folder: Path) -> None:
        path = picture(folder / "images" / "deep" / "b.png")
        file = coco(folder, annotation(), images=[image("deep/./b.png")])
        store, _ = bring_in(folder / "images", file)
        assert store.found[path].sample.truth is not None

    def test_an_absolute_path_inside_is_fine(self, folder: Path) -> None:
        file = coco(folder, annotation(), images=[image(str(folder / "images" / "a.png"))])
        store, _ = bring_in(folder / "images", file)
        assert truths(store)["a.png"] is not None

    def test_the_size_need_not_be_stated(self, folder: Path) -> None:
        file = coco(folder, annotation(), images=[{"id": 1, "file_name": "a.png"}])
        store, _ = bring_in(folder / "images", file)
        assert truths(store)["a.png"] is not None

    def test_a_category_that_nothing_uses_need_not_be_in_the_label_set(self, folder: Path) -> None:
        file = coco(folder, annotation(), categories=[*CATEGORIES, {"id": 0, "name": "everything"}])
        store, _ = bring_in(folder / "images", file)
        assert truths(store)["a.png"] is not None

    def test_the_split_may_be_a_folder(self, folder: Path) -> None:
        path = picture(folder / "images" / "val2017" / "b.png")
        store, _ = bring_in(folder / "images", coco(folder, annotation()), holdout="val2017")
        assert [uri for uri, one in store.found.items() if one.sample.split is Split.HOLDOUT] == [path]


class TestOutlines:
    def test_a_detector_gets_boxes_only(self, folder: Path) -> None:
        found = label(folder, annotation(segmentation=[TRIANGLE]))
        assert found == Content(boxes=(Box("cat", 10, 10, 30, 40),))

    def test_a_detector_gets_the_box_around_an_outline(self, folder: Path) -> None:
        found = label(folder, annotation(bbox=None, segmentation=[TRIANGLE]))
        assert found == Content(boxes=(Box("cat", 10, 10, 30, 40),))

    def test_an_outline_comes_through_exactly(self, folder: Path) -> None:
        found = label(folder, annotation(segmentation=[[0.1, 10.7, 30, 10, 30, 40]]), task=Task.SEGMENT)
        assert found == Content(boxes=(Box("cat", 10, 10, 30, 40, ((0.1, 10.7), (30.0, 10.0), (30.0, 40.0))),))

    def test_parts_are_joined(self, folder: Path) -> None:
        box = outline_of(folder, [TRIANGLE, [50, 50, 60, 50, 60, 60]])
        assert (box.x0, box.y0, box.x1, box.y1) == (10, 10, 60, 60)
        assert len(box.polygon) == 3 + 1 + 3 + 1 + 1

    def test_a_box_without_an_outline_stays_a_box(self, folder: Path) -> None:
        assert label(folder, annotation(segmentation=[]), task=Task.SEGMENT) == Content(
            boxes=(Box("cat", 10, 10, 30, 40),)
        )


def blob() -> np.ndarray:
    """A mask with a hole and an island, 80 high and 100 wide."""
    pixels = np.zeros((80, 100), np.uint8, order="F")
    pixels[10:40, 20:70] = 1
    pixels[20:30, 30:50] = 0
    pixels[60:70, 80:100] = 1
    return pixels


def runs(pixels: np.ndarray) -> list[int]:
    """Run lengths, column by column, the first of zeros."""
    flat = pixels.ravel(order="F")
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flat, [2]))))
    return np.diff(np.concatenate(([0], edges))).tolist()


ENCODED = (
    r"Zb1n0b1000000000000000000\OhN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X10hN0X1"
    r"0hN0X10hN0X10hN0X10hN0X10hN0X1d000000000000000000000000000000000000000bj0\ORVO0000000000000000000000000000000000000TN"
)
"""The blob as pycocotools 2.0.11 encodes it."""


class TestMasks:
    @pytest.mark.parametrize("counts", [runs(blob()), ENCODED], ids=["plain", "compressed"])
    def test_a_mask_becomes_its_outline(self, folder: Path, counts: Any) -> None:
        box = outline_of(folder, {"size": [80, 100], "counts": counts})
        covered = polygon2mask((80, 100), np.array(box.polygon)[:, ::-1] - 0.5)
        assert (box.x0, box.y0, box.x1, box.y1) == (20, 10, 100, 70)
        assert (covered == blob()).all()

    def test_compressed_run_lengths(self) -> None:
        assert run_lengths(ENCODED) == runs(blob())

    def test_a_detector_does_not_decode_it(self, folder: Path) -> None:
        found = label(folder, annotation(segmentation={"size": [80, 100], "counts": "rubbish"}))
        assert found == Content(boxes=(Box("cat", 10, 10, 30, 40),))

    @pytest.mark.parametrize(
        ("mask", "reason"),
        [
            ({"size": [8000000, 1000000], "counts": [1]}, "has a mask of size [8000000, 1000000], and its image is 80"),
            ({"size": [80, 100], "counts": [8000]}, "has an empty mask; remove it"),
            (
                {"size": [80, 100], "counts": [1, 5]},
                "has a mask whose run lengths add up to 6 and not to 8000; mend it",
            ),
            ({"size": [80, 100], "counts": [-1, 8001]}, "has a mask whose counts are no run lengths; mend it"),
            ({"size": [80, 100], "counts": [1.5, 7998.5]}, "has a mask whose counts are no run lengths; mend it"),
            ({"size": [80, 100], "counts": "PPP"}, "has a mask whose counts are no run lengths; mend it"),
            ({"size": [80, 100], "counts": "é"}, "has a mask whose counts are no run lengths; mend it"),
            ({"size": [80, 100], "counts": "O"}, "has a mask whose counts are no run lengths; mend it"),
            ({"size": [80, 100], "counts": "1" * 9}, "has a mask whose run lengths add up to"),
            ({"size": [80, 100]}, "has a mask whose counts are no run lengths; mend it"),
            ({"counts": []}, "has a mask of size None"),
        ],
    )
    def test_a_broken_mask_sets_its_image_aside(self, folder: Path, mask: dict[str, Any], reason: str) -> None:
        assert reason in aside(folder, annotation(segmentation=mask))

    def test_any_text_is_decoded_or_refused(self) -> None:
        decoded = set()

        @settings(max_examples=200)
        @example(counts="0`2")  # all 80 pixels are painted
        @given(counts=st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=40))
        def decode(counts: str) -> None:
            with suppress(BadLabel):
                mask_outline({"size": [8, 10], "counts": counts}, width=10, height=8, where="here")
                decoded.add(counts)

        decode()
        assert "0`2" in decoded


class TestSetAside:
    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"iscrowd": 1}, "is a crowd and no single object; draw its objects, or remove it"),
            ({"bbox": [10, 10, 0, 30]}, "has no area, from (10, 10) to (10, 40); mend or remove it"),
            ({"bbox": [10, 10, 99, 30]}, "reaches 9.0 px out of the image of 100 x 80 pixels; mend it"),
            ({"bbox": [10, 10, 20]}, "has the bbox [10, 10, 20], which is not four numbers; mend it"),
            ({"bbox": "10"}, "has the bbox 10, which is not four numbers; mend it"),
            ({"bbox": [1, 1, True, 2]}, "has the bbox [1, 1, True, 2], which is not four numbers; mend it"),
            ({"bbox": None}, "has neither a bbox nor a segmentation; mend or remove it"),
            ({"segmentation": [[1, 2, 3, 4]]}, "has the outline [1, 2, 3, 4], which is not three or more pairs"),
            ({"segmentation": ["x"]}, "has the outline x, which is not three or more pairs; mend it"),
            ({"segmentation": "x"}, "has a segmentation that is neither outlines nor a mask; mend it"),
        ],
    )
    def test_an_annotation_that_cannot_be_used(self, folder: Path, more: dict[str, Any], reason: str) -> None:
        assert aside(folder, annotation(**more)).startswith(f"labels.json: annotation 5 {reason}")

    def test_another_image_under_the_same_name(self, folder: Path) -> None:
        assert aside(folder, images=[image(width=640)]) == (
            "labels.json speaks of 640 x 80 pixels, and the image has 100 x 80 when upright; name the right image"
        )

    def test_a_photo_labelled_while_it_lay_on_its_side(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture(tmp_path / "images" / "a.jpg", size=(100, 80), exif=exif)
        store, _ = bring_in(tmp_path / "images", coco(tmp_path, images=[image("a.jpg")]))
        assert reasons(store)["a.jpg"].endswith(
            "speaks of 100 x 80 pixels, and the image has 80 x 100 when upright; it lies on its side, "
            "turn the file upright"
        )

    def test_a_photo_labelled_upright(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture(tmp_path / "images" / "a.jpg", size=(100, 80), exif=exif)
        file = coco(tmp_path, annotation(bbox=[0, 0, 80, 100]), images=[image("a.jpg", width=80, height=100)])
        store, _ = bring_in(tmp_path / "images", file)
        assert truths(store)["a.jpg"] == Content(boxes=(Box("cat", 0, 0, 80, 100),))

    def test_the_others_come_in(self, folder: Path) -> None:
        picture(folder / "images" / "b.png")
        file = coco(folder, annotation(iscrowd=1), images=[image(), image("b.png", 2)])
        store, _ = bring_in(folder / "images", file)
        assert truths(store) == {"b.png": Content()}


class TestRefused:
    @pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/passwd", "", ".", "a\0.png"])
    def test_a_path_that_leads_out(self, folder: Path, name: str) -> None:
        sentence = refusal(folder, coco(folder, images=[image(), image(name, 2)]))
        assert sentence.startswith(f"labels.json: image 2 names {name!r}, which is not inside images; name the folder")

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            ({"category_id": 8}, "annotation 5 has the category 8, which is not in 'categories'; add it"),
            ({"category_id": [8]}, "has the category_id [8], which is neither a whole number nor a text; mend it"),
            ({"image_id": 2}, "an annotation belongs to the image 2, which is not in 'images'; add it"),
            ({"image_id": None}, "has the image_id None, which is neither a whole number nor a text; mend it"),
            ({"score": 0.9}, "annotation 5 has a score, so a model has made it; only people's labels are added"),
        ],
    )
    def test_an_annotation_that_belongs_nowhere(self, folder: Path, more: dict[str, Any], sentence: str) -> None:
        assert sentence in refusal(folder, coco(folder, annotation(**more)))

    @pytest.mark.parametrize(
        ("images", "sentence"),
        [
            ([image(), image("b.png")], "labels.json lists two images of one id; remove one"),
            ([image(), image(key=2)], "labels.json lists two images of one file_name; remove one"),
            ([image(), {"id": 3}], "labels.json: image 3 has no file_name; give it one"),
            ([image(width="wide")], "labels.json: image 1 has the width 'wide', which is no number of pixels"),
            ([image(width=-1)], "labels.json: image 1 has the width -1, which is no number of pixels"),
            ([image(), 5], "labels.json: images[1] is not an object; mend the file"),
        ],
    )
    def test_an_image_that_is_wrong(self, folder: Path, images: list[Any], sentence: str) -> None:
        assert refusal(folder, coco(folder, images=images)).startswith(sentence)

    def test_a_class_outside_the_label_set(self, folder: Path) -> None:
        file = coco(folder, annotation(), categories=[{"id": 7, "name": "catt"}])
        assert refusal(folder, file) == "labels.json: label 'catt' is not in the label set; did you mean 'cat'?"

    def test_boxes_for_a_classifier(self, folder: Path) -> None:
        assert refusal(folder, coco(folder, annotation()), task=Task.CLASSIFY) == (
            "labels.json tells of boxes, and the task 'classify' needs a class for each image; "
            "give a CSV or Parquet manifest with the column 'label' instead"
        )

    def test_results_of_a_model(self, folder: Path) -> None:
        assert "lists no images" in refusal(folder, write_json(folder / "r.json", [annotation(score=1)]))

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"images": [{"id": 1', b'{"images": [NaN]}'])
    def test_bytes_that_are_no_coco_file(self, folder: Path, raw: bytes) -> None:
        (folder / "x.json").write_bytes(raw)
        sentence = refusal(folder, folder / "x.json")
        assert sentence.startswith(("x.json cannot be read as a COCO file (", "x.json lists no images;"))

    @pytest.mark.parametrize("raw", [b"[" * 200_000, b'{"images": [' + b'{"a":' * 200])
    def test_a_file_that_nests_too_deep(self, folder: Path, raw: bytes) -> None:
        (folder / "x.json").write_bytes(raw)
        assert refusal(folder, folder / "x.json").startswith("x.json nests too deep or has too long a text")

    def test_brackets_in_texts_nest_nothing(self, folder: Path) -> None:
        file = coco(folder, annotation(), info=["[" * 500 + chr(34) + chr(92)] * 3)
        store, _ = bring_in(folder / "images", file)
        assert truths(store)["a.png"] is not None

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        assert refusal(folder, folder / "x.json") == "there is no x.json; check the path of the labels"

    def test_labels_of_other_images(self, folder: Path) -> None:
        sentence = refusal(folder, coco(folder, images=[image("elsewhere/a.png")]))
        assert sentence == (
            "labels.json has a label for none of the images of images; "
            "name the folder that the labels' paths start from"
        )

    def test_anything_is_read_or_refused_in_a_sentence(self, folder: Path) -> None:
        odd = st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["counts", "size"]), inner),
            max_leaves=6,
        )
        drawn = st.dictionaries(st.sampled_from([*annotation(), "segmentation"]), odd, max_size=3)
        seen = st.dictionaries(st.sampled_from([*image()]), odd, max_size=2)
        good = {"segmentation": [[10, 10, 30, 10, 30, 40]]}
        read = []

        @settings(max_examples=150)
        @example(one=good, shown={})
        @given(one=drawn, shown=seen)
        def look(one: dict[str, Any], shown: dict[str, Any]) -> None:
            with suppress(BadManifest, BadLabel):
                document = coco(folder, annotation(**one), images=[image(**shown)])
                store, _ = bring_in(folder / "images", document, task=Task.SEGMENT)
                read.append((one, dict(store.aside)))

        look()
        assert read[0] == (good, {})
