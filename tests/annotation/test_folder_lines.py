"""Which of several lines about one sample counts, and what becomes of a line that is not finished."""

import json
import os
import re
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alloop.annotation.answers import STILL_WRITING_S
from alloop.annotation.folder import FolderTool
from alloop.nouns import Lane, Task
from alloop.testing.annotation_contract import LABELS, make_batch


class Desk:
    """A batch in a folder, and what its reader knows of each annotation by now."""

    def __init__(self, home, **first):
        batch = make_batch(home, 3)
        self.tool = FolderTool(home / "annotation", labels=LABELS, task=Task.CLASSIFY)
        self.tool.push(replace(batch, items=(replace(batch.items[0], **first), *batch.items[1:])))
        self.file = home / "annotation" / "batch-0003" / "labels.jsonl"
        self.sample, self.cursor, self.known, self.times = batch.items[0].sample.id, "", {}, 0

    def line(self, annotator, label, **more):
        return json.dumps(
            {"sample": self.sample, "label": label} | more | ({"annotator": annotator} if annotator else {})
        )

    def read(self, *lines, end="\n"):
        """Read the folder after these lines were written; who says what, the newest last, and what it tells of refusals."""
        self.file.write_text("\n".join(lines) + end)
        return self.look()

    def look(self):
        changes = self.tool.changed_since(self.cursor)
        self.cursor = changes.cursor
        self.known |= {label.ref: label for label in changes.labels}
        there = [label for ref, label in self.known.items() if ref in changes.present]
        ordered = sorted(there, key=lambda label: (label.updated_at, label.ref))
        return [(label.annotator, label.content.class_name) for label in ordered], changes

    def grow_old(self, seconds):
        then = time.time() - seconds
        os.utime(self.file, (then, then))


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.mark.parametrize(("first", "second"), [("kim", "amy"), ("amy", "kim"), (None, "zoe"), ("zoe", None)])
def test_the_last_line_counts_whoever_wrote_it(desk, first, second):
    said, _ = desk.read(desk.line(first, "cat"), desk.line(second, "dog"))
    assert [label for _, label in said] == ["cat", "dog"]


def test_the_last_line_counts_whatever_time_it_tells(desk):
    late, early = "2026-01-31T12:00:00Z", "2026-01-31T11:00:00Z"
    said, _ = desk.read(desk.line("kim", "cat", updated_at=late), desk.line("amy", "dog", updated_at=early))
    assert said[-1] == ("amy", "dog")


def test_an_earlier_line_that_is_changed_does_not_become_the_last_one(desk):
    desk.read(desk.line("kim", "cat"), desk.line("amy", "dog"))
    said, _ = desk.read(desk.line("kim", "dog"), desk.line("amy", "dog"))
    assert said == [("kim", "dog"), ("amy", "dog")]


def test_what_did_not_change_is_not_told_again(desk):
    desk.read(desk.line("kim", "cat"), desk.line("amy", "dog"))
    assert desk.look()[1].labels == ()


def test_of_several_people_who_are_asked_a_change_of_one_tells_nothing_of_the_others(tmp_path):
    desk = Desk(tmp_path, annotators=2)
    desk.read(desk.line("kim", "cat"), desk.line("amy", "dog"))
    _, changes = desk.read(desk.line("kim", "dog"), desk.line("amy", "dog"))
    assert [label.annotator for label in changes.labels] == ["kim"]


@pytest.mark.parametrize("asked", [{"annotators": 2}, {"lane": Lane.RELABEL}])
def test_of_several_people_who_are_asked_each_keeps_an_own_last_line(tmp_path, asked):
    desk = Desk(tmp_path, **asked)
    said, _ = desk.read(desk.line("kim", "cat"), desk.line("amy", "dog"), desk.line("kim", "dog"))
    assert sorted(said) == [("amy", "dog"), ("kim", "dog")]


FILES = st.lists(
    st.lists(
        st.tuples(st.sampled_from([None, "amy", "kim", "zoe"]), st.sampled_from(LABELS[:2])), min_size=1, max_size=4
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@example([[("kim", "cat"), ("amy", "dog")], [("amy", "dog"), ("kim", "cat")]])
@given(FILES)
def test_after_any_edits_the_last_line_counts(files):
    with tempfile.TemporaryDirectory() as home:
        desk = Desk(Path(home))
        for lines in files:
            said, _ = desk.read(*(desk.line(*line) for line in lines))
            assert said[-1] == (lines[-1][0] or "folder", lines[-1][1])


def test_half_a_line_is_refused_once_nobody_goes_on_and_read_when_it_is_whole(desk):
    line = desk.line("kim", "cat")
    assert desk.read(line[:30], end="")[1].refused == ()
    desk.grow_old(STILL_WRITING_S + 5)
    _, changes = desk.look()
    assert [refusal.where for refusal in changes.refused] == ["batch-0003/labels.jsonl:1"]
    assert "is not JSON" in changes.refused[0].reason
    said, changes = desk.read(line, end="")
    assert (said, changes.refused) == ([("kim", "cat")], ())
    assert changes.is_mended("batch-0003/labels.jsonl:1")


def page(desk):
    return re.sub(r"\s+", " ", (desk.file.parent / "README.txt").read_text())


def test_the_page_for_annotators_says_whose_line_counts(desk):
    assert "the last one counts, whoever wrote the two and whatever time they tell" in page(desk)
    assert "everybody's own last line counts" in page(desk)


def test_the_page_for_annotators_does_not_promise_that_a_skipped_image_comes_back(desk):
    assert "it counts as unclear, and the image leaves the pool for good as well" in page(desk)
    assert "not now" not in page(desk)
