"""How large an image is, whatever its file says of how it is turned."""

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alloop.images import decode, header_size, measure

SHORT, TEXT, BYTES, RATIONAL = 3, 2, 1, 5
SIDEWAYS = (5, 6, 7, 8)


def jpeg(kind, value, *, count=1):
    """A JPEG of 40 x 30 pixels whose EXIF orientation is of this TIFF type."""
    far = value if len(value) > 4 else b""
    place = struct.pack("<I", 26) if far else value.ljust(4, b"\0")
    entry = struct.pack("<HHI", 0x0112, kind, count) + place
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0) + far
    file = BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def sizes(raw, folder):
    """What its three readers make of one file."""
    (folder / "image").write_bytes(raw)
    return decode(raw, "image").size, measure(raw, "image"), header_size(folder / "image")


@pytest.mark.parametrize("orientation", range(11))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientations_5_to_8_swap_the_sides_and_others_do_not(tmp_path, format, orientation):
    file, exif = BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 30)).save(file, format, exif=exif)
    assert set(sizes(file.getvalue(), tmp_path)) == {(30, 40) if orientation in SIDEWAYS else (40, 30)}


@pytest.mark.parametrize(
    ("kind", "value"),
    [(TEXT, b"6\0"), (TEXT, b"sideways\0"), (BYTES, b""), (SHORT, b"\xff\xff"), (RATIONAL, struct.pack("<II", 6, 0))],
)
def test_an_orientation_that_is_no_such_number_turns_nothing(tmp_path, kind, value):
    assert set(sizes(jpeg(kind, value, count=max(1, len(value) if kind == TEXT else 1)), tmp_path)) == {(40, 30)}


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Metadata Warning")  # Pillow goes on
@given(kind=st.integers(1, 12), value=st.binary(min_size=4, max_size=4))
def test_all_readers_agree_whatever_an_orientation_is(tmp_path_factory, kind, value):
    folder = tmp_path_factory.mktemp("turned")
    assert len(set(sizes(jpeg(kind, value), folder))) == 1


def test_what_is_no_image_has_no_size(tmp_path):
    (tmp_path / "text").write_text("text")
    assert header_size(tmp_path / "text") is None
    assert header_size(tmp_path / "none") is None
