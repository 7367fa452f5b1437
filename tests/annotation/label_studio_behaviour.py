"""What the Label Studio adapter does, as tests that run on the fake server and on the real one."""

from dataclasses import replace

import numpy as np
import pytest

from alloop.annotation.label_studio_masks import decode_mask, encode_mask
from alloop.errors import BadLabel, ConfigError
from alloop.nouns import Batch, BatchItem, Box, Content, Lane, Outcome, Prelabel, Sample, Task
from alloop.testing.annotation_contract import LABELS
from tests.annotation.label_studio_person import choice, rectangle, region

CAT, DOG = Content("cat"), Content("dog")
SIZE = (40, 30)


def batch_of(names, *, cycle=3, content=CAT, **fields):
    """A batch of samples with these names, in their order, pre-labelled by v3 unless `fields` say otherwise."""
    usual = {"lane": Lane.ACTIVE, "prelabel": content and Prelabel("v3", content, 0.75)}
    items = [BatchItem(Sample(name, f"{name}.png"), rank=rank, **usual | fields) for rank, name in enumerate(names)]
    return Batch("signs", cycle, tuple(items))


def drained(person, count=100):
    """The sample ids of the queue, in the order in which they are served to somebody who answers each."""
    return [task["data"]["item_id"] for task in person.work(count)]


def told(changes):
    return {label.sample_id: label for label in changes.labels}


class LabelStudioBehaviour:
    """Tests; a subclass has fixtures `person`, and `open_tool`, which opens that person's project with a form."""

    @pytest.fixture
    def tool(self, open_tool):
        return open_tool(Task.CLASSIFY)

    # the queue

    def test_tasks_are_served_by_rank(self, tool, person):
        batch = batch_of("abcdefgh")
        order = [5, 2, 7, 0, 3, 6, 1, 4]
        tool.push(replace(batch, items=tuple(replace(batch.items[i], rank=rank) for rank, i in enumerate(order))))
        assert drained(person) == ["abcdefgh"[i] for i in order]

    def test_a_batch_without_any_prelabel_is_served_by_rank_too(self, tool, person):
        tool.push(batch_of("dcba", content=None))
        assert drained(person) == list("dcba")

    def test_a_newer_batch_comes_before_the_rest_of_an_older_one(self, tool, person):
        tool.push(batch_of("abcd", cycle=3))
        assert drained(person, 1) == ["a"]
        tool.push(batch_of("xy", cycle=4))
        assert drained(person) == list("xybcd")

    def test_an_older_batch_that_is_pushed_again_stays_behind(self, tool, person):
        tool.push(batch_of("ab", cycle=3))
        tool.push(batch_of("xy", cycle=4))
        tool.push(batch_of("abc", cycle=3))
        assert drained(person) == list("xyabc")

    def test_a_new_model_changes_what_is_shown_and_not_the_order(self, tool, person):
        tool.push(batch_of("abcd"))
        drained(person, 1)
        tool.publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "abcd"})
        served = person.work(9)
        assert [task["data"]["item_id"] for task in served] == list("bcd")
        assert {row["result"][0]["value"]["choices"][0] for task in served for row in task["predictions"]} == {"dog"}
        assert {row["model_version"] for task in served for row in task["predictions"]} == {"v4/b3"}

    def test_prelabels_of_an_older_batch_stay_when_a_newer_one_comes(self, tool, person):
        tool.push(batch_of("a", cycle=3))
        tool.push(batch_of("x", cycle=4, content=DOG))
        shown = [task["predictions"][0]["result"][0]["value"]["choices"] for task in person.work(2)]
        assert shown == [["dog"], ["cat"]]

    def test_a_batch_pushed_again_keeps_the_newer_model(self, tool, person):
        batch = batch_of("ab")
        tool.push(batch)
        tool.publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "ab"})
        tool.push(batch)
        assert person.next()["predictions"][0]["model_version"] == "v4/b3"

    @pytest.mark.parametrize("fields", [{"lane": Lane.HOLDOUT}, {"blind": True}, {"prelabel": None}])
    def test_who_is_to_answer_without_help_gets_none_then_or_later(self, tool, person, fields):
        tool.push(batch_of("a", **fields))
        tool.publish_model("v4", {"a": Prelabel("v4", DOG, 0.5)})
        assert [row["result"] for row in person.next()["predictions"]] == [[]]

    def test_publishing_twice_is_once(self, tool, person):
        tool.push(batch_of("a"))
        for _ in range(2):
            tool.publish_model("v4", {"a": Prelabel("v4", DOG, 0.5)})
        assert len(person.tasks()["a"]["predictions"]) == 2

    def test_a_task_knows_its_sample_and_batch(self, tool, person):
        refs = tool.push(batch_of("a"))
        task = person.tasks()["a"]
        assert refs == {"a": str(task["id"])}
        assert {"item_id": "a", "batch_id": "signs/3", "cycle": 3, "rank": 0, "prelabelled": True}.items() <= task[
            "data"
        ].items()

    def test_a_task_that_is_there_twice_loses_its_copy(self, tool, person):
        batch = batch_of("ab")
        refs = tool.push(batch)
        task = person.tasks()["a"]
        person.ask("POST", f"/api/projects/{person.number}/import", json=[{"data": task["data"]}])
        assert tool.push(batch) == refs
        assert {str(task["id"]) for task in person.tasks().values()} == set(refs.values())

    def test_tasks_of_others_do_not_disturb(self, tool, person):
        tool.push(batch_of("a"))
        foreign = person.ask(
            "POST",
            f"/api/projects/{person.number}/import",
            json=[{"data": {"image": "x.png"}}],
            params={"return_task_ids": "true"},
        )["task_ids"]
        tool.publish_model("v4", {})
        person.choose(foreign[0], "cat")
        changes = tool.changed_since("")
        assert changes.labels == ()
        assert "does not come from alloop" in changes.refused[0].reason

    # what comes back

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
        assert changes.labels == ()
        assert "in bulk" in changes.refused[0].reason

    def test_an_answer_that_cannot_be_used_says_where_and_why(self, tool, person):
        refs = tool.push(batch_of("ab"))
        made = person.choose(int(refs["a"]), "zebra")
        person.choose(int(refs["b"]), "dog")
        changes = tool.changed_since("")
        assert set(told(changes)) == {"b"}
        assert changes.refused[0].where == f"task {refs['a']}, annotation {made['id']}"
        assert changes.refused[0].reason == "label 'zebra' is not in the label set; use one of cat, dog"

    # what is taken out

    def test_a_withdrawn_task_leaves_the_queue_and_gives_no_label(self, tool, person):
        refs = tool.push(batch_of("abc"))
        tool.withdraw([refs["b"]])
        assert drained(person) == ["a", "c"]
        assert set(told(tool.changed_since(""))) == {"a", "c"}

    def test_a_task_with_a_draft_is_not_withdrawn(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.draft(int(refs["a"]), [choice("cat")])
        tool.withdraw([refs["a"]])
        assert person.next()["data"]["item_id"] == "a"

    def test_an_answer_to_a_withdrawn_task_still_counts(self, tool, person):
        refs = tool.push(batch_of("a"))
        tool.withdraw([refs["a"]])
        person.choose(int(refs["a"]), "dog")
        assert told(tool.changed_since(""))["a"].content == DOG

    # the project

    def test_the_project_is_found_again_and_its_settings_mended(self, open_tool, person):
        open_tool(Task.CLASSIFY).push(batch_of("ab"))
        person.ask("PATCH", f"/api/projects/{person.number}", json={"sampling": "Sequential sampling"})
        open_tool(Task.CLASSIFY).push(batch_of("xy", cycle=4))
        assert person.project["sampling"] == "Uncertainty sampling"
        assert set(person.tasks()) == set("abxy")

    def test_a_project_for_other_labels_is_refused_with_the_difference(self, open_tool, person):
        open_tool(Task.CLASSIFY).push(batch_of("a"))
        with pytest.raises(ConfigError, match=r"control 'label' lacks 'cow'; control 'label' also has 'dog'"):
            open_tool(Task.CLASSIFY, labels=("cat", "cow")).push(batch_of("a"))

    def test_a_project_for_another_task_is_refused_with_the_difference(self, open_tool, person):
        open_tool(Task.CLASSIFY).push(batch_of("a"))
        with pytest.raises(ConfigError, match=r"control 'outcome' \(Choices\) is missing.*instead of RectangleLabels"):
            open_tool(Task.DETECT).changed_since("")

    def test_a_project_that_is_gone_does_not_take_its_labels_along(self, tool, person):
        refs = tool.push(batch_of("a"))
        person.choose(int(refs["a"]), "cat")
        cursor = tool.changed_since("").cursor
        person.ask("DELETE", f"/api/projects/{person.number}")
        with pytest.raises(ConfigError, match="has no project"):
            tool.changed_since(cursor)

    # shapes

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

    def test_a_prelabel_outside_the_label_set_is_refused_before_anything_is_pushed(self, tool, person, open_tool):
        tool.push(batch_of("a"))
        with pytest.raises(BadLabel, match=r"sample b: a pre-label says 'zebra'"):
            tool.push(batch_of("ab", content=Content("zebra")))
        assert set(person.tasks()) == {"a"}


def measured(row):
    """A region as the browser sends it back: with the size of the picture."""
    return {**row, "original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0, "origin": "prediction"}


__all__ = ["LABELS", "LabelStudioBehaviour", "batch_of", "drained", "told"]
