"""Pieces of a list, in order and of the size asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.pieces import IMAGES, in_pieces


@pytest.mark.parametrize(("rows", "pieces"), [("", []), ("ab", ["ab"]), ("abc", ["abc"]), ("abcd", ["abc", "d"])])
def test_the_last_piece_is_what_is_left(rows: str, pieces: list[str]) -> None:
    assert list(in_pieces(rows, 3)) == pieces


@given(st.lists(st.integers()), st.integers(1, 10))
def test_together_they_are_the_rows(rows: list[int], most: int) -> None:
    assert [row for some in in_pieces(rows, most) for row in some] == rows


def test_unless_told_otherwise_they_are_images_whose_boxes_fit_into_memory() -> None:
    assert [len(some) for some in in_pieces(range(IMAGES + 1))] == [IMAGES, 1]
