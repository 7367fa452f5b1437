"""What the Label Studio adapter does, as tests that run on the fake server and on the real one."""

from dataclasses import replace

import pytest

from alloop.errors import BadLabel, ConfigError
from alloop.nouns import Batch, BatchItem, Content, Lane, Prelabel, Sample, Task
from alloop.testing.annotation_contract import LABELS
from tests.annotation.label_studio_person import choice

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
    """{sample id: what was answered}; taken back answers are none."""
    return {label.sample_id: label for label in changes.labels if not label.deleted}


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

    def test_a_model_published_when_all_is_answered_disturbs_nobody(self, tool, person):
        tool.push(batch_of("ab"))
        person.work(2)
        tool.publish_model("v4", {"a": Prelabel("v4", DOG, 0.5)})
        tool.push(batch_of("xy", cycle=4))
        assert drained(person) == ["x", "y"]

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

    def test_a_prelabel_outside_the_label_set_is_refused_before_anything_is_pushed(self, tool, person, open_tool):
        tool.push(batch_of("a"))
        with pytest.raises(BadLabel, match=r"sample b: a pre-label says 'zebra'"):
            tool.push(batch_of("ab", content=Content("zebra")))
        assert set(person.tasks()) == {"a"}


__all__ = ["LABELS", "LabelStudioBehaviour", "batch_of", "drained", "told"]
