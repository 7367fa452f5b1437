"""Images and their labels as one source: what is guessed, and which images it is about."""

from pathlib import Path

import pytest

from alloop.errors import BadManifest
from alloop.nouns import Box, Content, Split
from alloop.pool import Cause
from tests.formats.made import bring_in, picture, reasons, truths, write, write_json

BOX = Box("cat", 30, 20, 70, 60)
LINE = "0 0.5 0.5 0.4 0.5"
XML = (
    "<annotation><object><name>cat</name><bndbox><xmin>31</xmin><ymin>21</ymin><xmax>70</xmax><ymax>60</ymax></bndbox>"
    "</object></annotation>"
)


def coco(*names: str) -> dict[str, object]:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [{"image_id": number, "category_id": 1, "bbox": [30, 20, 40, 40]} for number in range(len(names))]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.png")
    return tmp_path


def refusal(images: Path, annotations: Path, **how: object) -> str:
    with pytest.raises(BadManifest) as caught:
        bring_in(images, annotations, **how)  # type: ignore[arg-type]
    return str(caught.value)


class TestGuess:
    def test_a_json_file_is_coco(self, folder: Path) -> None:
        store, _ = bring_in(folder / "images", write_json(folder / "x.json", coco("a.png")))
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_a_folder_of_text_files_is_yolo(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", LINE)
        store, _ = bring_in(folder / "images", folder / "x")
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_a_folder_of_xml_files_is_voc(self, folder: Path) -> None:
        write(folder / "x" / "a.xml", XML)
        store, _ = bring_in(folder / "images", folder / "x")
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_a_stated_format_wins(self, folder: Path) -> None:
        write(folder / "x" / "a.xml", XML)
        write(folder / "x" / "a.txt")
        store, _ = bring_in(folder / "images", folder / "x", kind="yolo")
        assert truths(store)["a.png"] == Content()

    def test_a_coco_file_of_any_name(self, folder: Path) -> None:
        store, _ = bring_in(folder / "images", write_json(folder / "x.labels", coco("a.png")), kind="coco")
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_hidden_files_say_nothing(self, folder: Path) -> None:
        write(folder / "x" / ".a.xml", XML)
        write(folder / "x" / "a.txt", LINE)
        store, _ = bring_in(folder / "images", folder / "x")
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_an_empty_folder(self, folder: Path) -> None:
        (folder / "x").mkdir()
        assert refusal(folder / "images", folder / "x").startswith(f"{folder}/x holds neither .xml nor .txt files;")

    def test_an_unknown_file(self, folder: Path) -> None:
        file = write(folder / "x.bin")
        assert refusal(folder / "images", file) == (
            f"{file} is no format that is known by its name; add --format coco, yolo or voc"
        )

    def test_nothing(self, folder: Path) -> None:
        assert refusal(folder / "images", folder / "x") == f"there is no {folder}/x; check the path of the labels"


class TestImages:
    def test_a_relative_folder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        write(folder / "x" / "a.txt", LINE)
        store, _ = bring_in(Path("x/../images"), Path("x"))
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_a_missing_folder(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", LINE)
        assert refusal(folder / "none", folder / "x") == f"there is no {folder}/none; check the path"

    def test_labels_of_nothing_that_is_there(self, folder: Path) -> None:
        write(folder / "x" / "b.txt", LINE)
        assert refusal(folder / "images", folder / "x") == (
            f"{folder}/x has a label for none of the images of {folder}/images; "
            "name the folder that the labels' paths start from"
        )

    def test_a_manifest_gives_groups_and_splits(self, folder: Path) -> None:
        path = picture(folder / "images" / "b.png")
        manifest = write(folder / "images" / "m.csv", "uri,group,split", "a.png,clip,pool", "b.png,,holdout")
        store, _ = bring_in(manifest, write_json(folder / "x.json", coco("a.png", "b.png")))
        assert store.found[path].sample.split is Split.HOLDOUT
        assert store.found[f"{folder}/images/a.png"].sample.group == "clip"
        assert truths(store) == {"a.png": Content(boxes=(BOX,)), "b.png": Content(boxes=(BOX,))}

    def test_a_manifest_says_which_images_it_is_about(self, folder: Path) -> None:
        picture(folder / "images" / "b.png")
        manifest = write(folder / "images" / "m.csv", "uri", "a.png")
        store, _ = bring_in(manifest, write_json(folder / "x.json", coco("a.png", "b.png")))
        assert list(truths(store)) == ["a.png"]

    def test_a_listed_image_in_the_holdout_that_is_not_there(self, folder: Path) -> None:
        picture(folder / "images" / "val" / "b.png")
        file = write_json(folder / "x.json", coco("a.png", "val/b.png", "val/gone.png"))
        store, _ = bring_in(folder / "images", file, holdout="val")
        assert list(reasons(store)) == ["gone.png"]

    @pytest.mark.parametrize("name", [b"\xff.png"])
    def test_a_name_that_is_not_text_is_set_aside(self, folder: Path, name: bytes) -> None:
        Path(str(folder / "images").encode().decode(), name.decode(errors="surrogateescape")).write_bytes(b"x")
        _, added = bring_in(folder / "images", write_json(folder / "x.json", coco("a.png")))
        assert added.aside == {Cause.BAD_IMAGE: 1}


class TestAgain:
    def test_the_same_labels_change_nothing(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", LINE)
        store, _ = bring_in(folder / "images", folder / "x")
        _, again = bring_in(folder / "images", folder / "x", store=store)
        assert (again.added, again.unchanged, again.aside) == (0, 1, {})

    def test_the_same_in_another_format_changes_nothing(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", "0 0.50001 0.5 0.4 0.5")
        store, _ = bring_in(folder / "images", folder / "x")
        _, again = bring_in(folder / "images", write_json(folder / "x.json", coco("a.png")), store=store)
        assert again.unchanged == 1

    def test_other_labels_do_not_vanish_silently(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", LINE)
        store, _ = bring_in(folder / "images", folder / "x")
        write(folder / "x" / "a.txt", "1 0.5 0.5 0.4 0.5")
        bring_in(folder / "images", folder / "x", store=store)
        assert reasons(store)["a.png"] == (
            "is known with label [cat 30,20-70,60], group None and split 'pool', and now comes with "
            "[dog 30,20-70,60], None and 'pool'; the first stands, start a new project to change it"
        )

    def test_a_label_that_came_to_fit_no_more(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", LINE)
        store, _ = bring_in(folder / "images", folder / "x")
        write(folder / "x" / "a.txt", "0 0.5 0.5 4 0.5")
        _, again = bring_in(folder / "images", folder / "x", store=store)
        assert again.aside == {Cause.BAD_LABEL: 1}
        assert truths(store)["a.png"] == Content(boxes=(BOX,))

    def test_a_mended_label_joins(self, folder: Path) -> None:
        write(folder / "x" / "a.txt", "0 0.5 0.5 4 0.5")
        store, _ = bring_in(folder / "images", folder / "x")
        write(folder / "x" / "a.txt", LINE)
        _, again = bring_in(folder / "images", folder / "x", store=store)
        assert (again.added, store.aside) == (1, {})
