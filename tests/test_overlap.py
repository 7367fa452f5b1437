"""The loop with several annotators for a share of each batch: who is asked, what stands, and nothing twice."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, text

from alloop.choosing import replay_batch
from alloop.cycle import open_cycle, wait_for_labels, walk
from alloop.errors import ConfigError, LabelsPending
from alloop.nouns import BatchItem, Lane, Lift, Outcome
from alloop.summary import Summary, summarise
from alloop.workspace import Workspace, open_workspace
from tests.loop_project import Row, answer, batch_of, for_holdout, project, story, truly, without_labels, write_digits
from tests.scene_project import scene_project
from tests.small_project import run_cycles, run_until_pushed

ERRING = "overlap_share = 0.5\n[annotation.simulated]\nerror_rate = 0.3\nannotators = 4"
CYCLES = 4


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    digits = write_digits(tmp_path_factory.mktemp("digits") / "images", 110)
    return for_holdout(digits[:30]) + digits[30:]


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Iterator[Workspace]:
    """Four cycles of people who are wrong in three of ten answers."""
    with project(tmp_path_factory.mktemp("overlap") / "loop", rows, more=ERRING) as ws:
        run_cycles(ws, CYCLES)
        yield ws


@pytest.fixture(scope="module")
def summary(ws: Workspace) -> Summary:
    return summarise(ws)


def lane(ws: Workspace, cycle: int, *lanes: Lane) -> list[BatchItem]:
    return [item for item in batch_of(ws, cycle).items if item.lane in lanes]


# Who is asked


def test_a_share_of_what_is_trained_on_is_for_several_annotators(ws: Workspace) -> None:
    for cycle in range(CYCLES):
        chosen = lane(ws, cycle, Lane.ACTIVE, Lane.CONTROL)
        assert sum(item.annotators == 2 for item in chosen) == len(chosen) / 2
        assert {item.annotators for item in lane(ws, cycle, Lane.RELABEL)} <= {1}


def test_a_small_share_of_a_small_batch_is_one_sample(tmp_path: Path, rows: list[Row]) -> None:
    with project(tmp_path / "loop", rows, more="overlap_share = 0.01\noverlap = 3") as ws:
        cycle = run_until_pushed(ws)
        assert Counter(item.annotators for item in batch_of(ws, cycle).items) == {1: 7, 3: 1}


def test_the_holdout_is_of_one_annotator_each(tmp_path: Path, rows: list[Row]) -> None:
    pool = without_labels([(uri, label, group, "pool") for uri, label, group, _ in rows])
    with project(tmp_path / "loop", pool, tool="folder", more="overlap_share = 1.0") as ws:
        cycle = run_until_pushed(ws)
        assert {item.annotators for item in lane(ws, cycle, Lane.HOLDOUT)} == {1}
        assert {item.annotators for item in lane(ws, cycle, Lane.ACTIVE)} == {2}


def test_without_a_share_everything_is_as_if_there_were_no_such_thing(tmp_path: Path, rows: list[Row]) -> None:
    told = []
    for name, more in (("plain", ""), ("none", "overlap_share = 0.0\noverlap = 3\nagreement = 0.9")):
        with project(tmp_path / name, rows, more=more) as ws:
            run_cycles(ws, 2)
            told.append(story(ws))
            assert {item.annotators for cycle in range(2) for item in batch_of(ws, cycle).items} == {1}
    assert told[0] == told[1]


def test_who_answers_does_not_change_what_is_chosen(tmp_path: Path, rows: list[Row]) -> None:
    asked = []
    for name, more in (("plain", ""), ("shared", "overlap_share = 0.5")):
        with project(tmp_path / name, rows, more=more) as ws:
            run_until_pushed(ws)
            asked.append([(item.sample.id, item.rank, item.lane) for item in batch_of(ws, 0).items])
    assert asked[0] == asked[1]


# What they disagree on


def test_what_is_disputed_is_asked_again_in_the_next_cycle_and_only_there(ws: Workspace) -> None:
    asked = [{item.sample.id for item in lane(ws, cycle, Lane.RELABEL)} for cycle in range(CYCLES)]
    assert [tuple(sorted(ids)) for ids in asked] == [ws.ledger.labels.disputed(before=cycle) for cycle in range(CYCLES)]
    assert asked[0] == set()
    assert all(asked[1:])
    assert sum(map(len, asked)) == len(set().union(*asked))


def test_it_is_asked_without_help_and_beyond_the_size_of_the_batch(ws: Workspace) -> None:
    for cycle in range(1, CYCLES):
        again = lane(ws, cycle, Lane.RELABEL)
        assert all(item.blind and item.shown is None for item in again)
        assert len(batch_of(ws, cycle).items) == 12 + len(again)


def test_somebody_else_is_asked(ws: Workspace) -> None:
    people: dict[str, list[str]] = {}
    for label, _ in ws.ledger.labels.given():
        people.setdefault(label.sample_id, []).append(label.annotator)
    again = {item.sample.id for cycle in range(CYCLES) for item in lane(ws, cycle, Lane.RELABEL)}
    assert all(len(names) == len(set(names)) for names in people.values())
    assert {len(people[key]) for key in again} == {3}


def test_every_sample_has_one_end_and_is_counted_once(ws: Workspace) -> None:
    open_ = set(ws.ledger.labels.disputed(before=CYCLES))
    tallies = [ws.ledger.batches.tally(cycle) for cycle in range(CYCLES)]
    assert sum(tally.total() for tally in map(Counter, tallies)) + len(open_) == 8 + 3 * 12
    trained = ws.ledger.labels.training_set(CYCLES - 1).labels
    assert len(trained) == sum(tally.get(Outcome.LABELLED, 0) for tally in tallies)
    assert not open_ & {label.sample.id for label in trained}


def test_two_heads_err_less_often_than_one(ws: Workspace, rows: list[Row]) -> None:
    truths = {uri: label for uri, label, _, _ in rows}
    shared = ws.ledger.labels.verdicts()
    wrong = {True: list[bool](), False: list[bool]()}
    for label in ws.ledger.labels.training_set(CYCLES - 1).labels:
        wrong[label.sample.id in shared].append(truths[label.sample.uri] != label.content.class_name)
    assert np.mean(wrong[True]) < np.mean(wrong[False])


def test_a_batch_with_them_is_chosen_again_alike(ws: Workspace) -> None:
    assert [replay_batch(ws, cycle) for cycle in range(CYCLES)] == [()] * CYCLES


# Killed


class Killed(Exception):
    """The process ends here."""


def run_killed(folder: Path, *, seed: int) -> int:
    """The cycles, by processes of which each is killed before one of its commits; how many there were."""
    dice, kills = np.random.default_rng(seed), 0

    def perhaps_die(_: Any) -> None:
        if dice.random() < 0.12:
            raise Killed

    while True:
        with open_workspace(folder) as ws:
            engine = ws.ledger.database._engine
            event.listen(engine, "commit", perhaps_die)
            try:
                while len(ws.ledger.decisions.all()) < CYCLES:
                    walk(ws, open_cycle(ws), wait=True)
                return kills
            except Killed:
                kills += 1
                event.remove(engine, "commit", perhaps_die)
                with engine.begin() as connection:  # the next process would see that this one is gone
                    connection.execute(text("UPDATE step SET owner = NULL"))


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_it_tells_the_same_story(
    tmp_path: Path, rows: list[Row], ws: Workspace, seed: int
) -> None:
    with project(tmp_path / "loop", rows, more=ERRING):
        pass
    assert run_killed(tmp_path / "loop", seed=seed) > 10
    with open_workspace(tmp_path / "loop") as again:
        assert story(again) == story(ws)
        assert again.ledger.labels.verdicts() == ws.ledger.labels.verdicts()
        assert [label for label, _ in again.ledger.labels.given()] == [label for label, _ in ws.ledger.labels.given()]


# People who answer in a folder


def test_a_batch_is_complete_when_two_people_have_answered_what_is_for_two(tmp_path: Path, rows: list[Row]) -> None:
    pool = [row for row in rows if row[3] == "holdout"] + without_labels([row for row in rows if row[3] == "pool"])
    with project(tmp_path / "loop", pool, tool="folder", more="overlap_share = 0.5") as ws:
        cycle, knows = run_until_pushed(ws), truly(rows)
        answer(ws, cycle, lambda sample: knows(sample) | {"annotator": "kim"})
        with pytest.raises(LabelsPending, match="4 of 8 samples"):
            wait_for_labels(ws, cycle)
        path = ws.config.root / "annotation" / "batch-0000" / "labels.jsonl"
        shared = [item.sample for item in batch_of(ws, cycle).items if item.annotators == 2]
        second = [{"sample": sample.id, **knows(sample), "annotator": "lee"} for sample in shared]
        second[0] |= {"label": "0" if second[0]["label"] != "0" else "1"}
        path.write_text(path.read_text() + "".join(json.dumps(line) + "\n" for line in second))
        wait_for_labels(ws, cycle)
        assert ws.ledger.labels.disputed(before=1) == (shared[0].id,)
        assert len(ws.ledger.labels.training_set(0).labels) == 7


# Boxes


def test_boxes_of_several_people_become_one_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOOP_ANNOTATION__OVERLAP_SHARE", "0.5")
    with scene_project(tmp_path) as ws:
        run_cycles(ws, 2)
        verdicts = ws.ledger.labels.verdicts()
        said = [(label.sample_id, label.content) for label, _ in ws.ledger.labels.given()]
        learnt = {label.sample.id: label.content for label in ws.ledger.labels.training_set(1).labels}
        people = summarise(ws).annotators
    assert len(verdicts) == 12
    for key, (outcome, content) in verdicts.items():
        both = [content for sample, content in said if sample == key]
        assert outcome is Outcome.LABELLED
        assert learnt[key] == content
        assert [len(one.boxes) for one in both] == [len(content.boxes)] * 2
    drawn = [(key, content) for key, (_, content) in verdicts.items() if content.boxes]
    assert all((key, content) not in said for key, content in drawn)  # between the two
    assert {person.agreement for person in people} == {1.0}


# What it tells


def test_hours_are_those_of_every_answer_by_cycle(summary: Summary) -> None:
    assert sum(row.annotator_hours for row in summary.cycles) == pytest.approx(summary.annotator_hours)
    assert summary.annotator_hours == pytest.approx(sum(person.hours for person in summary.annotators))


def test_lift_is_told_for_each_hour_of_its_cycle(summary: Summary) -> None:
    row, lift = summary.cycles[0], Lift(3.0, 1.0, 5.0)
    assert row.lift_per_hour is None
    assert row.decision is not None
    judged = replace(row, decision=replace(row.decision, lift=lift), annotator_hours=1.5)
    assert judged.lift_per_hour == 2.0
    assert replace(judged, annotator_hours=0.0).lift_per_hour is None


def test_everybodys_answers_and_agreement_are_told(ws: Workspace, summary: Summary) -> None:
    given = [label for label, _ in ws.ledger.labels.given()]
    settled = {key: content for key, (outcome, content) in ws.ledger.labels.verdicts().items() if outcome}
    assert [person.name for person in summary.annotators] == [f"annotator-{n}" for n in range(1, 5)]
    for person in summary.annotators:
        own = [label for label in given if label.annotator == person.name]
        shared = [label for label in own if label.sample_id in settled]
        agreed = [label for label in shared if label.content == settled[label.sample_id]]
        assert (person.answers, person.shared, person.agreed) == (len(own), len(shared), len(agreed))
        assert person.median_lead_s == pytest.approx(float(np.median([label.lead_time_s for label in own])))
        assert person.agreement == len(agreed) / len(shared)


def test_the_batch_is_what_was_chosen_and_the_others_are_told_apart(summary: Summary, ws: Workspace) -> None:
    assert [row.batch for row in summary.cycles] == [8, 12, 12, 12]
    assert [row.shared for row in summary.cycles] == [4, 6, 6, 6]
    again = [len(lane(ws, cycle, Lane.RELABEL)) for cycle in range(CYCLES)]
    assert [row.asked_again for row in summary.cycles] == again


def test_json_tells_it_plainly(summary: Summary) -> None:
    told = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert set(told["annotators"][0]) == {
        "name",
        "answers",
        "median_lead_s",
        "hours",
        "shared",
        "agreed",
        "agreement",
    }
    documented = str(Summary.to_json.__doc__)
    assert [key for key in (*told["annotators"][0], *told["cycles"][0]) if key not in documented] == []
    assert told["cycles"][1]["lift_per_hour"] == summary.cycles[1].lift_per_hour


# Settings


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("overlap_share = 1.5", "annotation.overlap_share"),
        ("overlap = 1", "annotation.overlap"),
        ("agreement = 0.0", "annotation.agreement"),
        ("overlap_share = 0.1\noverlap = 4", "overlap is 4 with 3 simulated annotators"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, rows: list[Row], more: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says), project(tmp_path / "loop", rows, more=more):
        pass
