import json
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.annotation.simulated import SimulatedAnnotators
from alloop.clock import VirtualClock
from alloop.nouns import Batch, BatchItem, Box, Content, Lane, Outcome, Sample
from alloop.sections import SimulatedSection
from alloop.testing.annotation_contract import LABELS, AnnotationToolContract, SharedSampleContract, make_batch

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
DIGITS = tuple("0123456789")


def team(folder, truth=lambda sample: Content("3"), *, labels=DIGITS, seed=7, **options):
    return SimulatedAnnotators(
        folder / "annotators",
        labels=labels,
        clock=VirtualClock(folder / "clock", START),
        seed=seed,
        settings=SimulatedSection(**options),
        truths=lambda samples: {s: t for s in samples if (t := truth(s)) is not None},
    )


def batch_of(ids, cycle=0):
    return Batch("p", cycle, tuple(BatchItem(Sample(id, id), rank, Lane.ACTIVE) for rank, id in enumerate(ids)))


def clock(folder):
    return VirtualClock(folder / "clock", START)


def next_due(tool):
    """When the next answer comes."""
    return min(asked.due_at for asked in tool._open() if asked.due_at > tool._clock.now())


def all_answers(tool, folder):
    clock(folder).sleep(1e8)
    return {label.sample_id: label for label in tool.changed_since("").labels}


class TestContract(AnnotationToolContract):
    def make_tool(self, home):
        truths = {item.sample.id: item.sample.truth for item in make_batch(home, 6).items}
        return team(home, truths.get, labels=LABELS)

    def answer(self, tool, batch, *, count):
        for _ in range(count):
            tool._clock.sleep((next_due(tool) - tool._clock.now()).total_seconds())


class TestSharedSamples(SharedSampleContract):
    make_tool = TestContract.make_tool
    answer = TestContract.answer


def shared(ids, count, cycle=0, lane=Lane.ACTIVE):
    batch = batch_of(ids, cycle)
    return replace(batch, items=tuple(replace(item, annotators=count, lane=lane) for item in batch.items))


def all_told(tool, folder):
    clock(folder).sleep(1e8)
    return tool.changed_since("").labels


def test_each_of_several_people_errs_on_their_own(tmp_path):
    tool = team(tmp_path, error_rate=0.3)
    tool.push(shared([f"s{n}" for n in range(1000)], 2))
    answers = {}
    for label in all_told(tool, tmp_path):
        answers.setdefault(label.sample_id, []).append(label.content.class_name == "3")
    both = Counter(tuple(sorted(right)) for right in answers.values())
    assert {len(right) for right in answers.values()} == {2}
    assert 0.43 < both[True, True] / 1000 < 0.55  # 0.7 x 0.7, were they not to err together; four standard deviations
    assert 0.05 < both[False, False] / 1000 < 0.13


def test_samples_of_one_annotator_are_scheduled_as_if_there_were_no_others_for_several(tmp_path):
    """The first that is shared comes last, so that nobody's time before it has changed."""
    plain, mixed = team(tmp_path / "plain"), team(tmp_path / "mixed")
    plain.push(batch_of("abcdef"))
    batch = batch_of("abcdef")
    mixed.push(replace(batch, items=(*batch.items[:5], replace(batch.items[5], annotators=3))))
    alone, together = all_told(plain, tmp_path / "plain"), all_told(mixed, tmp_path / "mixed")
    assert set(alone) <= set(together)
    assert len(together) == 8


def test_work_for_several_keeps_everybody_busy(tmp_path):
    tool = team(tmp_path, annotators=3)
    tool.push(shared([f"s{n}" for n in range(200)], 2))
    busy = Counter(label.annotator for label in all_told(tool, tmp_path))
    assert sum(busy.values()) == 400
    assert min(busy.values()) > 110


def test_where_everybody_has_answered_somebody_is_asked_again(tmp_path):
    tool = team(tmp_path, annotators=2)
    tool.push(shared("a", 2))
    tool.push(shared("a", 1, cycle=1, lane=Lane.RELABEL))
    assert len(all_told(tool, tmp_path)) == 3


def test_an_answer_that_was_withdrawn_is_asked_of_the_same_people(tmp_path):
    tool = team(tmp_path, annotators=2)
    refs = tool.push(shared("a", 2))
    tool.withdraw(refs.values())
    tool.push(shared("a", 2, cycle=1))
    assert [label.ref for label in all_told(tool, tmp_path)] == [
        "batch-0001/a/annotator-1",
        "batch-0001/a/annotator-2",
    ]


def test_an_annotator_starts_after_the_pickup_time_and_works_in_order_of_rank(tmp_path):
    tool = team(tmp_path, annotators=1, pickup_hours=2, seconds_per_sample=60)
    tool.push(batch_of("abc"))
    answers = all_answers(tool, tmp_path)
    assert answers["a"].updated_at == START + timedelta(hours=2, seconds=answers["a"].lead_time_s)
    assert answers["a"].updated_at < answers["b"].updated_at < answers["c"].updated_at


def test_the_next_sample_goes_to_whoever_is_free(tmp_path):
    tool = team(tmp_path, annotators=3)
    tool.push(batch_of([f"s{n}" for n in range(300)]))
    busy = Counter(label.annotator for label in all_answers(tool, tmp_path).values())
    assert set(busy) == {"annotator-1", "annotator-2", "annotator-3"}
    assert min(busy.values()) > 80


def test_a_second_batch_waits_until_the_first_is_done(tmp_path):
    tool = team(tmp_path, annotators=1)
    tool.push(batch_of("ab", cycle=1))
    tool.push(batch_of("c", cycle=2))
    answers = all_answers(tool, tmp_path)
    assert answers["c"].updated_at > answers["b"].updated_at


def test_nothing_is_told_before_it_is_due_and_nothing_is_lost_when_polled_exactly_then(tmp_path):
    tool = team(tmp_path, annotators=1)
    tool.push(batch_of("a"))
    wait = next_due(tool) - START
    clock(tmp_path).sleep((wait - timedelta(microseconds=1)).total_seconds())
    early = tool.changed_since("")
    assert early.labels == ()
    clock(tmp_path).sleep(1e-6)
    on_time = tool.changed_since(early.cursor)
    assert [label.updated_at for label in on_time.labels] == [START + wait]
    assert tool.changed_since(on_time.cursor).labels == ()


def test_a_push_at_the_cursors_time_is_not_lost(tmp_path):
    tool = team(tmp_path, pickup_hours=0, seconds_per_sample=1e-12)
    cursor = tool.changed_since("").cursor
    tool.push(batch_of("a"))
    clock(tmp_path).sleep(1)
    assert len(tool.changed_since(cursor).labels) == 1


@pytest.mark.parametrize("truth", [Content("unclear"), Content("not in the label set"), None])
def test_what_nobody_can_tell_is_unclear(tmp_path, truth):
    tool = team(tmp_path, lambda sample: truth)
    tool.push(batch_of("ab"))
    answers = all_answers(tool, tmp_path).values()
    assert [(a.outcome, a.content) for a in answers] == [(Outcome.UNCLEAR, None)] * 2


def test_the_ambiguous_class_is_unclear_even_when_the_label_set_names_it(tmp_path):
    tool = team(tmp_path, lambda sample: Content("blend"), labels=("cat", "blend"), ambiguous="blend")
    tool.push(batch_of("a"))
    assert all_answers(tool, tmp_path)["a"].outcome is Outcome.UNCLEAR


def test_as_many_answers_are_wrong_as_the_error_rate_says_and_all_other_classes_occur(tmp_path):
    tool = team(tmp_path, error_rate=0.2)
    tool.push(batch_of([f"s{n}" for n in range(5000)]))
    given = Counter(label.content.class_name for label in all_answers(tool, tmp_path).values())
    assert 0.17 < 1 - given["3"] / 5000 < 0.23  # five standard deviations
    assert set(given) == set(DIGITS)
    assert max(given[d] for d in DIGITS if d != "3") < 2 * min(given[d] for d in DIGITS if d != "3")


def test_error_rate_zero_is_always_right_and_one_is_always_wrong(tmp_path):
    for rate, right in ((0, True), (1, False)):
        tool = team(tmp_path / str(rate), error_rate=rate)
        tool.push(batch_of([f"s{n}" for n in range(50)]))
        answers = all_answers(tool, tmp_path / str(rate)).values()
        assert {label.content.class_name == "3" for label in answers} == {right}


def test_lead_times_average_what_was_asked_for(tmp_path):
    tool = team(tmp_path, seconds_per_sample=60)
    tool.push(batch_of([f"s{n}" for n in range(2000)]))
    times = [label.lead_time_s for label in all_answers(tool, tmp_path).values()]
    assert 57 < sum(times) / len(times) < 63
    assert len(set(times)) == len(times)


@settings(max_examples=25)
@given(order=st.permutations([f"s{n}" for n in range(12)]), keep=st.integers(1, 12))
def test_an_answer_depends_on_neither_order_nor_other_samples(tmp_path_factory, order, keep):
    def said(ids):
        home = tmp_path_factory.mktemp("team")
        tool = team(home, lambda sample: Content(sample[-1]), error_rate=0.5, annotators=1)
        tool.push(batch_of(ids))
        return {id: (a.content, a.lead_time_s) for id, a in all_answers(tool, home).items()}

    everything = said([f"s{n}" for n in range(12)])
    assert said(order[:keep]) == {id: everything[id] for id in order[:keep]}


def test_another_seed_errs_elsewhere(tmp_path):
    wrong = []
    for seed in (1, 2):
        tool = team(tmp_path / str(seed), seed=seed, error_rate=0.5)
        tool.push(batch_of([f"s{n}" for n in range(40)]))
        wrong.append([a.content for a in all_answers(tool, tmp_path / str(seed)).values()])
    assert wrong[0] != wrong[1]


def test_boxes_are_drawn_a_little_inside_and_keep_their_class(tmp_path):
    true = Box("3", 10, 20, 110, 60, polygon=((10, 20), (110, 20), (60, 60)))
    tool = team(tmp_path, lambda sample: Content(boxes=(true,)))
    tool.push(batch_of("a"))
    (box,) = all_answers(tool, tmp_path)["a"].content.boxes
    assert box.class_name == "3"
    assert 10 <= box.x0 <= 13
    assert 107 <= box.x1 <= 110
    assert 20 <= box.y0 <= 21.2
    assert 58.8 <= box.y1 <= 60
    assert all(box.x0 - 1e-9 <= x <= box.x1 + 1e-9 for x, _ in box.polygon)


def test_an_image_without_objects_is_labelled_so(tmp_path):
    tool = team(tmp_path, lambda sample: Content())
    tool.push(batch_of("a"))
    label = all_answers(tool, tmp_path)["a"]
    assert (label.outcome, label.content) == (Outcome.LABELLED, Content())


def test_a_stale_temporary_file_of_a_killed_process_does_no_harm(tmp_path):
    tool = team(tmp_path)
    refs = tool.push(batch_of("ab"))
    (state,) = (tmp_path / "annotators").glob("batch-*.jsonl")
    (state.parent / f".{state.name}.1.tmp").write_bytes(state.read_bytes()[:20])
    anew = team(tmp_path)
    assert anew.push(batch_of("ab")) == refs
    assert set(all_answers(anew, tmp_path)) == {"a", "b"}


def test_pushing_more_leaves_earlier_due_times_alone(tmp_path):
    tool = team(tmp_path)
    tool.push(batch_of("ab"))
    (state,) = (tmp_path / "annotators").glob("batch-*.jsonl")
    before = [json.loads(line) for line in state.read_text().splitlines()]
    clock(tmp_path).sleep(60)
    tool.push(batch_of("cab"))
    assert [json.loads(line) for line in state.read_text().splitlines()][:2] == before


def test_five_thousand_tasks_are_quick(tmp_path):
    tool = team(tmp_path)
    batch = batch_of([f"s{n}" for n in range(5000)])
    began = time.perf_counter()
    tool.push(batch)
    tool.push(replace(batch))
    assert len(all_answers(tool, tmp_path)) == 5000
    assert time.perf_counter() - began < 5
