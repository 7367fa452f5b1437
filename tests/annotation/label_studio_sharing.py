"""Samples that several people answer in Label Studio, as tests that run on the fake server and on the real one."""

from dataclasses import replace

import pytest

from alloop.annotation.label_studio_marks import ANSWERED
from alloop.nouns import Batch, Content, Lane, Outcome, Prelabel, Task
from alloop.testing.annotation_contract import SharedSampleContract
from tests.annotation.label_studio_behaviour import DOG, batch_of
from tests.annotation.label_studio_person import choice


def shared(names, *, cycle=3, seats=2, only=None):
    """A batch whose samples, or `only` some of them, so many people are to answer."""
    batch = batch_of(names, cycle=cycle)
    wanted = set(names if only is None else only)
    return replace(
        batch, items=tuple(replace(x, annotators=seats if x.sample.id in wanted else 1) for x in batch.items)
    )


def again(names, *, cycle=4):
    """A batch in which one more person is asked about these samples."""
    batch = batch_of(names, cycle=cycle)
    return replace(batch, items=tuple(replace(item, lane=Lane.RELABEL, blind=True) for item in batch.items))


def name_of(task):
    return task and task["data"]["item_id"]


def take(person, name="cat"):
    """What the queue serves, and the answer to it; None at its end."""
    task = person.next()
    if task is not None:
        person.choose(task["id"], name)
    return name_of(task)


def begin(tool, person):
    """An empty project in which a person has answered something that is not alloop's."""
    tool.push(Batch("signs", 0, ()))
    row = {"data": {"image": "x.png"}}
    where = f"/api/projects/{person.number}/import"
    (task,) = person.ask("POST", where, json=[row], params={"return_task_ids": "true"})["task_ids"]
    person.choose(task, "cat")


def answers(changes):
    return sorted((label.sample_id, label.annotator) for label in changes.labels)


class LabelStudioShared(SharedSampleContract):
    """The contract; a subclass has fixtures `people`, three of them, and `open_tool`, which opens their project."""

    @pytest.fixture(autouse=True)
    def _crowd(self, people, open_tool):
        self.people, self.open_tool = people, open_tool
        begin(open_tool(Task.CLASSIFY), people[2])

    def make_tool(self, home):
        return self.open_tool(Task.CLASSIFY)

    def answer(self, tool, batch, *, count):
        while count:
            for person in self.people:
                if count and take(person):
                    count -= 1


class LabelStudioSharing:
    """Tests; a subclass has the same fixtures."""

    @pytest.fixture
    def tool(self, open_tool):
        return open_tool(Task.CLASSIFY)

    # the queue

    def test_everybody_is_served_by_rank(self, tool, people):
        tool.push(shared("abcd", only="bd"))
        served = [[take(person) for person in people] for _ in range(3)]
        assert served == [["a", "b", "b"], ["c", "d", "d"], [None, None, None]]

    def test_nobody_is_shown_what_others_said(self, tool, people):
        tool.push(shared("a"))
        take(people[0])
        task = people[1].next()
        assert (name_of(task), task["annotations"]) == ("a", [])

    def test_nobody_is_asked_twice(self, tool, people):
        tool.push(shared("a"))
        assert [take(people[0]), take(people[0]), take(people[1])] == ["a", None, "a"]

    def test_a_skip_is_an_answer_of_one_of_them(self, tool, people):
        refs = tool.push(shared("a"))
        people[0].skip(int(refs["a"]))
        assert [take(people[1]), take(people[2])] == ["a", None]
        assert [label.outcome for label in tool.changed_since("").labels] == [Outcome.SKIPPED, Outcome.LABELLED]

    def test_what_one_has_answered_keeps_its_place_behind_a_newer_batch(self, tool, people):
        tool.push(shared("abc"))
        take(people[0])
        tool.push(batch_of("xy", cycle=4))
        assert [take(people[1]) for _ in range(6)] == [*"xyabc", None]

    def test_a_new_model_shows_the_second_person_what_the_first_saw(self, tool, people):
        tool.push(shared("ab"))
        take(people[0])
        tool.publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "ab"})
        shown = []
        for _ in range(2):
            task = people[1].next()
            shown.append((name_of(task), task["predictions"][0]["result"][0]["value"]["choices"]))
            people[1].choose(task["id"], "cat")
        assert shown == [("a", ["cat"]), ("b", ["dog"])]

    # when something came in between

    @pytest.mark.parametrize("heal", ["push", "look"])
    def test_what_was_answered_before_its_seats_were_set_is_opened_again(self, tool, people, heal):
        batch = shared("a")
        refs = tool.push(batch)
        take(people[0])
        people[0].ask("PATCH", f"/api/tasks/{refs['a']}/", json={"overlap": 1, "is_labeled": True})
        assert people[1].next() is None
        if heal == "push":
            assert tool.push(batch) == refs
        else:
            tool.changed_since("")
        assert [take(people[1]), take(people[2])] == ["a", None]

    def test_what_an_answer_on_its_way_closed_is_opened_again(self, tool, people):
        refs = tool.push(shared("a"))
        take(people[0])
        people[0].ask("PATCH", f"/api/tasks/{refs['a']}/", json={"is_labeled": True})
        tool.changed_since("")
        assert take(people[1]) == "a"

    def test_a_project_that_asks_two_about_everything_is_mended(self, tool, people):
        tool.push(batch_of("ab"))
        people[0].ask("PATCH", f"/api/projects/{people[0].number}", json={"maximum_annotations": 2})
        tool.push(shared("xy", cycle=4, only="y"))
        assert people[0].project["maximum_annotations"] == 1
        assert [take(people[0]) for _ in range(5)] == [*"xyab", None]
        assert [take(people[1]) for _ in range(2)] == ["y", None]

    # what is taken out

    def test_a_shared_task_is_withdrawn(self, tool, people):
        batch = shared("ab")
        refs = tool.push(batch)
        tool.withdraw([refs["a"]])
        assert tool.push(batch) == refs
        assert [take(person) for person in people[1:]] == ["b", "b"]
        assert [label.sample_id for label in tool.changed_since("").labels] == ["b", "b"]

    def test_one_that_somebody_has_answered_asks_nobody_else(self, tool, people):
        batch = shared("ab")
        refs = tool.push(batch)
        take(people[1])
        tool.withdraw(refs.values())
        tool.push(batch)
        assert [take(person) for person in people] == [None, None, None]
        changes = tool.changed_since("")
        assert answers(changes) == [("a", people[1].email)]
        assert people[2].next() is None

    def test_one_that_somebody_has_begun_stays(self, tool, people):
        refs = tool.push(shared("a"))
        people[1].draft(int(refs["a"]), [choice("cat")])
        tool.withdraw([refs["a"]])
        assert name_of(people[2].next()) == "a"

    # asked again

    @pytest.fixture
    def disputed(self, tool, people):
        """Two of three annotators have answered sample a, each differently, and the third something else."""
        tool.push(shared("ab", only="a"))
        assert [take(people[0], "cat"), take(people[1], "dog"), take(people[2])] == ["a", "a", "b"]
        return tool.changed_since("")

    def test_who_has_answered_before_is_not_asked_again(self, tool, people, disputed):
        tool.push(again("a"))
        assert [take(person) for person in people] == [None, None, "a"]
        assert answers(tool.changed_since(disputed.cursor)) == [("a", people[2].email)]

    def test_where_all_have_answered_anybody_is(self, tool, people):
        tool.push(shared("a"))
        assert [take(people[0], "cat"), take(people[1], "dog")] == ["a", "a"]
        tool.push(again("a"))
        assert [take(people[1]), take(people[0])] == ["a", None]

    def test_it_is_asked_at_its_place_and_without_a_prelabel(self, tool, people, disputed):
        batch = batch_of("xaz", cycle=4)
        one = replace(batch.items[1], lane=Lane.RELABEL, blind=True)
        tool.push(replace(batch, items=(batch.items[0], one, batch.items[2])))
        tool.publish_model("v4", {"a": Prelabel("v4", Content("dog"), 0.5)})
        served = people[2].work(3)
        assert [name_of(task) for task in served] == ["x", "a", "z"]
        assert [row["result"] for row in served[1]["predictions"]] == [[]]

    def test_it_is_withdrawn_like_any_other(self, tool, people, disputed):
        refs = tool.push(again("a"))
        tool.withdraw(refs.values())
        assert tool.push(again("a")) == refs
        assert people[2].next() is None
        assert tool.changed_since(disputed.cursor).labels == ()

    def test_a_seat_that_is_taken_is_no_answer(self, tool, people, disputed):
        refs = tool.push(again("a"))
        params = {"project": people[0].number, "fields": "all", "page_size": 100}
        found = people[0].ask("GET", "/api/tasks", params=params)["tasks"]
        (task,) = (task for task in found if str(task["id"]) == refs["a"])
        marks = [row["result"][0]["id"] for row in task["annotations"]]
        changes = tool.changed_since(disputed.cursor)
        assert (marks, changes.labels, changes.refused) == ([ANSWERED, ANSWERED], (), ())
        assert tool.changed_since(changes.cursor).present is None
