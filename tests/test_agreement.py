"""What several answers come to, on answers that can be judged by eye, and what holds for all of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.agreement import Rule, Verdict, judge, likeness, says
from alloop.nouns import Box, Content, Label, Outcome, Task

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
CLASSES, BOXES, OUTLINES = (Rule(task, 0.6) for task in Task)
UNCLEAR, SKIPPED, REJECTED = Outcome.UNCLEAR, Outcome.SKIPPED, Outcome.REJECTED
NEAR = Box("cat", 0, 0, 10, 10)
MIDDLE = Box("cat", 1, 0, 11, 10)
FAR = Box("cat", 50, 50, 60, 60)
DOG = Box("dog", 0, 0, 10, 10)


def answers(*votes):
    """Answers in this order, each of somebody else: a class, boxes in a tuple, or an outcome."""
    return [_label(number, vote) for number, vote in enumerate(votes)]


def _label(number, vote):
    outcome = vote if isinstance(vote, Outcome) else Outcome.LABELLED
    content = None if isinstance(vote, Outcome) else Content(vote) if isinstance(vote, str) else Content(boxes=vote)
    return Label("a", f"person {number}", outcome, f"ref {number}", START + timedelta(minutes=number), content)


@pytest.mark.parametrize(
    ("votes", "outcome", "says"),
    [
        (("cat",), Outcome.LABELLED, "cat"),
        (("cat", "cat"), Outcome.LABELLED, "cat"),
        (("cat", "dog"), None, None),
        (("cat", "dog", "cat"), Outcome.LABELLED, "cat"),
        (("cat", "dog", "bird"), None, None),
        (("cat", "cat", "dog", "dog"), None, None),
        (("cat", UNCLEAR), None, None),
        (("cat", "cat", UNCLEAR), Outcome.LABELLED, "cat"),
        (("cat", "dog", UNCLEAR), None, None),
        ((UNCLEAR, SKIPPED), UNCLEAR, None),
        ((SKIPPED,), UNCLEAR, None),
        (("cat", UNCLEAR, SKIPPED), UNCLEAR, None),
        ((REJECTED, REJECTED), REJECTED, None),
        ((REJECTED, UNCLEAR), None, None),
    ],
)
def test_a_strict_majority_of_the_classes_stands(votes, outcome, says):
    found = judge(answers(*votes), None, CLASSES)
    assert (found.outcome, found.content and found.content.class_name) == (outcome, says)


def test_agreement_is_the_share_of_pairs_that_say_the_same():
    assert judge(answers("cat", "cat", "dog"), None, CLASSES).agreement == pytest.approx(1 / 3)
    assert judge(answers("cat"), None, CLASSES).agreement is None


@pytest.mark.parametrize(
    ("again", "outcome", "says"),
    [
        ("cat", Outcome.LABELLED, "cat"),
        ("dog", Outcome.LABELLED, "dog"),
        ("bird", UNCLEAR, None),
        (UNCLEAR, UNCLEAR, None),
        (REJECTED, UNCLEAR, None),
    ],
)
def test_a_third_answer_stands_when_somebody_said_the_same(again, outcome, says):
    told = answers("cat", "dog", again)
    found = judge(told, told[2:], CLASSES)
    assert (found.outcome, found.content and found.content.class_name) == (outcome, says)


def test_who_could_not_tell_is_confirmed_by_somebody_who_cannot_either():
    told = answers("cat", UNCLEAR, SKIPPED)
    assert judge(told, told[2:], CLASSES) == Verdict(UNCLEAR, None, pytest.approx(1 / 3))


def test_nobody_confirms_oneself():
    told = answers("cat", "dog")
    assert judge(told, told[1:], CLASSES).outcome is UNCLEAR


def test_without_a_further_answer_it_stays_disputed():
    assert judge(answers("cat", "dog"), [], CLASSES).outcome is None


def test_of_two_further_answers_the_newest_that_is_confirmed_stands():
    told = answers("cat", "dog", "dog", "bird")
    assert judge(told, told[2:], CLASSES).content == Content("dog")


@pytest.mark.parametrize(
    ("ours", "theirs", "f1"),
    [
        ((), (), 1.0),
        ((NEAR,), (), 0.0),
        ((NEAR,), (NEAR,), 1.0),
        ((NEAR,), (MIDDLE,), 1.0),
        ((NEAR,), (DOG,), 0.0),
        ((NEAR,), (FAR,), 0.0),
        ((NEAR, FAR), (MIDDLE,), 2 / 3),
        ((NEAR, FAR), (MIDDLE, DOG), 0.5),
        ((NEAR, NEAR), (NEAR,), 2 / 3),
    ],
)
def test_boxes_are_as_alike_as_their_f1(ours, theirs, f1):
    assert likeness(Content(boxes=ours), Content(boxes=theirs), Task.DETECT) == pytest.approx(f1)


def test_as_many_boxes_as_possible_find_a_partner():
    """The closest pair, MIDDLE with MIDDLE, would leave two boxes alone that overlap by 0.43."""
    right = Box("cat", 4, 0, 14, 10)
    assert likeness(Content(boxes=(NEAR, MIDDLE)), Content(boxes=(MIDDLE, right)), Task.DETECT) == 1.0


def test_merged_boxes_lie_in_the_middle_and_one_that_only_one_person_saw_is_gone():
    found = judge(answers((NEAR, FAR), (MIDDLE,)), None, BOXES)
    assert found == Verdict(Outcome.LABELLED, Content(boxes=(Box("cat", 0.5, 0, 10.5, 10),)), pytest.approx(2 / 3))


def test_of_three_answers_a_box_stands_that_two_have_with_the_median_of_its_corners():
    found = judge(answers((NEAR, FAR), (MIDDLE, FAR), (Box("cat", 0, 0, 10, 12),)), None, BOXES)
    assert set(found.content.boxes) == {Box("cat", 0, 0, 10, 10), FAR}


@pytest.mark.parametrize("theirs", [(FAR,), (DOG,), (), (NEAR, FAR, DOG, Box("dog", 80, 80, 90, 90))])
def test_boxes_that_are_too_different_are_disputed(theirs):
    assert judge(answers((NEAR,), theirs), None, BOXES).outcome is None


def test_the_least_f1_is_enough():
    told = answers((NEAR, FAR), (MIDDLE,))
    assert judge(told, None, Rule(Task.DETECT, 2 / 3)).outcome is Outcome.LABELLED
    assert judge(told, None, Rule(Task.DETECT, 0.67)).outcome is None


def test_two_who_see_nothing_agree_on_nothing():
    assert judge(answers((), ()), None, BOXES) == Verdict(Outcome.LABELLED, Content(), 1.0)


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        (((NEAR,), (NEAR,), UNCLEAR), Outcome.LABELLED),
        (((NEAR,), UNCLEAR), None),
        (((NEAR,), UNCLEAR, SKIPPED), UNCLEAR),
        (((NEAR,), UNCLEAR, REJECTED), None),
    ],
)
def test_whether_there_are_boxes_at_all_is_a_matter_of_majority(votes, outcome):
    assert judge(answers(*votes), None, BOXES).outcome is outcome


def test_a_third_answer_is_merged_with_those_that_agree_with_it():
    told = answers((NEAR,), (FAR,), (MIDDLE,))
    found = judge(told, told[2:], BOXES)
    assert found.content == Content(boxes=(Box("cat", 0.5, 0, 10.5, 10),))


def test_outlines_have_no_middle_so_the_one_nearest_to_it_stands_whole():
    shapes = [
        Box("cat", x, 0, x + 10, 10, polygon=((x, 0.0), (x + 10.0, 0.0), (x + 10.0, 10.0), (x, 10.0)))
        for x in (0.0, 0.5, 2.0)
    ]
    found = judge(answers(*((shape,) for shape in shapes)), None, OUTLINES)
    assert found.content == Content(boxes=(shapes[1],))


def test_outlines_in_one_box_that_do_not_overlap_are_two_objects():
    upper = Box("cat", 0, 0, 10, 10, polygon=((0, 0), (10, 0), (0, 10)))
    lower = Box("cat", 0, 0, 10, 10, polygon=((10, 10), (10, 0), (0, 10)))
    assert judge(answers((upper,), (lower,)), None, OUTLINES).outcome is None
    assert judge(answers((upper,), (lower,)), None, BOXES).outcome is Outcome.LABELLED


corners = st.integers(0, 8).map(float)
boxes = st.builds(
    lambda name, x, y, width, height: Box(name, x, y, x + width, y + height),
    st.sampled_from(["cat", "dog"]),
    corners,
    corners,
    st.integers(1, 6),
    st.integers(1, 6),
)
outcomes = st.sampled_from([UNCLEAR, SKIPPED, REJECTED])
votes_of = {
    Task.CLASSIFY: st.sampled_from(["cat", "dog", "bird"]) | outcomes,
    Task.DETECT: st.lists(boxes, max_size=4).map(tuple) | outcomes,
}
tasks = st.sampled_from([Task.CLASSIFY, Task.DETECT])
few = settings(max_examples=150)


@few
@given(data=st.data(), task=tasks)
def test_the_order_of_independent_answers_makes_no_difference(data, task):
    told = answers(*data.draw(st.lists(votes_of[task], min_size=1, max_size=4)))
    shuffled = data.draw(st.permutations(told))
    assert judge(told, None, Rule(task, 0.6)) == judge(shuffled, None, Rule(task, 0.6))


@few
@given(data=st.data(), task=tasks, count=st.integers(1, 4))
def test_people_who_all_say_the_same_have_said_it(data, task, count):
    vote = data.draw(votes_of[task])
    told = answers(*[vote] * count)
    found = judge(told, None, Rule(task, 1.0))
    assert (found.content or found.outcome) == says(told[0])
    assert found.agreement in (None, 1.0)


@few
@given(data=st.data(), task=tasks)
def test_what_stands_is_made_of_what_people_said(data, task):
    told = answers(*data.draw(st.lists(votes_of[task], min_size=1, max_size=4)))
    again = data.draw(st.none() | st.integers(0, len(told)).map(lambda first: told[first:]))
    found = judge(told, again, Rule(task, 0.3))
    labelled = [label.content for label in told if label.outcome is Outcome.LABELLED]
    assert (found.content is not None) == (found.outcome is Outcome.LABELLED)
    assert not again or found.outcome is not None
    if found.content is not None and task is Task.CLASSIFY:
        assert found.content in labelled
    if found.content is not None:
        said = [box for content in labelled for box in content.boxes]
        for box in found.content.boxes:
            own = [one for one in said if one.class_name == box.class_name]
            assert min(one.x0 for one in own) <= box.x0 < box.x1 <= max(one.x1 for one in own)
            assert min(one.y0 for one in own) <= box.y0 < box.y1 <= max(one.y1 for one in own)


@few
@given(data=st.data())
def test_merged_boxes_are_no_more_than_most_people_have_each(data):
    told = answers(*data.draw(st.lists(st.lists(boxes, max_size=4).map(tuple), min_size=1, max_size=4)))
    found = judge(told, None, Rule(Task.DETECT, 0.01))
    total = sum(len(label.content.boxes) for label in told)
    if found.content is not None:
        assert len(found.content.boxes) * (len(told) // 2 + 1) <= total


@few
@given(data=st.data(), task=tasks)
def test_likeness_is_mutual_and_between_nothing_and_the_same(data, task):
    one, other = (says(label) for label in answers(data.draw(votes_of[task]), data.draw(votes_of[task])))
    assert likeness(one, other, task) == likeness(other, one, task)
    assert 0 <= likeness(one, other, task) <= 1
    assert likeness(one, one, task) == 1
