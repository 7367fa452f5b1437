"""Pascal VOC files as labels of a pool."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alloop.errors import BadLabel, BadManifest
from alloop.nouns import Box, Content
from tests.formats.made import bring_in, picture, reasons, truths, write

SIZE = "<size><width>100</width><height>80</height><depth>3</depth></size>"
CORNERS = "<xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>40</ymax>"
CAT = f"<object><name>cat</name><bndbox>{CORNERS}</bndbox></object>"
BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>'
SECRET = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "images" / "a.jpg")
    return tmp_path


def xml(folder: Path, inside: str, *, before: str = "") -> Path:
    return write(folder / "xml" / "a.xml", f"{before}<annotation><filename>../../b.jpg</filename>{inside}</annotation>")


def label(folder: Path, inside: str) -> Content | None:
    xml(folder, inside)
    store, _ = bring_in(folder / "images", folder / "xml")
    assert not store.aside
    return truths(store)["a.jpg"]


def refusal(folder: Path) -> str:
    with pytest.raises((BadManifest, BadLabel)) as caught:
        bring_in(folder / "images", folder / "xml")
    return str(caught.value).replace(f"{folder}/", "")


def test_pixels_count_from_one_and_the_last_is_inside(folder: Path) -> None:
    assert label(folder, SIZE + CAT) == Content(boxes=(Box("cat", 10, 20, 30, 40),))


def test_a_whole_image(folder: Path) -> None:
    corners = "<xmin>1</xmin><ymin>1</ymin><xmax>100</xmax><ymax>80</ymax>"
    assert label(folder, SIZE + CAT.replace(CORNERS, corners)) == Content(boxes=(Box("cat", 0, 0, 100, 80),))


def test_tools_that_count_from_zero_are_cut_off_at_the_edge(folder: Path) -> None:
    corners = "<xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9.5</ymax>"
    assert label(folder, SIZE + CAT.replace(CORNERS, corners)) == Content(boxes=(Box("cat", 0, 0, 9, 9.5),))


def test_a_file_without_objects_says_that_nothing_is_there(folder: Path) -> None:
    assert label(folder, SIZE) == Content()


def test_an_image_without_a_file_is_unlabelled(folder: Path) -> None:
    picture(folder / "images" / "b.jpg")
    xml(folder, SIZE)
    store, _ = bring_in(folder / "images", folder / "xml")
    assert truths(store)["b.jpg"] is None


def test_parts_of_an_object_are_no_objects(folder: Path) -> None:
    part = CAT.replace("object", "part").replace("cat", "paw")
    found = label(folder, SIZE + CAT.replace("</object>", f"{part}</object>"))
    assert found == Content(boxes=(Box("cat", 10, 20, 30, 40),))


@pytest.mark.parametrize("size", ["", SIZE.replace("100", "0").replace("80", "0")])
def test_the_size_need_not_be_known(folder: Path, size: str) -> None:
    assert label(folder, size + CAT) == Content(boxes=(Box("cat", 10, 20, 30, 40),))


def test_another_size_sets_the_image_aside(folder: Path) -> None:
    file = xml(folder, SIZE.replace("100", "640") + CAT)
    store, _ = bring_in(folder / "images", folder / "xml")
    assert reasons(store)["a.jpg"] == (
        f"has a label that cannot be used: {file} speaks of 640 x 80 pixels, and the image has 100 x 80 when upright; "
        "put those together that belong together"
    )


def test_a_box_that_does_not_fit_sets_the_image_aside(folder: Path) -> None:
    file = xml(folder, SIZE + CAT + CAT.replace("30", "300"))
    store, _ = bring_in(folder / "images", folder / "xml")
    assert reasons(store)["a.jpg"].startswith(f"has a label that cannot be used: {file}, object 2 reaches 200.0 px out")


@pytest.mark.parametrize("before", [BOMB, SECRET, "<!DOCTYPE annotation>"])
def test_a_document_type_is_refused(folder: Path, before: str) -> None:
    xml(folder, SIZE + CAT.replace("cat", "&x;" if "ENTITY" in before else "cat"), before=before)
    assert refusal(folder).startswith("xml/a.xml cannot be read as XML (")


@pytest.mark.parametrize(
    ("inside", "sentence"),
    [
        ("<object>", "xml/a.xml cannot be read as XML (mismatched tag"),
        (CAT.replace("<name>cat</name>", ""), "xml/a.xml has a <object> without <name>; add it"),
        (CAT.replace("<xmin>11</xmin>", ""), "xml/a.xml has a <bndbox> without <xmin>; add it"),
        (CAT.replace("11", "x"), "xml/a.xml: <xmin> is 'x' and no number; mend it"),
        (CAT.replace("bndbox", "box"), "xml/a.xml has an object without <bndbox>; add it or remove the object"),
        (CAT.replace("cat", "catt"), "xml/a.xml: label 'catt' is not in the label set; did you mean 'cat'?"),
    ],
)
def test_a_wrong_file_refuses_the_whole(folder: Path, inside: str, sentence: str) -> None:
    xml(folder, inside)
    assert refusal(folder).startswith(sentence)


def test_other_xml_is_refused(folder: Path) -> None:
    write(folder / "xml" / "a.xml", "<svg/>")
    assert refusal(folder) == "xml/a.xml holds <svg> and no <annotation>; it is no Pascal VOC file, remove it"


def test_any_document_is_read_or_refused_in_a_sentence(folder: Path) -> None:
    good, read = f"<annotation>{SIZE}{CAT}</annotation>", []

    @settings(max_examples=100)
    @example(changes={})
    @given(changes=st.dictionaries(st.integers(0, len(good) - 1), st.sampled_from("<>/&;x0 \u00e9"), max_size=4))
    def look(changes: dict[int, str]) -> None:
        text = "".join(changes.get(place, letter) for place, letter in enumerate(good))
        write(folder / "xml" / "a.xml", text)
        with suppress(BadManifest, BadLabel):
            bring_in(folder / "images", folder / "xml")
            read.append(text)

    look()
    assert read[0] == good
