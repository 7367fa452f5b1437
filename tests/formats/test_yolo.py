"""YOLO files as labels of a pool."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alloop.errors import BadLabel, BadManifest
from alloop.nouns import Box, Content, Split, Task
from alloop.pool import Cause
from tests.formats.made import bring_in, picture, reasons, truths, write

CAT = Content(boxes=(Box("cat", 30, 20, 70, 60),))
DOG = Content(boxes=(Box("dog", 30, 20, 70, 60),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.png")
    return tmp_path


def label(folder: Path, *lines: str, task: Task = Task.DETECT) -> Content | None:
    write(folder / "labels" / "a.txt", *lines)
    store, _ = bring_in(folder / "images", folder / "labels", task=task)
    assert not store.aside
    return truths(store)["a.png"]


def refusal(folder: Path, annotations: str = "labels", **how: object) -> str:
    with pytest.raises((BadManifest, BadLabel)) as caught:
        bring_in(folder / "images", folder / annotations, **how)  # type: ignore[arg-type]
    return str(caught.value).replace(f"{folder}/", "")


class TestLines:
    def test_a_box_in_shares_of_the_image(self, folder: Path) -> None:
        assert label(folder, "0 0.5 0.5 0.4 0.5") == CAT

    def test_the_class_may_be_written_as_a_float(self, folder: Path) -> None:
        assert label(folder, "1.0 0.5 0.5 0.4 0.5") == DOG

    def test_an_empty_file_says_that_nothing_is_there(self, folder: Path) -> None:
        assert label(folder) == Content()

    def test_blank_lines_are_no_trouble(self, folder: Path) -> None:
        assert label(folder, "", "0 0.5 0.5 0.4 0.5", " ") == CAT

    def test_a_missing_file_says_nothing(self, folder: Path) -> None:
        picture(folder / "images" / "b.png")
        write(folder / "labels" / "a.txt")
        store, added = bring_in(folder / "images", folder / "labels")
        assert truths(store) == {"a.png": Content(), "b.png": None}
        assert added.labelled == 1

    def test_an_outline(self, folder: Path) -> None:
        triangle = ((10.0, 8.0), (50.0, 8.0), (50.0, 40.0))
        found = label(folder, "1 0.1 0.1 0.5 0.1 0.5 0.5", task=Task.SEGMENT)
        assert found == Content(boxes=(Box("dog", 10, 8, 50, 40, triangle),))

    def test_a_detector_gets_the_box_around_an_outline(self, folder: Path) -> None:
        assert label(folder, "1 0.1 0.1 0.5 0.1 0.5 0.5") == Content(boxes=(Box("dog", 10, 8, 50, 40),))

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            ("0 0.5 0.5 0.4", "has 3 numbers after the class; a box has 4, an outline 6 or more in pairs"),
            ("0 0.5 0.5 0.4 0.5 0.6 0.7 0.8", "has 7 numbers after the class; a box has 4"),
            ("0 0.5 0.5 0.4 0.5 0.99", "has a confidence, so a model has made it; only people's labels are added"),
            ("cat 0.5 0.5 0.4 0.5", ": 'cat 0.5 0.5 0.4 0.5' is not a class number and shares of the image; mend it"),
            ("0 0.5 nan 0.4 0.5", ": '0 0.5 nan 0.4 0.5' has a number that is not finite; mend it"),
            ("2 0.5 0.5 0.4 0.5", "has the class 2, and known are 0 to 1; name it in data.yaml"),
            ("-1 0.5 0.5 0.4 0.5", "has the class -1, and known are 0 to 1; name it in data.yaml"),
            ("0.5 0.5 0.5 0.4 0.5", "has the class 0.5, and known are 0 to 1; name it in data.yaml"),
            ("nan 0.5 0.5 0.4 0.5", "has the class nan, and known are 0 to 1; name it in data.yaml"),
        ],
    )
    def test_a_wrong_line_refuses_the_whole(self, folder: Path, line: str, sentence: str) -> None:
        write(folder / "labels" / "a.txt", "0 0.5 0.5 0.4 0.5", line)
        assert refusal(folder).removeprefix("labels/a.txt, line 2").lstrip().startswith(sentence)

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("0 0.5 0.5 1.2 0.5", "reaches 10.0 px out of the image of 100 x 80 pixels; mend it"),
            ("0 0.5 0.5 0 0.5", "has no area, from (50, 20) to (50, 60); mend or remove it"),
            ("0 50 40 20 20", "reaches 5900.0 px out of the image"),
        ],
    )
    def test_a_box_that_does_not_fit_sets_its_image_aside(self, folder: Path, line: str, reason: str) -> None:
        file = write(folder / "labels" / "a.txt", line)
        store, added = bring_in(folder / "images", folder / "labels")
        assert added.aside == {Cause.BAD_LABEL: 1}
        assert reasons(store)["a.png"].startswith(f"has a label that cannot be used: {file}, line 1 {reason}")

    def test_a_file_that_is_no_text(self, folder: Path) -> None:
        write(folder / "labels" / "a.txt").write_bytes(b"\xff\xfe0")
        assert refusal(folder).startswith("labels/a.txt cannot be read ('utf-8' codec can't decode byte 0xff")

    def test_a_file_that_is_huge(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("alloop.formats.files.MAX_BYTES", 10)
        write(folder / "labels" / "a.txt", "0 0.5 0.5 0.4 0.5")
        assert refusal(folder) == "labels/a.txt has more than 10 bytes; that is no label file, remove it"

    def test_a_folder_that_is_called_like_a_file(self, folder: Path) -> None:
        write(folder / "labels" / "b.txt")
        (folder / "labels" / "a.txt").mkdir()
        assert refusal(folder) == "labels/a.txt is not a file; name a text file"

    def test_any_text_is_read_or_refused_in_a_sentence(self, folder: Path) -> None:
        good, read = "0 0.5 0.5 0.4 0.5\n", []

        @settings(max_examples=150)
        @example(text=good)
        @given(text=st.text(st.sampled_from("01 .-e\nna\u2028"), max_size=40))
        def look(text: str) -> None:
            write(folder / "labels" / "a.txt").write_text(text, encoding="utf-8")
            with suppress(BadManifest, BadLabel):
                bring_in(folder / "images", folder / "labels")
                read.append(text)

        look()
        assert read[0] == good


class TestNames:
    @pytest.mark.parametrize("names", ["[dog, cat]", "{0: dog, 1: cat}"])
    def test_data_yaml_says_what_the_numbers_mean(self, folder: Path, names: str) -> None:
        write(folder / "data.yaml", f"names: {names}")
        write(folder / "labels" / "a.txt", "0 0.5 0.5 0.4 0.5")
        store, _ = bring_in(folder / "images", folder / "data.yaml")
        assert truths(store)["a.png"] == DOG

    @pytest.mark.parametrize("below", ["labels", "labels/train"])
    def test_it_is_found_above_the_labels(self, folder: Path, below: str) -> None:
        write(folder / "data.yaml", "names: [dog, cat]")
        write(folder / below / "a.txt", "0 0.5 0.5 0.4 0.5")
        store, _ = bring_in(folder / "images", folder / below)
        assert truths(store)["a.png"] == DOG

    def test_it_is_not_sought_above_other_folders(self, folder: Path) -> None:
        write(folder / "data.yaml", "names: [dog, cat]")
        write(folder / "mine" / "a.txt", "0 0.5 0.5 0.4 0.5")
        store, _ = bring_in(folder / "images", folder / "mine")
        assert truths(store)["a.png"] == CAT

    def test_classes_txt_says_it_too(self, folder: Path) -> None:
        write(folder / "labels" / "classes.txt", "dog", "cat")
        assert label(folder, "0 0.5 0.5 0.4 0.5") == DOG

    def test_a_name_outside_the_label_set_is_refused_where_it_is_used(self, folder: Path) -> None:
        write(folder / "data.yaml", "names: [cat, doog]")
        write(folder / "labels" / "a.txt", "1 0.5 0.5 0.4 0.5")
        assert refusal(folder) == "labels/a.txt: label 'doog' is not in the label set; did you mean 'dog'?"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("names: [cat", "data.yaml cannot be read as YAML ("),
            ("[" * 3000, "data.yaml cannot be read as YAML ("),
            ("cat", "data.yaml has no list 'names' of the classes; add it"),
            ("names: []", "data.yaml has no list 'names' of the classes; add it"),
            ("names: {cat: 0}", "data.yaml has no list 'names' of the classes; add it"),
            ("names: [yes]", "data.yaml: class 0 is called 'True'; put its name in quotes"),
            ("names: !!python/object/apply:os.getcwd []", "data.yaml cannot be read as YAML ("),
        ],
    )
    def test_a_data_yaml_that_is_none(self, folder: Path, text: str, sentence: str) -> None:
        write(folder / "data.yaml", text)
        assert refusal(folder, "data.yaml").startswith(sentence)

    def test_names_may_be_numbers(self, folder: Path) -> None:
        write(folder / "data.yaml", "names: [7, 8]")
        write(folder / "labels" / "a.txt", "1 0.5 0.5 0.4 0.5")
        store, _ = bring_in(folder / "images", folder / "data.yaml", labels=("7", "8"))
        assert truths(store)["a.png"] == Content(boxes=(Box("8", 30, 20, 70, 60),))


class TestPlaces:
    """Where the label file of an image is looked for."""

    LINE = "0 0.5 0.5 0.4 0.5"

    def test_below_the_labels_as_the_image_is_below_the_images(self, tmp_path: Path) -> None:
        picture(tmp_path / "in" / "x" / "a.png")
        write(tmp_path / "out" / "x" / "a.txt", self.LINE)
        store, _ = bring_in(tmp_path / "in", tmp_path / "out")
        assert truths(store)["a.png"] == CAT

    def test_beside_the_image(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png")
        write(tmp_path / "a.txt", self.LINE)
        store, _ = bring_in(tmp_path, tmp_path)
        assert truths(store)["a.png"] == CAT

    def test_in_labels_as_the_image_is_in_images(self, tmp_path: Path) -> None:
        picture(tmp_path / "images" / "train" / "a.png")
        write(tmp_path / "labels" / "train" / "a.txt", self.LINE)
        write(tmp_path / "data.yaml", "names: [cat]")
        store, _ = bring_in(tmp_path / "images", tmp_path)
        assert truths(store)["a.png"] == CAT

    def test_nowhere_else_when_their_folder_is_named(self, tmp_path: Path) -> None:
        for name in "ab":
            picture(tmp_path / "images" / f"{name}.png")
            write(tmp_path / "labels" / f"{name}.txt", self.LINE)
        write(tmp_path / "labels" / "mended" / "a.txt")
        write(tmp_path / "data.yaml", "names: [cat]")
        store, _ = bring_in(tmp_path / "images", tmp_path / "labels" / "mended")
        assert truths(store) == {"a.png": Content(), "b.png": None}

    def test_as_roboflow_has_it(self, tmp_path: Path) -> None:
        picture(tmp_path / "train" / "images" / "a.png")
        write(tmp_path / "train" / "labels" / "a.txt", self.LINE)
        write(tmp_path / "data.yaml", "names: [cat]")
        store, _ = bring_in(tmp_path, tmp_path / "data.yaml")
        assert truths(store)["a.png"] == CAT


class TestSplits:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for split in ("train", "val"):
            picture(tmp_path / "images" / split / f"{split}.png")
            write(tmp_path / "labels" / split / f"{split}.txt")
        return tmp_path

    def held(self, root: Path, *lines: str, holdout: str = "val") -> list[str]:
        write(root / "data.yaml", "names: [cat]", *lines)
        store, _ = bring_in(root / "images", root / "data.yaml", holdout=holdout)
        return [Path(uri).name for uri, one in store.found.items() if one.sample.split is Split.HOLDOUT]

    @pytest.mark.parametrize(
        "lines",
        [
            ("val: images/val",),
            ("val: [images/val]",),
            ("val: ../images/val",),
            ("path: images", "val: val"),
            ("path: ./images/../images", "val: ./val/"),
        ],
    )
    def test_a_folder_of_data_yaml_measures(self, root: Path, lines: tuple[str, ...]) -> None:
        assert self.held(root, *lines) == ["val.png"]

    @pytest.mark.parametrize("path", ["images/val/val.png", "./images/val/val.png", "val/val.png"])
    def test_a_list_of_images_measures(self, root: Path, path: str) -> None:
        write(root / "val.txt", path)
        more = ("path: images", "val: ../val.txt") if path.startswith("val") else ("val: val.txt",)
        assert self.held(root, *more) == ["val.png"]

    def test_a_folder_by_its_name_measures(self, root: Path) -> None:
        assert self.held(root) == ["val.png"]

    def test_the_images_own_folder_by_its_name_measures(self, root: Path) -> None:
        store, _ = bring_in(root / "images" / "val", root / "labels" / "val", holdout="val")
        assert [one.sample.split for one in store.found.values()] == [Split.HOLDOUT]

    def test_a_folder_above_the_images_is_no_split(self, root: Path) -> None:
        write(root / "data.yaml", "names: [cat]")
        sentence = refusal(root, "data.yaml", holdout=root.name)
        assert sentence.startswith(f"no image of images is in the split {root.name!r}; name an entry")

    def test_a_list_outside_the_data_set_is_not_read(self, root: Path) -> None:
        write(root / "data.yaml", "names: [cat]", "val: ../../secret.txt")
        assert "names '../../secret.txt', which is not inside" in refusal(root, "data.yaml", holdout="val")

    @pytest.mark.parametrize("value", ["5", "{a: b}", "[5]"])
    def test_a_split_that_is_none(self, root: Path, value: str) -> None:
        write(root / "data.yaml", "names: [cat]", f"val: {value}")
        sentence = refusal(root, "data.yaml", holdout="val")
        assert sentence.startswith("data.yaml: val is ")
        assert sentence.endswith("; write a folder, a .txt file or a list of them")
