"""The loop itself with several people on a real Label Studio: what is shared, disputed, asked again, and spoilt."""

import threading
from collections import Counter
from dataclasses import replace

import pytest

from alloop.cycle import wait_for_labels
from alloop.errors import LabelsPending
from alloop.nouns import Content, Lane, Outcome
from tests.annotation.label_studio_behaviour import batch_of as batch_named
from tests.annotation.label_studio_person import Person, choice
from tests.live.label_studio_server import TOKEN
from tests.live.test_label_studio_live import make_tool
from tests.loop_project import batch_of, for_holdout, project, truly, without_labels, write_digits
from tests.small_project import STEPS, run_until_pushed

MORE = """overlap_share = 0.5
[annotation.label_studio]
url = "{url}"
token = "{token}"
project = "{title}"
[service]
signing_key = "a-signing-key-of-32-characters-x"
"""


@pytest.fixture
def people(accounts, title):
    return [Person(client, title, email) for email, client in accounts.items()]


@pytest.fixture
def rows(tmp_path):
    return write_digits(tmp_path / "images", 70)


@pytest.fixture
def ws(server, title, tmp_path, rows):
    """A project whose first batch has eight samples, and a holdout with labels of its own."""
    pool = for_holdout(rows[:20]) + without_labels(rows[20:])
    more = MORE.format(url=server.url, token=TOKEN, title=title)
    with project(tmp_path / "loop", pool, tool="label-studio", more=more) as ws:
        yield ws


@pytest.fixture
def knows(ws, rows):
    """What everybody says who looks: {sample id: digit}."""
    says = truly(rows)
    return lambda sample: says(ws.ledger.samples.get([sample])[sample])["label"]


def drain(people, says):
    """All that the queue serves, to people who take turns; how many answers that were."""
    count = 0
    while served := [(person, task) for person in people if (task := person.next()) is not None]:
        for person, task in served:
            person.choose(task["id"], says(person, task["data"]["item_id"]))
            count += 1
    return count


def test_what_two_people_disagree_about_the_third_decides(ws, people, knows):
    cycle = run_until_pushed(ws)
    shared = {item.sample.id for item in batch_of(ws, cycle).items if item.annotators == 2}
    told, wrong = {}, []

    def says(person, sample):
        told.setdefault(sample, []).append(person.email)
        if sample in shared and len(told[sample]) == 2 and not wrong:
            wrong.append(sample)
            return "0" if knows(sample) != "0" else "1"
        return knows(sample)

    assert drain(people, says) == 8 + len(shared) == 12
    assert {sample: len(set(names)) for sample, names in told.items() if sample in shared} == dict.fromkeys(shared, 2)
    wait_for_labels(ws, cycle)
    assert list(ws.ledger.labels.disputed(before=cycle + 1)) == wrong
    for step in STEPS[4:]:
        step(ws, cycle)

    cycle, before = run_until_pushed(ws), set(told[wrong[0]])
    (again,) = (item for item in batch_of(ws, cycle).items if item.lane is Lane.RELABEL)
    assert again.sample.id == wrong[0]
    drain(people, says)
    wait_for_labels(ws, cycle)
    assert len(set(told[wrong[0]]) - before) == 1
    assert len(told[wrong[0]]) == 3
    assert ws.ledger.labels.verdicts()[wrong[0]] == (Outcome.LABELLED, Content(knows(wrong[0])))


def test_an_answer_that_was_spoilt_is_waited_for_and_not_trained_on(ws, people, knows):
    cycle = run_until_pushed(ws)
    drain(people, lambda person, sample: knows(sample))
    one = next(item for item in batch_of(ws, cycle).items if item.annotators == 1)
    refs = ws.ledger.batches.refs(cycle)
    with pytest.raises(LabelsPending, match="7 of 8 samples"):
        spoil(ws, cycle, people[0], refs[one.sample.id])
    assert any("0 choices are made" in reason for _, reason in ws.ledger.labels.refusals())
    (made,) = annotations(people[0], refs[one.sample.id])
    people[0].edit(made["id"], result=[choice(knows(one.sample.id))])
    wait_for_labels(ws, cycle)
    assert len(ws.ledger.labels.training_set(cycle).labels) == 8


def test_one_that_is_spoilt_after_its_batch_leaves_the_next_training_set(ws, people, knows):
    cycle = run_until_pushed(ws)
    drain(people, lambda person, sample: knows(sample))
    for step in STEPS[3:]:
        step(ws, cycle)
    one = next(item for item in batch_of(ws, cycle).items if item.annotators == 1)
    (made,) = annotations(people[0], ws.ledger.batches.refs(cycle)[one.sample.id])
    people[0].edit(made["id"], result=[])
    after = run_until_pushed(ws)
    drain(people, lambda person, sample: knows(sample))
    wait_for_labels(ws, after)
    first, second = (ws.ledger.labels.training_set(number).labels for number in (cycle, after))
    assert one.sample.id in {label.sample.id for label in first}
    assert {label.sample.id for label in first} - {label.sample.id for label in second} == {one.sample.id}


def test_people_who_answer_while_it_is_pushed_are_two_for_each_sample(server, title, people):
    names = [f"{number:02d}" for number in range(40)]
    plain = batch_named(names)
    batch = replace(plain, items=tuple(replace(item, annotators=2) for item in plain.items))
    tool, done = make_tool(server, title), threading.Event()
    tool.push(replace(batch, items=()))

    def work(person):
        while not done.is_set():
            person.work(1)

    crowd = [threading.Thread(target=work, args=(person,)) for person in people]
    for one in crowd:
        one.start()
    cursor, answers = "", Counter()
    try:
        tool.push(batch)
        for _ in range(600):
            changes = tool.changed_since(cursor)
            cursor = changes.cursor
            answers.update({(label.sample_id, label.annotator): 1 for label in changes.labels})
            if len(answers) == 80:
                break
            done.wait(0.1)
    finally:
        done.set()
        for one in crowd:
            one.join()
    assert Counter(sample for sample, _ in answers) == dict.fromkeys(names, 2)


def spoil(ws, cycle, person, ref):
    """Once it was read in, somebody removes what an annotation says."""
    ws.ledger.labels.record(ws.tool.name, ws.tool.changed_since(""))
    (made,) = annotations(person, ref)
    person.edit(made["id"], result=[])
    wait_for_labels(ws, cycle)


def annotations(person, ref):
    return [one for task in person.tasks().values() if str(task["id"]) == ref for one in task["annotations"]]
