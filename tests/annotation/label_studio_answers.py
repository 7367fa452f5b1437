"""What the Label Studio adapter makes of people's answers, as tests that run on the fake server and on the real one."""

from dataclasses import replace

import numpy as np
import pytest

from alloop.annotation.label_studio_masks import decode_mask
from alloop.nouns import Box, Content, Outcome, Prelabel, Task
from tests.annotation.label_studio_behaviour import CAT, DOG, batch_of, drained, told
from tests.annotation.label_studio_person import choice, rectangle, region
from tests.annotation.label_studio_strokes import encode_mask

SIZE = (40, 30)


class LabelStudioAnswers:
    """Tests; a subclass has fixtures `person`, and `open_tool`, which opens that person's project with a form."""

    @pytest.fixture
    def tool(self, open_tool):
        return open_tool(Task.CLASSIFY)

    def test_an_answer_says_who_when_and_how_long(self, tool, person):
        refs = tool.push(batch_of("a"))
        made = person.submit(int(refs["a"]), [choice("dog")], lead_time=7.5)
        label = told(tool.changed_since(""))["a"]
        assert (label.content, label.annotator, label.lead_time_s) == (DOG, person.email, 7.5)
        assert label.ref == str(made["id"])

    def test_a_skip_is_a_skip_whatever_lies_on_the_canvas(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.skip(int(refs["a"]), [choice("cat")])
        label = told(tool.changed_since(""))["a"]
        assert (label.outcome, label.content) == (Outcome.SKIPPED, None)

    def test_a_skipped_task_leaves_the_queue(self, tool, person):
        refs = tool.push(batch_of("ab"))
        person.skip(int(refs["a"]))
        assert drained(person) == ["b"]

    def test_unclear_is_unclear(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.choose(int(refs["a"]), "unclear")
        label = told(tool.changed_since(""))["a"]
        assert (label.outcome, label.content) == (Outcome.UNCLEAR, None)

    def test_a_draft_is_no_answer(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.draft(int(refs["a"]), [choice("cat")])
        assert tool.changed_since("").labels == ()

    def test_a_changed_answer_comes_again(self, tool, person):
        refs = tool.push(batch_of("ab"))
        made = [person.choose(int(refs[name]), "cat") for name in "ab"]
        first = tool.changed_since("")
        person.edit(made[0]["id"], result=[choice("dog")], lead_time=4.0)
        second = tool.changed_since(first.cursor)
        assert {name: label.content for name, label in told(second).items()} == {"a": DOG}
        assert told(second)["a"].updated_at > told(first)["a"].updated_at

    def test_ground_truth_stays_a_label(self, tool, person):
        refs = tool.push(batch_of("a"))
        made = person.choose(int(refs["a"]), "cat")
        person.edit(made["id"], ground_truth=True)
        assert told(tool.changed_since(""))["a"].content == CAT

    def test_a_deleted_annotation_is_missing_from_what_is_present(self, tool, person):
        refs = tool.push(batch_of("ab"))
        made = [person.choose(int(refs[name]), "cat") for name in "ab"]
        first = tool.changed_since("")
        person.delete(made[0]["id"])
        second = tool.changed_since(first.cursor)
        assert (second.labels, second.present) == ((), frozenset({str(made[1]["id"])}))
        assert tool.changed_since(second.cursor).present is None

    def test_the_annotations_of_a_deleted_task_are_missing_too(self, tool, person):
        refs = tool.push(batch_of("ab"))
        made = [person.choose(int(refs[name]), "cat") for name in "ab"]
        first = tool.changed_since("")
        person.act("delete_tasks", [int(refs["a"])])
        assert tool.changed_since(first.cursor).present == {str(made[1]["id"])}

    def test_a_project_without_any_task_has_nothing_to_tell(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.act("delete_tasks", [int(refs["a"])])
        tool.publish_model("v4", {})
        tool.withdraw([refs["a"]])
        assert tool.changed_since("").labels == ()

    def test_two_answers_to_one_task_are_two_labels(self, tool, person):
        refs = tool.push(batch_of("a"))
        for name in ("cat", "dog", "cat"):
            person.choose(int(refs["a"]), name)
        assert [label.content.class_name for label in tool.changed_since("").labels] == ["cat", "dog", "cat"]

    def test_one_deleted_and_one_new_between_two_polls_are_both_noticed(self, tool, person):
        refs = tool.push(batch_of("ab"))
        gone = person.choose(int(refs["a"]), "cat")
        first = tool.changed_since("")
        person.delete(gone["id"])
        made = person.choose(int(refs["b"]), "dog")
        second = tool.changed_since(first.cursor)
        assert (set(told(second)), second.present) == ({"b"}, frozenset({str(made["id"])}))

    def test_predictions_that_were_made_annotations_in_bulk_are_no_labels(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.act("predictions_to_annotations", [int(refs["a"])])
        changes = tool.changed_since("")
        assert told(changes) == {}
        assert "in bulk" in changes.refused[0].reason

    def test_an_answer_that_cannot_be_used_says_where_and_why(self, tool, person):
        refs = tool.push(batch_of("ab"))
        made = person.choose(int(refs["a"]), "zebra")
        person.choose(int(refs["b"]), "dog")
        changes = tool.changed_since("")
        assert set(told(changes)) == {"b"}
        assert changes.refused[0].where == f"task {refs['a']}, annotation {made['id']}"
        assert changes.refused[0].reason == "label 'zebra' is not in the label set; use one of cat, dog"

    def test_a_refusal_is_mended_when_its_answer_was_changed_or_deleted_and_not_before(self, tool, person):
        refs = tool.push(batch_of("ab"))
        edited, deleted = (person.choose(int(refs[key]), "zebra") for key in "ab")
        first = tool.changed_since("")
        where = [refusal.where for refusal in first.refused]
        again = tool.changed_since(first.cursor)
        assert [again.is_mended(place) for place in where] == [False, False]
        person.edit(edited["id"], result=[choice("cat")])
        second = tool.changed_since(again.cursor)
        assert [second.is_mended(place) for place in where] == [True, False]
        person.delete(deleted["id"])
        assert tool.changed_since(second.cursor).is_mended(where[1])

    def test_an_answer_that_is_changed_to_something_unusable_says_nothing_any_more(self, tool, person):
        refs = tool.push(batch_of("a"))
        made = person.choose(int(refs["a"]), "cat")
        first = tool.changed_since("")
        person.edit(made["id"], result=[])
        second = tool.changed_since(first.cursor)
        (before,), (after,) = first.labels, second.labels
        assert (after.ref, after.annotator, after.deleted, after.content) == (before.ref, person.email, True, None)
        assert after.updated_at > before.updated_at
        assert "0 choices are made" in second.refused[0].reason

    def test_one_that_is_mended_then_is_told_again(self, tool, person):
        refs = tool.push(batch_of("a"))
        made = person.choose(int(refs["a"]), "cat")
        person.edit(made["id"], result=[])
        broken = tool.changed_since("")
        person.edit(made["id"], result=[choice("dog")])
        (mended,) = tool.changed_since(broken.cursor).labels
        assert (mended.content, mended.deleted) == (DOG, False)
        assert mended.updated_at > broken.labels[0].updated_at

    def test_boxes_go_out_in_percent_and_come_back_in_pixels(self, open_tool, person):
        tool = open_tool(Task.DETECT)
        boxes = (Box("cat", 1.5, 2.25, 10, 20), Box("dog", 0, 0, 40, 30))
        tool.push(batch_of("a", content=Content(boxes=boxes)))
        task = person.next()
        shown = task["predictions"][0]["result"]
        assert shown[0]["value"] | {"x": 3.75, "y": 7.5, "rectanglelabels": ["cat"]} == shown[0]["value"]
        person.submit(task["id"], [measured(row) for row in shown])
        assert told(tool.changed_since(""))["a"].content == Content(boxes=boxes)

    def test_an_image_with_nothing_in_it_is_an_answer(self, open_tool, person):
        tool = open_tool(Task.DETECT)
        refs = tool.push(batch_of("a", content=None))
        person.submit(int(refs["a"]), [])
        label = told(tool.changed_since(""))["a"]
        assert (label.outcome, label.content) == (Outcome.LABELLED, Content())

    def test_unclear_outweighs_boxes(self, open_tool, person):
        tool = open_tool(Task.DETECT)
        refs = tool.push(batch_of("a", content=None))
        person.submit(int(refs["a"]), [rectangle(1, 1, 5, 5), choice("unclear", "outcome")])
        assert told(tool.changed_since(""))["a"].outcome is Outcome.UNCLEAR

    def test_polygons_go_out_and_come_back(self, open_tool, person):
        tool = open_tool(Task.SEGMENT)
        box = Box("dog", 4, 3, 20, 21, polygon=((4, 3), (20, 3), (12, 21)))
        tool.push(batch_of("a", content=Content(boxes=(box,))))
        task = person.next()
        person.submit(task["id"], [measured(row) for row in task["predictions"][0]["result"]])
        assert told(tool.changed_since(""))["a"].content == Content(boxes=(box,))

    @pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
    def test_a_new_model_shows_its_shapes(self, open_tool, person, task):
        tool = open_tool(task)
        tool.push(batch_of("ab", content=Content(boxes=(Box("cat", 1, 1, 9, 9),))))
        fresh = Content(boxes=(Box("dog", 4, 3, 20, 15), Box("cat", 8, 6, 12, 9)))
        tool.publish_model("v4", {name: Prelabel("v4", fresh, 0.5) for name in "ab"})
        served = person.next()
        person.submit(served["id"], [measured(row) for row in served["predictions"][0]["result"]])
        boxes = told(tool.changed_since(""))["a"].content.boxes
        assert [replace(box, polygon=()) for box in boxes] == list(fresh.boxes)

    def test_a_brush_stroke_comes_back_as_box_and_outline(self, open_tool, person):
        tool = open_tool(Task.SEGMENT)
        refs = tool.push(batch_of("a", content=None))
        mask = np.zeros((30, 40), bool)
        mask[5:15, 10:30] = True
        paint = {"format": "rle", "rle": encode_mask(mask), "brushlabels": ["cat"]}
        person.submit(int(refs["a"]), [region("brushlabels", paint, control="brush")])
        kept = person.tasks()["a"]["annotations"][0]["result"][0]["value"]["rle"]
        assert (decode_mask(kept, SIZE) == mask).all()
        (box,) = told(tool.changed_since(""))["a"].content.boxes
        assert (box.class_name, box.x0, box.y0, box.x1, box.y1) == ("cat", 10, 5, 30, 15)
        assert len(box.polygon) >= 4


def measured(row):
    """A region as the browser sends it back: with the size of the picture."""
    return {**row, "original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0, "origin": "prediction"}
