from dataclasses import replace

import pytest

from alloop.errors import BadLabel, ConfigError, ToolUnavailable
from alloop.nouns import Box, Content, Lane, Prelabel, Task
from tests.annotation.cvat_project import BOX, CAT, DOG, batch_of, make_tool, shown, told
from tests.annotation.fake_cvat import FakeCvat


@pytest.fixture
def fake():
    with FakeCvat().serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("alloop.annotation.cvat_tasks.POLL_S", 0.0)


# what a push makes


def test_a_batch_is_a_task_in_order_of_rank_cut_into_jobs(fake):
    ranks = {"a": 1, "b": 3, "c": 4, "d": 0, "e": 2}
    items = tuple(replace(item, rank=ranks[item.sample.id]) for item in batch_of("abcde").items)
    make_tool(fake).push(replace(batch_of(""), items=items))
    (task,) = fake.tasks.values()
    assert task["name"] == "signs batch 0003"
    assert task["images"] == ["d.jpg", "a.jpg", "e.jpg", "b.jpg", "c.jpg"]
    assert [(job["start_frame"], job["stop_frame"]) for job in fake.jobs.values()] == [(0, 1), (2, 3), (4, 4)]


def test_a_ref_is_task_and_frame(fake):
    refs = make_tool(fake).push(batch_of("ab"))
    (task,) = fake.tasks
    assert refs == {"a": f"{task}:0", "b": f"{task}:1"}


def test_boxes_go_out_in_pixels_with_source_and_score(fake):
    refs = make_tool(fake, Task.DETECT).push(batch_of("a", content=BOX))
    (shape,) = fake.job_at(refs["a"])["shapes"]
    assert shape["points"] == [1.5, 2.25, 10, 20]
    assert (shape["type"], shape["source"], shape["score"]) == ("rectangle", "auto", 0.75)


def test_boxes_are_cut_at_the_edge_and_left_out_beyond_it(fake):
    content = Content(boxes=(Box("cat", -3, 5, 50, 40), Box("cat", 50, 50, 60, 60)))
    refs = make_tool(fake, Task.DETECT).push(batch_of("a", content=content))
    assert [shape["points"] for shape in fake.job_at(refs["a"])["shapes"]] == [[0, 5, 40, 30]]


def test_polygons_go_out_for_a_segmenter(fake):
    box = Box("dog", 4, 3, 20, 21, polygon=((4, 3), (20, 3), (12, 21)))
    refs = make_tool(fake, Task.SEGMENT).push(batch_of("a", content=Content(boxes=(box,))))
    (shape,) = fake.job_at(refs["a"])["shapes"]
    assert (shape["type"], shape["points"]) == ("polygon", [4, 3, 20, 3, 12, 21])


@pytest.mark.parametrize("fields", [{"lane": Lane.HOLDOUT}, {"blind": True}, {"prelabel": None}])
def test_who_is_to_answer_without_help_gets_none_then_or_later(fake, fields):
    tool = make_tool(fake)
    refs = tool.push(batch_of("a", **fields))
    tool.publish_model("v4", {"a": Prelabel("v4", DOG, 0.5)})
    assert shown(fake, refs["a"]) == []


def test_what_is_added_to_a_batch_is_another_part(fake):
    tool = make_tool(fake)
    tool.push(batch_of("ab"))
    tool.push(batch_of("abc"))
    assert fake.names() == ["signs batch 0003", "signs batch 0003, part 2"]


def test_what_several_people_answer_has_replicas_of_its_own(fake):
    batch = batch_of("abc")
    items = tuple(replace(item, annotators=2 if item.sample.id == "b" else 1) for item in batch.items)
    refs = make_tool(fake).push(replace(batch, items=items))
    assert [len(fake.jobs_at(refs[name])) for name in "abc"] == [1, 2, 1]
    assert all(job["tags"] for job in fake.jobs_at(refs["b"]))


def test_a_cvat_without_replicas_is_told_apart(fake):
    fake.makes_replicas = False
    with pytest.raises(ConfigError, match=r"for 2 people, and this CVAT makes no replicas"):
        make_tool(fake).push(batch_of("a", annotators=2))


def test_a_batch_whose_name_begins_like_ours_is_another(fake):
    make_tool(fake, place={"name": "signs-2"}).push(replace(batch_of("a"), project="signs-2"))
    assert make_tool(fake).push(batch_of("a")) == {"a": f"{max(fake.tasks)}:0"}


def test_a_sample_whose_frame_is_gone_is_pushed_again(fake):
    make_tool(fake).push(batch_of("ab"))
    next(iter(fake.tasks.values()))["images"] = ["renamed.jpg", "b.jpg"]
    refs = make_tool(fake).push(batch_of("ab"))
    assert refs["a"] != refs["b"]
    assert fake.names() == ["signs batch 0003", "signs batch 0003, part 2"]


# cut off


def cuts(work):
    """Servers whose connection breaks at one request of `work(fake)`, before or after it took effect: each once."""
    with FakeCvat().serving() as fake:
        work(fake)
        count = len(fake.requests)
    for number in range(count):
        for when in ("before", "after"):
            with FakeCvat().serving() as fake:
                fake.cut = (number, when)
                with pytest.raises(ToolUnavailable):
                    work(fake)
                fake.cut = None
                yield fake, work(fake)


def push_all(fake):
    return make_tool(fake).push(batch_of("abc"))


def test_a_push_cut_off_anywhere_goes_on():
    for fake, refs in cuts(push_all):
        assert fake.names() == ["signs batch 0003"]
        assert [shown(fake, refs[name]) for name in "abc"] == [[("cat", "auto")]] * 3
        assert len({job["id"] for name in "abc" for job in fake.jobs_at(refs[name])}) == len(fake.jobs) == 2


def test_publishing_cut_off_anywhere_goes_on():
    def publish(fake):
        refs = push_all(fake)
        make_tool(fake).publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "abc"})
        return refs

    for fake, refs in cuts(publish):
        assert [shown(fake, refs[name]) for name in "abc"] == [[("dog", "auto")]] * 3


def test_withdrawing_cut_off_anywhere_goes_on():
    def take_out(fake):
        refs = push_all(fake)
        make_tool(fake).withdraw([refs["a"], refs["c"]])
        return refs

    for fake, refs in cuts(take_out):
        for job in fake.jobs.values():
            fake.complete(job)
        assert set(told(make_tool(fake).changed_since(""))) == {"b"}
        assert shown(fake, refs["a"]) == [("cat", "auto"), ("unclear", "auto")]


def test_what_somebody_drew_before_a_push_was_finished_stays(fake):
    refs = push_all(fake)
    (task,) = fake.tasks.values()
    task["name"] += " (being made)"
    job = fake.job_at(refs["a"])
    fake.clear(job, 0)
    fake.tag(job, "dog")
    push_all(fake)
    assert shown(fake, refs["a"]) == [("dog", "manual")]


def test_images_that_are_still_being_fetched_are_waited_for(fake):
    fake.fetching = 3
    assert set(make_tool(fake).push(batch_of("ab"))) == set("ab")


def test_a_push_that_waits_too_long_is_gone_on_with(fake, monkeypatch):
    fake.fetching = 3
    monkeypatch.setattr("alloop.annotation.cvat_tasks.WAIT_S", -1.0)
    with pytest.raises(ToolUnavailable, match="has not fetched the images"):
        push_all(fake)
    monkeypatch.undo()
    (first,) = fake.tasks
    push_all(fake)
    assert list(fake.tasks) == [first]
    assert fake.names() == ["signs batch 0003"]


def test_images_that_cannot_be_fetched_say_why_without_the_signature(fake):
    fake.fails = (
        "Failed to download http://loop:8000/images/a.jpg?signature=s3cret; likely attempt to access internal host"
    )
    with pytest.raises(
        ConfigError, match=r"a\.jpg\?\.\.\. likely attempt to access internal host.*SMOKESCREEN"
    ) as error:
        push_all(fake)
    assert "s3cret" not in str(error.value)
    fake.fails = ""
    push_all(fake)
    assert fake.names() == ["signs batch 0003"]


@pytest.mark.parametrize(
    "url", ["http://loop/images/a?signature=s3cret", "http://loop/pictures/0001.jpg", "/data/a.jpg"]
)
def test_an_address_that_cvat_cannot_use_is_refused_before_anything_is_made(fake, url):
    with pytest.raises(ConfigError, match="let the last part of its path be the sample's id") as error:
        make_tool(fake, image_url=lambda sample: url).push(batch_of("a"))
    assert fake.tasks == {}
    assert "s3cret" not in str(error.value)


def test_a_prelabel_outside_the_label_set_is_refused_before_anything_is_made(fake):
    with pytest.raises(BadLabel, match=r"sample b: a pre-label says 'zebra'"):
        make_tool(fake).push(batch_of("b", content=Content("zebra")))
    assert fake.projects == {}


# new pre-labels


def test_new_prelabels_replace_the_old_ones_where_nobody_has_begun(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("abcd"))
    fake.move(fake.job_at(refs["a"]), state="in progress")
    tool.publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "abcd"})
    assert [shown(fake, refs[name])[0][0] for name in "abcd"] == ["cat", "cat", "dog", "dog"]


def test_a_job_that_somebody_drew_in_keeps_its_prelabels(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("ab"))
    fake.tag(fake.job_at(refs["a"]), "dog")
    tool.publish_model("v4", {name: Prelabel("v4", DOG, 0.5) for name in "ab"})
    assert shown(fake, refs["b"]) == [("cat", "auto")]


def test_frames_without_a_new_prelabel_keep_the_old_one(fake):
    tool = make_tool(fake, Task.DETECT)
    refs = tool.push(batch_of("ab", content=BOX))
    before = fake.job_at(refs["a"])["shapes"][0]
    tool.publish_model("v4", {"b": Prelabel("v4", Content(), 0.5)})
    (left,) = fake.job_at(refs["a"])["shapes"]
    assert {**left, "id": 0} == {**before, "id": 0}


# what is taken out


def test_a_withdrawn_frame_is_deleted_and_gives_no_label(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("ab"))
    tool.withdraw([refs["a"]])
    (task,) = fake.tasks.values()
    assert task["deleted"] == [0]
    fake.complete(fake.job_at(refs["b"]))
    assert set(told(tool.changed_since(""))) == {"b"}


def test_frames_that_people_deleted_stay_deleted_when_more_are_withdrawn(fake):
    tool = make_tool(fake, job_size=3)
    refs = tool.push(batch_of("abc"))
    (task,) = fake.tasks.values()
    task["deleted"] = [1]
    tool.withdraw([refs["a"]])
    assert task["deleted"] == [0, 1]


@pytest.mark.parametrize("state", ["completed", "rejected"])
def test_a_frame_that_was_handed_in_is_not_withdrawn(fake, state):
    tool = make_tool(fake)
    refs = tool.push(batch_of("ab"))
    fake.move(fake.job_at(refs["a"]), state=state)
    tool.withdraw([refs["a"]])
    assert next(iter(fake.tasks.values()))["deleted"] == []


def test_a_frame_that_somebody_drew_on_is_not_withdrawn_and_its_neighbour_is(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("ab"))
    fake.tag(fake.job_at(refs["a"]), "dog")
    tool.withdraw([refs["a"], refs["b"]])
    assert next(iter(fake.tasks.values()))["deleted"] == [1]


def test_a_job_without_any_frame_left_is_completed_and_says_nothing(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("abc"))
    tool.withdraw(list(refs.values())[:2])
    assert [job["state"] for job in fake.jobs.values()] == ["completed", "new"]
    assert tool.changed_since("").labels == ()


def test_an_answer_to_a_withdrawn_frame_that_people_brought_back_counts(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("ab"))
    tool.withdraw([refs["a"]])
    next(iter(fake.tasks.values()))["deleted"] = []
    fake.complete(fake.job_at(refs["a"]))
    assert told(tool.changed_since(""))["a"].content == CAT


def test_refs_of_other_tools_and_projects_are_no_error(fake):
    tool = make_tool(fake)
    tool.push(batch_of("a"))
    tool.withdraw(["17", "job:frame", "999999:0", "1:2:3"])
    assert next(iter(fake.tasks.values()))["deleted"] == []


# the project


def test_a_project_for_other_labels_is_refused_with_the_differences(fake):
    make_tool(fake).push(batch_of("a"))
    with pytest.raises(ConfigError, match=r"label 'cow' \(tag\) is missing; label 'dog' is one too many"):
        make_tool(fake, labels=("cat", "cow")).push(batch_of("a"))


def test_a_project_for_another_task_is_refused_with_the_differences(fake):
    make_tool(fake).push(batch_of("a"))
    with pytest.raises(ConfigError, match="label 'cat' is of type tag instead of rectangle"):
        make_tool(fake, Task.DETECT).changed_since("")


def test_a_label_that_can_be_any_shape_will_do(fake):
    make_tool(fake, Task.DETECT).push(batch_of("a", content=BOX))
    for label in fake.labels.values():
        label["type"] = "any"
    assert make_tool(fake, Task.DETECT).changed_since("").labels == ()


def test_two_projects_of_one_name_are_refused(fake):
    make_tool(fake).push(batch_of("a"))
    fake.projects[999] = next(iter(fake.projects.values())) | {"id": 999}
    with pytest.raises(ConfigError, match="2 projects 'Signs'"):
        make_tool(fake).changed_since("")


def test_a_project_that_is_gone_does_not_take_its_labels_along(fake):
    tool = make_tool(fake)
    refs = tool.push(batch_of("a"))
    fake.complete(fake.job_at(refs["a"]))
    cursor = tool.changed_since("").cursor
    fake.projects.clear()
    with pytest.raises(ConfigError, match="has no project 'Signs' any more"):
        tool.changed_since(cursor)


def test_a_label_called_unclear_is_refused(fake):
    with pytest.raises(ConfigError, match="nobody can tell"):
        make_tool(fake, labels=("cat", "unclear"))


def test_a_stage_that_cvat_does_not_have_is_refused(fake):
    with pytest.raises(ConfigError, match="no stage 'review'; use annotation, validation, acceptance"):
        make_tool(fake, place={"done": "review"})
