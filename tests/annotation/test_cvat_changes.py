import json

import pytest

from alloop.nouns import Box, Content, Outcome, Task
from tests.annotation.cvat_project import BOX, CAT, DOG, batch_of, make_tool, told
from tests.annotation.fake_cvat import FakeCvat


@pytest.fixture
def fake():
    with FakeCvat().serving() as fake:
        yield fake


def finished(fake, tool, names="a", **options):
    """The job of the first of these samples, pushed."""
    refs = tool.push(batch_of(names, **options))
    return fake.job_at(refs[names[0]])


def test_what_nobody_touched_in_a_completed_job_is_its_annotators_answer(fake):
    tool = make_tool(fake)
    fake.complete(finished(fake, tool, "ab"), who="ann")
    labels = told(tool.changed_since(""))
    assert {(label.content, label.annotator, label.outcome) for label in labels.values()} == {
        (CAT, "ann", Outcome.LABELLED)
    }


def test_a_job_that_is_not_completed_says_nothing(fake):
    tool = make_tool(fake)
    fake.move(finished(fake, tool), state="in progress")
    assert tool.changed_since("").labels == ()


def test_an_answer_carries_the_jobs_date_and_a_ref_of_job_and_frame(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    fake.complete(job)
    label = told(tool.changed_since(""))["a"]
    assert label.updated_at == fake.now
    assert label.ref == f"{job['id']}:0"


def test_a_job_without_an_assignee_is_answered_by_cvat(fake):
    tool = make_tool(fake)
    fake.complete(finished(fake, tool), who="")
    assert told(tool.changed_since(""))["a"].annotator == "cvat"


def test_a_replica_without_an_assignee_is_refused(fake):
    tool = make_tool(fake)
    fake.complete(finished(fake, tool, annotators=2), who="")
    changes = tool.changed_since("")
    assert changes.labels == ()
    assert "assigned to nobody" in changes.refused[0].reason


def test_what_cvat_merges_from_replicas_is_nobodys_answer(fake):
    tool = make_tool(fake)
    tool.push(batch_of("a", annotators=2))
    (merged,) = (job for job in fake.jobs.values() if job["type"] == "annotation")
    fake.complete(merged, who="ann")
    assert tool.changed_since("").labels == ()


def test_a_frame_without_shapes_says_that_nothing_is_there(fake):
    tool = make_tool(fake, Task.DETECT)
    job = finished(fake, tool, content=BOX)
    fake.clear(job, 0)
    fake.complete(job)
    label = told(tool.changed_since(""))["a"]
    assert (label.outcome, label.content) == (Outcome.LABELLED, Content())


def test_a_frame_without_a_tag_is_a_skip(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    fake.clear(job, 0)
    fake.complete(job)
    assert told(tool.changed_since(""))["a"].outcome is Outcome.SKIPPED


def test_a_frame_that_people_deleted_is_a_skip(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    next(iter(fake.tasks.values()))["deleted"] = [0]
    fake.complete(job)
    assert told(tool.changed_since(""))["a"].outcome is Outcome.SKIPPED


@pytest.mark.parametrize(("task", "content"), [(Task.CLASSIFY, CAT), (Task.DETECT, BOX)])
def test_the_tag_unclear_outweighs_everything(fake, task, content):
    tool = make_tool(fake, task)
    job = finished(fake, tool, content=content)
    fake.tag(job, "unclear")
    fake.complete(job)
    assert told(tool.changed_since(""))["a"].outcome is Outcome.UNCLEAR


def test_a_tag_that_somebody_added_beats_the_models(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    fake.tag(job, "dog")
    fake.complete(job)
    assert told(tool.changed_since(""))["a"].content == DOG


def test_shapes_come_back_in_pixels(fake):
    tool = make_tool(fake, Task.DETECT)
    job = finished(fake, tool, content=BOX)
    fake.draw(job, "rectangle", [20, 5, 38.5, 29], label="dog")
    fake.complete(job)
    assert told(tool.changed_since(""))["a"].content == Content(boxes=(*BOX.boxes, Box("dog", 20, 5, 38.5, 29)))


def test_an_answer_that_cannot_be_used_says_where_and_why_and_leaves_the_others(fake):
    tool = make_tool(fake, Task.DETECT)
    job = finished(fake, tool, "ab", content=None)
    fake.draw(job, "ellipse", [10, 10, 20, 5])
    fake.complete(job)
    changes = tool.changed_since("")
    assert {key for key, label in told(changes).items() if not label.deleted} == {"b"}
    assert changes.refused[0].where == f"task {job['task_id']}, job {job['id']}, frame 0"
    assert "'ellipse'" in changes.refused[0].reason


def test_a_refusal_is_mended_when_its_job_was_completed_again_or_is_open_again_and_not_before(fake):
    tool = make_tool(fake, Task.DETECT)
    job = finished(fake, tool, content=None)
    fake.draw(job, "ellipse", [10, 10, 20, 5])
    fake.complete(job)
    first = tool.changed_since("")
    where = first.refused[0].where
    again = tool.changed_since(first.cursor)
    assert not again.is_mended(where)
    fake.move(job, state="in progress")
    assert tool.changed_since(again.cursor).is_mended(where)
    job["shapes"].clear()
    fake.complete(job)
    last = tool.changed_since(again.cursor)
    assert (last.refused, last.is_mended(where)) == ((), True)


def test_a_replica_is_no_longer_refused_once_it_was_completed_by_somebody(fake):
    tool = make_tool(fake)
    job = finished(fake, tool, annotators=2)
    fake.complete(job, who="")
    first = tool.changed_since("")
    assert [refusal.where for refusal in first.refused] == [f"job {job['id']}"]
    fake.complete(job, who="ann")
    assert tool.changed_since(first.cursor).is_mended(f"job {job['id']}")


def test_an_answer_that_becomes_unusable_counts_no_more(fake):
    tool = make_tool(fake, Task.DETECT)
    job = finished(fake, tool, content=BOX)
    fake.complete(job)
    assert not told(tool.changed_since(""))["a"].deleted
    fake.draw(job, "ellipse", [10, 10, 20, 5])
    fake.complete(job)
    assert told(tool.changed_since(""))["a"].deleted


def test_a_track_makes_the_frames_it_runs_over_unusable(fake):
    tool = make_tool(fake, Task.DETECT)
    job = finished(fake, tool, "ab", content=None)
    label = next(iter(fake.labels))
    shape = {"type": "rectangle", "frame": 1, "points": [1, 1, 5, 5], "occluded": False, "outside": False}
    job["tracks"] = [{"id": 1, "frame": 1, "label_id": label, "shapes": [shape]}]
    fake.complete(job)
    changes = tool.changed_since("")
    assert {key for key, label in told(changes).items() if not label.deleted} == {"a"}
    assert "track" in changes.refused[0].reason


def test_an_image_of_another_size_is_refused(fake):
    tool = make_tool(fake, size_of=lambda samples: dict.fromkeys(samples, (80, 60)))
    fake.complete(finished(fake, tool))
    assert "40 x 30 pixels, its sample 80 x 60" in tool.changed_since("").refused[0].reason


# stages and what comes after


@pytest.mark.parametrize(
    ("done", "stage", "state", "is_told"),
    [
        ("annotation", "annotation", "completed", True),
        ("annotation", "validation", "new", True),
        ("annotation", "validation", "rejected", False),
        ("annotation", "annotation", "rejected", False),
        ("validation", "annotation", "completed", False),
        ("validation", "validation", "completed", True),
        ("acceptance", "validation", "completed", False),
        ("acceptance", "acceptance", "completed", True),
    ],
)
def test_a_job_is_done_when_its_stage_is(fake, done, stage, state, is_told):
    tool = make_tool(fake, place={"done": done})
    fake.move(finished(fake, tool), stage=stage, state=state)
    assert bool(tool.changed_since("").labels) is is_told


def test_what_is_rejected_afterwards_does_not_stand_and_comes_again(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    fake.complete(job)
    first = tool.changed_since("")
    fake.move(job, state="rejected")
    second = tool.changed_since(first.cursor)
    assert (second.labels, second.present) == ((), frozenset())
    fake.tag(job, "dog")
    fake.complete(job)
    third = tool.changed_since(second.cursor)
    assert told(third)["a"].content == DOG
    assert told(third)["a"].updated_at > told(first)["a"].updated_at
    assert third.present == {f"{job['id']}:0"}


def test_an_answer_changed_in_a_completed_job_is_told_again(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    fake.complete(job)
    cursor = tool.changed_since("").cursor
    fake.tag(job, "dog")
    assert told(tool.changed_since(cursor))["a"].content == DOG


def test_a_job_that_is_seen_late_is_told(fake):
    tool = make_tool(fake, job_size=1)
    refs = tool.push(batch_of("ab"))
    late, early = (fake.job_at(refs[name]) for name in "ab")
    fake.complete(late)
    hidden = fake.jobs.pop(late["id"])
    fake.complete(early)
    cursor = tool.changed_since("").cursor
    fake.jobs[late["id"]] = hidden
    assert set(told(tool.changed_since(cursor))) == {"a"}


def test_nothing_new_asks_for_no_annotations(fake):
    tool = make_tool(fake)
    fake.complete(finished(fake, tool))
    cursor = tool.changed_since("").cursor
    before = len(fake.requests)
    assert tool.changed_since(cursor).cursor == cursor
    assert not any("annotations" in target for _, target in fake.requests[before:])


def test_a_project_made_anew_is_read_from_its_beginning(fake):
    tool = make_tool(fake)
    fake.complete(finished(fake, tool))
    cursor = json.dumps(json.loads(tool.changed_since("").cursor) | {"project": 999})
    assert set(told(tool.changed_since(cursor))) == {"a"}


def test_jobs_of_other_tasks_in_the_project_are_nobodys_business(fake):
    tool = make_tool(fake)
    job = finished(fake, tool)
    fake.complete(job)
    next(iter(fake.tasks.values()))["name"] = "somebody's own task"
    changes = tool.changed_since("")
    assert (changes.labels, changes.present) == ((), frozenset())


def test_more_jobs_than_a_page_are_all_read(fake):
    tool = make_tool(fake, job_size=1)
    names = [f"s{number}" for number in range(60)]
    tool.push(batch_of(names))
    for job in list(fake.jobs.values()):
        fake.complete(job)
    assert set(told(tool.changed_since(""))) == set(names)
