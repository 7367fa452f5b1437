import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from alloop.annotation.answers import STILL_WRITING_S, Sheet, read_answers
from alloop.annotation.folder import FolderTool
from alloop.nouns import Batch, BatchItem, Box, Content, Lane, Sample, Task

A, B = "a" * 64, "b" * 64
GOOD = {"sample": A, "label": "cat"}


def sheet(task=Task.CLASSIFY, size=(100, 50)):
    refs = {f"batch-0003/{id[:12]}": id for id in (A, B)}
    return Sheet(task, ("cat", "dog"), samples=refs, size_of=lambda sample: size)


def reason(line, task=Task.CLASSIFY):
    """Why this line, between two good ones, is refused."""
    good = GOOD if task is Task.CLASSIFY else {"sample": A, "boxes": []}
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    answers, refused = read_answers(
        b"\n".join([json.dumps(good).encode(), text, json.dumps(good).encode()]), sheet(task), age_s=0.0
    )
    assert len(answers) == 2
    ((number, why),) = refused
    assert number == 2
    return why


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"cat", r'"cat" is not JSON .*; mend the line'),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"3", "3 is not a JSON object; write"),
        ({"label": "cat"}, r"'sample' is missing in .*; add it"),
        (GOOD | {"sample": "c" * 64}, r'sample "ccc.* is not in this batch; take the sample from its tasks'),
        (GOOD | {"sample": A[:11]}, "is not in this batch"),
        (GOOD | {"sample": "../../etc/passwd"}, "is not in this batch"),
        (GOOD | {"sample": "\ud800"}, "is not a line of text"),
        (GOOD | {"sample": 3}, "sample 3 is not a line of text"),
        (GOOD | {"label": "cow"}, 'label "cow" is not in the label set; use one of "cat", "dog"'),
        (GOOD | {"label": 3}, "label 3 is not in the label set"),
        (GOOD | {"label": ["cat"]}, "is not in the label set"),
        ({"sample": A}, "neither 'label' nor an outcome"),
        ({"sample": A, "label": None}, "neither 'label' nor an outcome"),
        ({"sample": A, "outcome": "done"}, r'unknown outcome "done"; use one of "labelled", "unclear", "skipped"'),
        ({"sample": A, "outcome": "expired"}, "unknown outcome"),
        (GOOD | {"outcome": "unclear"}, "yet there is a label too"),
        (GOOD | {"lable": "cat"}, r'unknown key "lable"; known are "sample", "label"'),
        (GOOD | {"boxes": []}, "'boxes' is no answer to the task classify"),
        (GOOD | {"annotator": ""}, "annotator .* is not a line of text"),
        (GOOD | {"lead_time_s": -1}, "lead_time_s -1 is not a number from 0 on"),
        (GOOD | {"lead_time_s": float("nan")}, "lead_time_s NaN is not a number"),
        (GOOD | {"lead_time_s": 10**400}, "lead_time_s 1000.*… is not a number"),
        (GOOD | {"lead_time_s": True}, "lead_time_s true is not a number"),
        (GOOD | {"updated_at": "2026-01-31T12:00:00"}, "has no time zone; append Z"),
        (GOOD | {"updated_at": "yesterday"}, "is no ISO time"),
        (GOOD | {"updated_at": 12}, "is no ISO time"),
        (GOOD | {"updated_at": "0001-01-01T00:00:00+14:00"}, "is out of range"),
    ],
)
def test_a_bad_line_is_refused_and_its_neighbours_are_kept(line, why):
    assert re.search(why, reason(line))


BOX = {"label": "cat", "x0": 10, "y0": 10, "x1": 20, "y1": 30}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"label": "cat"}, "'label' is no answer to the task detect; write 'boxes'"),
        ({"boxes": None}, "neither 'boxes' nor an outcome"),
        ({"boxes": {}}, "is not a list; write \\[\\] when nothing"),
        ({"boxes": [3]}, "box 3 is not an object"),
        ({"boxes": [BOX | {"label": "cow"}]}, 'label "cow" is not in the label set'),
        ({"boxes": [{"label": "cat"}]}, "'x0' is missing"),
        ({"boxes": [BOX | {"w": 3}]}, 'unknown key "w"'),
        ({"boxes": [BOX | {"polygon": []}]}, 'unknown key "polygon"'),
        ({"boxes": [BOX | {"x1": 10}]}, "has no area"),
        ({"boxes": [BOX | {"y1": 5}]}, "has no area"),
        ({"boxes": [BOX | {"x0": -1}]}, "x0 -1 is not a number from 0 on"),
        ({"boxes": [BOX | {"x1": 101}]}, "reaches outside the image of 100 x 50 pixels; keep it inside"),
        ({"boxes": [BOX | {"y1": 51}]}, "reaches outside"),
        ({"boxes": [BOX | {"x0": float("nan")}]}, "x0 NaN is not a number"),
        ({"boxes": [BOX, BOX | {"x1": "20"}]}, 'x1 "20" is not a number'),
    ],
)
def test_a_bad_box_is_refused(line, why):
    assert re.search(why, reason({"sample": A} | line, Task.DETECT))


def boxes_of(boxes, task=Task.DETECT, size=(100, 50)):
    answers, refused = read_answers(json.dumps({"sample": A, "boxes": boxes}).encode(), sheet(task, size), age_s=0.0)
    assert refused == []
    return answers[0].content.boxes


def test_a_box_may_touch_the_edges():
    assert boxes_of([BOX | {"x0": 0, "y0": 0, "x1": 100, "y1": 50}]) == (Box("cat", 0, 0, 100, 50),)


def test_nothing_to_be_seen_is_an_answer():
    assert boxes_of([]) == ()


def test_without_a_known_size_boxes_are_taken_as_they_are():
    assert boxes_of([BOX | {"x1": 5000}], size=None)[0].x1 == 5000


def test_a_segment_has_a_polygon():
    polygon = [[10, 10], [20, 10], [15, 30]]
    assert boxes_of([BOX | {"polygon": polygon}], Task.SEGMENT)[0].polygon == ((10, 10), (20, 10), (15, 30))


@pytest.mark.parametrize("polygon", [[[1, 2]], "round", [[1, 2, 3]] * 3])
def test_a_bad_polygon_is_refused(polygon):
    assert "is not a list of three or more" in reason(
        {"sample": A, "boxes": [BOX | {"polygon": polygon}]}, Task.SEGMENT
    )


def test_a_prefix_of_two_samples_names_neither():
    refs = {"r1": "0123456789abX", "r2": "0123456789abY"}
    both = Sheet(Task.CLASSIFY, ("cat",), samples=refs, size_of=lambda sample: None)
    _, refused = read_answers(b'{"sample": "0123456789ab", "label": "cat"}', both, age_s=0.0)
    assert "names two samples of this batch; write the whole id" in refused[0][1]


HALF = json.dumps(GOOD).encode()[:-5]


@pytest.mark.parametrize(("age_s", "lines"), [(0.0, []), (STILL_WRITING_S, []), (STILL_WRITING_S + 0.1, [2])])
def test_half_a_line_is_refused_when_nobody_goes_on_writing_it(age_s, lines):
    answers, refused = read_answers(json.dumps(GOOD).encode() + b"\n" + HALF, sheet(), age_s=age_s)
    assert len(answers) == 1
    assert [number for number, _ in refused] == lines


def test_half_a_line_in_the_middle_is_refused_at_once():
    _, refused = read_answers(HALF + b"\n" + json.dumps(GOOD).encode(), sheet(), age_s=0.0)
    assert [number for number, _ in refused] == [1]


@pytest.mark.parametrize("last", ["9999-12-31T23:59:59.999999+00:00", "9999-01-01T00:00:00Z"])
def test_no_time_is_so_late_that_nothing_can_follow(last):
    assert "is out of range" in reason(GOOD | {"updated_at": last})


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_it_fail(raw):
    read_answers(raw, sheet(), age_s=0.0)
    answers, refused = read_answers(raw + b"\n" + json.dumps(GOOD).encode(), sheet(), age_s=0.0)
    assert answers[-1].content == Content("cat")
    assert all(why.encode() for _, why in refused)


TEXT = st.text("a0-:TZ \n\ud800", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["sample", "label", "boxes", "outcome", "annotator", "lead_time_s", "updated_at"]), JSON
    ),
    st.sampled_from(list(Task)),
)
def test_no_values_at_all_make_it_fail(fields, task):
    answers, refused = read_answers((json.dumps({"sample": A} | fields) + "\n").encode(), sheet(task), age_s=0.0)
    assert len(answers) + len(refused) == 1
    for _, why in refused:
        assert why.encode()


NAMES = st.sampled_from([A, B, A[:12], f"batch-0003/{B[:12]}"])
EXTRAS = {
    "annotator": st.sampled_from(["kim", "Zoë"]),
    "lead_time_s": st.floats(0, 1e6),
    "updated_at": st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year < 9999).map(datetime.isoformat),
}


@given(st.fixed_dictionaries({"sample": NAMES, "label": st.sampled_from(["cat", "dog"])}, optional=EXTRAS))
def test_every_line_that_keeps_to_the_rules_is_taken(fields):
    answers, refused = read_answers(json.dumps(fields).encode(), sheet(), age_s=0.0)
    assert refused == []
    assert answers[0].content == Content(fields["label"])
    assert answers[0].annotator == fields.get("annotator", "folder")


def test_a_refusal_says_which_line_of_which_file(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    tool = FolderTool(tmp_path / "t", labels=("cat", "dog"), task=Task.CLASSIFY)
    tool.push(Batch("p", 3, (BatchItem(Sample(A, str(tmp_path / "a.png")), 0, Lane.ACTIVE),)))
    lines = ["", json.dumps(GOOD), "", json.dumps(GOOD | {"label": "cow"})]
    (tmp_path / "t/batch-0003/labels.jsonl").write_text("\n".join(lines))
    changes = tool.changed_since("")
    assert [refusal.where for refusal in changes.refused] == ["batch-0003/labels.jsonl:4"]
    assert [label.content.class_name for label in changes.labels] == ["cat"]
