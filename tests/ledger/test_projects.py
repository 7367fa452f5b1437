"""A project's task and label set: they may change until a cycle or a label rests on them."""

import pytest
from sqlalchemy import text

from alloop.errors import ConfigError
from alloop.ledger.tables import ProjectRow
from alloop.nouns import Box, Content, Task


@pytest.fixture
def again(url, open_at, ledger):
    """Opens the project of `ledger` with other settings."""
    return lambda **changed: open_at(url, project=ledger.samples._project, **changed)


def there(ledger):
    with ledger.database.read() as session:
        row = session.get_one(ProjectRow, ledger.samples._project)
        return Task(row.task), tuple(row.labels)


CHANGES = [
    {"labels": ("cat", "dog", "bird")},
    {"labels": ("dog", "cat")},
    {"labels": ("x", "y")},
    {"task": Task.DETECT},
]


@pytest.mark.parametrize("changed", CHANGES)
def test_before_anything_rests_on_them_task_and_labels_may_change(ledger, loop, again, changed):
    loop.add("ab")
    with again(**changed) as other:
        assert there(other) == (changed.get("task", Task.CLASSIFY), changed.get("labels", ("cat", "dog")))


@pytest.mark.parametrize("changed", CHANGES)
def test_once_a_cycle_is_open_they_stay(ledger, loop, again, changed):
    loop.open()
    with pytest.raises(ConfigError, match="they stay as they are once a cycle has been opened; write task = "):
        again(**changed)
    assert there(ledger) == (Task.CLASSIFY, ("cat", "dog"))
    with again():
        pass


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"labels": ("cat", "bird")}, r"\('bird' new; 'dog' missing\)"),
        ({"labels": ("dog", "cat")}, r"\(the labels are in another order\)"),
        ({"task": Task.DETECT}, r"\(task detect, not classify\)"),
    ],
)
def test_a_refusal_says_what_differs_and_what_to_write(ledger, loop, again, changed, told):
    loop.open()
    with pytest.raises(ConfigError, match=told) as error:
        again(**changed)
    assert 'write task = "classify" and labels = ["cat", "dog"] again, or choose another [project] name' in str(
        error.value
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("truths_are_labels", [True, False])
def test_a_label_that_a_sample_has_stays_and_the_others_may_go(ledger, loop, again, truths_are_labels):
    loop.add("a", truth=Content("cat"), truths_are_labels=truths_are_labels)
    with pytest.raises(ConfigError, match="samples have the label 'cat'; write task"):
        again(labels=("dog", "bird"))
    with again(labels=("cat", "bird")) as other:
        assert there(other) == (Task.CLASSIFY, ("cat", "bird"))


def test_a_class_of_a_box_stays_too(url, open_at, loop_of):
    with open_at(url, project="boxes", task=Task.DETECT) as ledger:
        loop_of(ledger).add("a", truth=Content(boxes=(Box("dog", 0, 0, 2, 2),)), truths_are_labels=True)
        with pytest.raises(ConfigError, match="samples have the label 'dog'"):
            open_at(url, project="boxes", task=Task.DETECT, labels=("cat", "bird"))


def test_the_task_stays_once_samples_have_labels(ledger, loop, again):
    loop.add("a", truth=Content("cat"), truths_are_labels=True)
    with pytest.raises(ConfigError, match="its samples have labels for that task"):
        again(task=Task.DETECT)


def test_opening_again_waits_for_no_writer(ledger, again, short_patience):
    with ledger.database.write() as session:
        session.execute(text("SELECT 1"))
        with again() as other:
            assert there(other) == (Task.CLASSIFY, ("cat", "dog"))
