"""What every annotation tool promises, as tests: subclass both contracts in a file that pytest collects."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from alloop.annotation.base import AnnotationTool
from alloop.nouns import Batch, BatchItem, Content, Label, Lane, Outcome, Prelabel, Sample

__all__ = ["LABELS", "AnnotationToolContract", "SharedSampleContract", "make_batch"]

LABELS = ("cat", "dog")
"""The label set of the contract's samples; each sample's truth is one of them."""


def make_batch(home: Path, size: int, *, cycle: int = 3) -> Batch:
    """A batch of `size` small images under `home`, ranked, with pre-labels; the same size gives the same samples."""
    items = tuple(
        BatchItem(sample, rank, Lane.ACTIVE, prelabel=Prelabel("v1", Content(LABELS[0]), 0.75))
        for rank, sample in enumerate(_sample(home, number) for number in range(size))
    )
    return Batch("contract", cycle, items)


class AnnotationToolContract:
    """Tests that an AnnotationTool must pass; a subclass fills in `make_tool` and `answer`."""

    def make_tool(self, home: Path) -> AnnotationTool:
        """A tool for LABELS whose state lies under `home`; called again it is what a new process would open."""
        raise NotImplementedError

    def answer(self, tool: AnnotationTool, batch: Batch, *, count: int) -> None:
        """Let people answer `count` more samples of the batch that was pushed."""
        raise NotImplementedError

    @pytest.fixture
    def tool(self, tmp_path: Path) -> AnnotationTool:
        """A tool without any state."""
        return self.make_tool(tmp_path)

    @pytest.fixture
    def batch(self, tmp_path: Path) -> Batch:
        """Six samples."""
        return make_batch(tmp_path, 6)

    def test_a_new_tool_has_nothing_to_tell(self, tool: AnnotationTool) -> None:
        """No batch, no labels."""
        assert tool.changed_since("").labels == ()

    def test_push_gives_each_sample_its_own_ref(self, tool: AnnotationTool, batch: Batch) -> None:
        """One ref per sample, none shared."""
        refs = tool.push(batch)
        assert set(refs) == _ids(batch)
        assert len(set(refs.values())) == len(batch.items)

    def test_push_twice_is_once(self, tool: AnnotationTool, batch: Batch) -> None:
        """The same refs, and each sample is labelled once."""
        assert tool.push(batch) == tool.push(batch)
        self.answer(tool, batch, count=6)
        assert len(tool.changed_since("").labels) == 6

    def test_push_goes_on_where_it_was_cut_off(self, tool: AnnotationTool, batch: Batch) -> None:
        """A part of the batch, then all of it: the part keeps its refs."""
        part = tool.push(replace(batch, items=batch.items[:2]))
        whole = tool.push(batch)
        assert dict(part).items() <= dict(whole).items()
        assert set(whole) == _ids(batch)

    def test_one_sample_in_two_batches_has_two_refs(self, tool: AnnotationTool, batch: Batch) -> None:
        """A later batch may ask again."""
        first, again = tool.push(batch), tool.push(replace(batch, cycle=batch.cycle + 1))
        assert not set(first.values()) & set(again.values())

    def test_each_label_arrives_once_when_the_cursor_moves_on(self, tool: AnnotationTool, batch: Batch) -> None:
        """Polling again and again gives every label, none twice."""
        tool.push(batch)
        cursor, arrived = "", []
        for count in (0, 1, 2, 0, 3, 0):
            self.answer(tool, batch, count=count)
            changes = tool.changed_since(cursor)
            cursor = changes.cursor
            arrived += [label.sample_id for label in changes.labels]
        assert sorted(arrived) == sorted(_ids(batch))

    def test_an_old_cursor_gives_the_same_labels_again(self, tool: AnnotationTool, batch: Batch) -> None:
        """Whoever crashed before storing what arrived can ask again."""
        tool.push(batch)
        self.answer(tool, batch, count=2)
        cursor = tool.changed_since("").cursor
        self.answer(tool, batch, count=4)
        first = tool.changed_since(cursor)
        assert len(first.labels) == 4
        assert tool.changed_since(cursor) == first

    def test_labels_are_normalised(self, tool: AnnotationTool, batch: Batch) -> None:
        """Known samples, outcomes and classes; aware UTC; refs of their own; content only when labelled."""
        tool.push(batch)
        self.answer(tool, batch, count=6)
        labels = tool.changed_since("").labels
        assert {label.sample_id for label in labels} == _ids(batch)
        assert len({label.ref for label in labels}) == len(labels)
        for label in labels:
            _check(label)

    def test_present_names_what_the_tool_holds(self, tool: AnnotationTool, batch: Batch) -> None:
        """A tool that knows all its annotation refs names those of the labels that it told."""
        tool.push(batch)
        self.answer(tool, batch, count=3)
        changes = tool.changed_since("")
        assert changes.present is None or changes.present == {label.ref for label in changes.labels}

    def test_withdrawn_tasks_are_not_answered(self, tool: AnnotationTool, batch: Batch) -> None:
        """What was taken out of the queue stays out, even when the batch is pushed again."""
        refs = tool.push(batch)
        gone = batch.items[4].sample.id
        tool.withdraw([refs[gone]])
        assert tool.push(batch) == refs
        self.answer(tool, batch, count=5)
        assert {label.sample_id for label in tool.changed_since("").labels} == _ids(batch) - {gone}

    def test_an_answered_task_keeps_its_label_when_withdrawn(self, tool: AnnotationTool, batch: Batch) -> None:
        """An answer is never thrown away."""
        refs = tool.push(batch)
        self.answer(tool, batch, count=2)
        before = tool.changed_since("").labels
        tool.withdraw(list(refs.values()))
        assert tool.changed_since("").labels == before
        assert len(before) == 2

    def test_withdrawing_twice_or_something_unknown_is_no_error(self, tool: AnnotationTool, batch: Batch) -> None:
        """Cancelling can be repeated."""
        refs = list(tool.push(batch).values())
        tool.withdraw(["no such ref", *refs])
        tool.withdraw([*refs, "no such ref"])
        assert tool.changed_since("").labels == ()

    def test_a_new_process_sees_the_same(self, tool: AnnotationTool, batch: Batch, tmp_path: Path) -> None:
        """All state is outside the process: refs, labels and cursors."""
        refs = tool.push(batch)
        self.answer(tool, batch, count=3)
        changes = tool.changed_since("")
        anew = self.make_tool(tmp_path)
        assert anew.push(batch) == refs
        assert anew.changed_since("") == changes
        assert anew.changed_since(changes.cursor).labels == ()

    def test_new_prelabels_change_no_label(self, tool: AnnotationTool, batch: Batch) -> None:
        """Publishing a model is no answer, takes none away, and tells none again."""
        tool.push(batch)
        self.answer(tool, batch, count=3)
        before = tool.changed_since("")
        tool.publish_model("v2", {sample: Prelabel("v2", Content(LABELS[1]), 0.5) for sample in _ids(batch)})
        assert tool.changed_since("").labels == before.labels
        assert tool.changed_since(before.cursor).labels == ()


class SharedSampleContract:
    """Tests of samples that several annotators answer; a subclass fills in `make_tool` and `answer`."""

    def make_tool(self, home: Path) -> AnnotationTool:
        """A tool for LABELS whose state lies under `home`, with three annotators or more."""
        raise NotImplementedError

    def answer(self, tool: AnnotationTool, batch: Batch, *, count: int) -> None:
        """Let people give `count` more answers to the batch, to a sample for two of them two."""
        raise NotImplementedError

    @pytest.fixture
    def tool(self, tmp_path: Path) -> AnnotationTool:
        """A tool without any state."""
        return self.make_tool(tmp_path)

    @pytest.fixture
    def batch(self, tmp_path: Path) -> Batch:
        """Six samples, two of which two people are to answer."""
        plain = make_batch(tmp_path, 6)
        shared = (replace(item, annotators=2 if item.rank in (0, 3) else 1) for item in plain.items)
        return replace(plain, items=tuple(shared))

    def test_a_sample_for_two_is_one_task(self, tool: AnnotationTool, batch: Batch) -> None:
        """One ref per sample, none shared."""
        refs = tool.push(batch)
        assert len(set(refs.values())) == len(refs) == 6

    def test_it_is_answered_by_two_different_people(self, tool: AnnotationTool, batch: Batch) -> None:
        """So many labels a sample, each of another annotator and with a ref of its own."""
        tool.push(batch)
        self.answer(tool, batch, count=8)
        labels = tool.changed_since("").labels
        people = {
            item.sample.id: {x.annotator for x in labels if x.sample_id == item.sample.id} for item in batch.items
        }
        assert {sample: len(names) for sample, names in people.items()} == _wanted(batch)
        assert len({label.ref for label in labels}) == len(labels) == 8
        for label in labels:
            _check(label)

    def test_pushed_twice_or_in_parts_it_is_answered_no_more_often(self, tool: AnnotationTool, batch: Batch) -> None:
        """The same refs, and the same number of answers."""
        part = tool.push(replace(batch, items=batch.items[:2]))
        whole = tool.push(batch)
        assert tool.push(batch) == whole
        assert dict(part).items() <= dict(whole).items()
        self.answer(tool, batch, count=8)
        assert len(tool.changed_since("").labels) == 8

    def test_each_answer_arrives_once(self, tool: AnnotationTool, batch: Batch) -> None:
        """Also when the cursor moves on between the answers to one sample."""
        tool.push(batch)
        cursor, arrived = "", []
        for _ in range(8):
            self.answer(tool, batch, count=1)
            changes = tool.changed_since(cursor)
            cursor = changes.cursor
            arrived += [label.ref for label in changes.labels]
        assert len(set(arrived)) == len(arrived) == 8

    def test_who_disagreed_is_asked_last_when_it_is_asked_again(self, tool: AnnotationTool, batch: Batch) -> None:
        """A sample of the relabel lane goes to somebody who has not answered it before."""
        first = replace(batch, items=batch.items[:1])
        tool.push(first)
        self.answer(tool, first, count=2)
        before = tool.changed_since("")
        again = replace(batch.items[0], lane=Lane.RELABEL, annotators=1, blind=True)
        later = replace(batch, cycle=batch.cycle + 1, items=(again,))
        tool.push(later)
        self.answer(tool, later, count=1)
        (label,) = tool.changed_since(before.cursor).labels
        assert label.annotator not in {earlier.annotator for earlier in before.labels}


def _wanted(batch: Batch) -> dict[str, int]:
    return {item.sample.id: item.annotators for item in batch.items}


def _sample(home: Path, number: int) -> Sample:
    path = home / "pool" / f"{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 30), number % 256).save(path)
    return Sample(hashlib.sha256(str(number).encode()).hexdigest(), str(path), truth=Content(LABELS[number % 2]))


def _ids(batch: Batch) -> set[str]:
    return {item.sample.id for item in batch.items}


def _check(label: Label) -> None:
    assert isinstance(label.outcome, Outcome)
    assert label.updated_at.utcoffset() == timedelta(0)
    assert label.lead_time_s is None or label.lead_time_s >= 0
    assert label.annotator
    assert not label.deleted
    assert (label.content is not None) == (label.outcome is Outcome.LABELLED)
    assert label.content is None or label.content.class_name in LABELS
