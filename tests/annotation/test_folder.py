import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PIL import Image

from alloop.annotation.folder import FolderTool
from alloop.errors import ToolUnavailable
from alloop.images import header_size
from alloop.nouns import Batch, BatchItem, Box, Content, Lane, Outcome, Prelabel, Sample, Task
from alloop.testing.annotation_contract import LABELS, AnnotationToolContract, SharedSampleContract, make_batch


def make_tool(home, **options):
    return FolderTool(home / "annotation", **{"labels": LABELS, "task": Task.CLASSIFY, "images": "link"} | options)


def tasks(home, batch="batch-0003"):
    return [json.loads(line) for line in (home / "annotation" / batch / "tasks.jsonl").read_text().splitlines()]


def write(home, *lines, end="\n"):
    """Lines (records, or raw text) become the labels.jsonl of batch 3."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + end
    (home / "annotation" / "batch-0003" / "labels.jsonl").write_text(text)


@pytest.fixture
def batch(tmp_path):
    return make_batch(tmp_path, 3)


@pytest.fixture
def tool(tmp_path, batch):
    tool = make_tool(tmp_path)
    tool.push(batch)
    return tool


@pytest.fixture
def ids(batch):
    return [item.sample.id for item in batch.items]


class TestContract(AnnotationToolContract):
    def make_tool(self, home):
        return make_tool(home)

    def answer(self, tool, batch, *, count):
        folder = tool._folder / f"batch-{batch.cycle:04d}"
        labels = folder / "labels.jsonl"
        done = {json.loads(line)["sample"] for line in labels.read_text().splitlines()} if labels.exists() else set()
        waiting = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
        answers = [{"outcome": "unclear"}, {"label": "cat", "lead_time_s": 3.5}, {"label": "dog", "annotator": "kim"}]
        with labels.open("a") as file:
            for task in [task for task in waiting if task["sample"] not in done][:count]:
                file.write(json.dumps({"sample": task["sample"], **answers[task["rank"] % 3]}) + "\n")


class TestSharedSamples(SharedSampleContract):
    def make_tool(self, home):
        return make_tool(home)

    def answer(self, tool, batch, *, count):
        """One person after the other goes through the queue; who disagreed does not look at it again."""
        folder = tool._folder / f"batch-{batch.cycle:04d}"
        labels = folder / "labels.jsonl"
        done = [json.loads(line) for line in labels.read_text().splitlines()] if labels.exists() else []
        waiting = [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]
        wanted = [
            {"sample": task["sample"], "label": "cat", "annotator": name}
            for number, name in enumerate(("kim", "lee"))
            for task in waiting
            if number < task.get("annotators", 1)
        ]
        wanted = [line | ({"annotator": "mia"} if waiting[0]["lane"] == "relabel" else {}) for line in wanted]
        with labels.open("a") as file:
            for line in [line for line in wanted if line not in done][:count]:
                file.write(json.dumps(line) + "\n")


class TestTasks:
    def test_a_task_tells_all_that_an_annotator_needs(self, tmp_path, tool, batch, ids):
        assert tasks(tmp_path)[0] == {
            "sample": ids[0],
            "ref": f"batch-0003/{ids[0][:12]}",
            "uri": batch.items[0].sample.uri,
            "image": f"images/0001-{ids[0][:12]}.png",
            "rank": 0,
            "lane": "active",
            "prelabel": {"label": "cat", "confidence": 0.75, "model_version": "v1"},
        }

    def test_tasks_stand_in_order_of_rank(self, tmp_path, batch):
        make_tool(tmp_path).push(replace(batch, items=batch.items[::-1]))
        assert [task["rank"] for task in tasks(tmp_path)] == [0, 1, 2]

    def test_who_labels_the_holdout_sees_no_prelabel_then_or_later(self, tmp_path, batch, ids):
        tool = make_tool(tmp_path)
        tool.push(replace(batch, items=(replace(batch.items[0], lane=Lane.HOLDOUT),)))
        tool.publish_model("v2", {ids[0]: Prelabel("v2", Content("dog"), 0.5)})
        assert tasks(tmp_path)[0]["prelabel"] is None

    def test_an_item_without_prelabel_gets_none_then_or_later(self, tmp_path, batch, ids):
        tool = make_tool(tmp_path)
        tool.push(replace(batch, items=(replace(batch.items[0], prelabel=None),)))
        tool.publish_model("v2", {ids[0]: Prelabel("v2", Content("dog"), 0.5)})
        assert tasks(tmp_path)[0]["prelabel"] is None

    def test_a_new_model_renews_the_prelabels_of_unanswered_tasks_only(self, tmp_path, tool, ids):
        write(tmp_path, {"sample": ids[0], "label": "cat"})
        tool.publish_model("v2", {id: Prelabel("v2", Content("dog"), 0.5) for id in ids[:2]})
        assert [task["prelabel"]["model_version"] for task in tasks(tmp_path)] == ["v1", "v2", "v1"]

    def test_boxes_are_shown_as_they_are_answered(self, tmp_path, batch):
        tool = make_tool(tmp_path, task=Task.DETECT)
        prelabel = Prelabel("v1", Content(boxes=(Box("cat", 1, 2, 3, 4),)), 0.5)
        tool.push(replace(batch, items=(replace(batch.items[0], prelabel=prelabel),)))
        shown = tasks(tmp_path)[0]["prelabel"]["boxes"]
        assert shown == [{"label": "cat", "x0": 1, "y0": 2, "x1": 3, "y1": 4}]

    def test_a_task_says_how_many_people_are_to_answer_it(self, tmp_path, batch):
        items = (replace(batch.items[0], annotators=3), *batch.items[1:])
        make_tool(tmp_path).push(replace(batch, items=items))
        assert [task.get("annotators") for task in tasks(tmp_path)] == [3, None, None]

    @pytest.mark.parametrize("task", Task)
    def test_the_readme_shows_lines_that_are_accepted(self, tmp_path, batch, task):
        tool = make_tool(tmp_path, task=task)
        batch = replace(batch, items=(replace(batch.items[0], sample=Sample("0123456789ab", _image(tmp_path))),))
        tool.push(batch)
        readme = (tmp_path / "annotation/batch-0003/README.txt").read_text()
        write(tmp_path, *[line for line in readme.splitlines() if line.startswith("  {")])
        assert tool.changed_since("").refused == ()

    def test_two_ids_with_one_beginning_get_refs_of_their_own(self, tmp_path):
        samples = [Sample("0123456789ab" + end, _image(tmp_path)) for end in "xy"]
        refs = make_tool(tmp_path).push(Batch("p", 3, tuple(BatchItem(s, 0, Lane.ACTIVE) for s in samples)))
        assert list(refs.values()) == ["batch-0003/0123456789ab", "batch-0003/0123456789aby"]
        assert len({task["image"] for task in tasks(tmp_path)}) == 2


class TestImages:
    def test_links_point_to_the_original(self, tmp_path, tool, batch):
        place = tmp_path / "annotation/batch-0003" / tasks(tmp_path)[1]["image"]
        assert place.is_symlink()
        assert str(place.readlink()) == batch.items[1].sample.uri

    def test_copies_are_files(self, tmp_path, batch):
        make_tool(tmp_path, images="copy").push(batch)
        place = tmp_path / "annotation/batch-0003" / tasks(tmp_path)[1]["image"]
        assert not place.is_symlink()
        assert header_size(place) == (40, 30)

    def test_remote_images_are_copied(self, tmp_path, batch):
        item = replace(batch.items[0], sample=replace(batch.items[0].sample, uri=f"file://{_image(tmp_path)}"))
        make_tool(tmp_path).push(replace(batch, items=(item,)))
        place = tmp_path / "annotation/batch-0003" / tasks(tmp_path)[0]["image"]
        assert not place.is_symlink()
        assert place.suffix == ".png"
        assert place.exists()

    def test_pushing_again_completes_missing_images(self, tmp_path, tool, batch):
        place = tmp_path / "annotation/batch-0003" / tasks(tmp_path)[1]["image"]
        place.unlink()
        tool.push(batch)
        assert place.exists()

    def test_one_lost_image_does_not_stop_the_batch(self, tmp_path, batch):
        lost = replace(batch.items[0], sample=replace(batch.items[0].sample, uri=str(tmp_path / "lost.png")))
        refs = make_tool(tmp_path).push(replace(batch, items=(lost, *batch.items[1:])))
        assert len(refs) == len(tasks(tmp_path)) == 3

    @pytest.mark.parametrize("how", ["link", "copy"])
    def test_when_every_image_is_lost_it_is_the_storage(self, tmp_path, batch, how):
        lost = replace(batch.items[0], sample=replace(batch.items[0].sample, uri=str(tmp_path / "lost.png")))
        with pytest.raises(ToolUnavailable, match=r"none of the 1 images .*lost\.png"):
            make_tool(tmp_path, images=how).push(replace(batch, items=(lost,)))


class TestAnswers:
    @pytest.mark.parametrize("change", [{"annotators": 2}, {"lane": Lane.RELABEL}])
    def test_where_it_matters_who_answers_a_line_without_a_name_is_refused(self, tmp_path, batch, ids, change):
        tool = make_tool(tmp_path)
        tool.push(replace(batch, items=(replace(batch.items[0], **change), *batch.items[1:])))
        write(tmp_path, {"sample": ids[0], "label": "cat"}, {"sample": ids[1], "label": "cat"})
        changes = tool.changed_since("")
        assert [label.sample_id for label in changes.labels] == [ids[1]]
        (refused,) = changes.refused
        assert refused.where == "batch-0003/labels.jsonl:1"
        assert refused.reason == f'sample "{ids[0]}" is for several people; add your name as "annotator"'

    def test_several_people_answer_one_sample_each_for_themselves(self, tmp_path, batch, ids):
        tool = make_tool(tmp_path)
        tool.push(replace(batch, items=(replace(batch.items[0], annotators=2), *batch.items[1:])))
        says = (("kim", "cat"), ("lee", "dog"), ("kim", "dog"))
        write(tmp_path, *({"sample": ids[0], "label": label, "annotator": name} for name, label in says))
        found = {label.annotator: label.content.class_name for label in tool.changed_since("").labels}
        assert found == {"kim": "dog", "lee": "dog"}

    def test_a_sample_can_be_named_by_id_prefix_or_ref(self, tmp_path, tool, ids):
        names = ids[0], ids[1][:12], f"batch-0003/{ids[2][:12]}"
        write(tmp_path, *({"sample": name, "label": "dog"} for name in names))
        labels = tool.changed_since("").labels
        assert [label.sample_id for label in labels] == ids
        assert [label.ref for label in labels] == [f"batch-0003/{id[:12]}/folder" for id in ids]

    def test_a_line_may_tell_everything(self, tmp_path, tool, ids):
        line = {"sample": ids[0], "label": "dog", "annotator": "kim", "lead_time_s": 4}
        write(tmp_path, line | {"updated_at": "2026-01-31T14:00:00+02:00"})
        (label,) = tool.changed_since("").labels
        assert label.annotator == "kim"
        assert label.lead_time_s == 4.0
        assert label.updated_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
        assert label.updated_at.tzinfo is UTC
        assert label.content == Content("dog")

    def test_without_a_time_it_is_that_of_the_file_and_stays_so(self, tmp_path, tool, ids):
        write(tmp_path, {"sample": ids[0], "label": "dog"})
        os.utime(tmp_path / "annotation/batch-0003/labels.jsonl", (1000, 1000))
        first = tool.changed_since("").labels
        write(tmp_path, {"sample": ids[0], "label": "dog"}, {"sample": ids[1], "label": "dog"})
        assert first[0].updated_at == datetime.fromtimestamp(1000, UTC)
        assert tool.changed_since("").labels[0] == first[0]

    @pytest.mark.parametrize("outcome", ["unclear", "skipped", "rejected"])
    def test_an_outcome_instead_of_a_label(self, tmp_path, tool, ids, outcome):
        write(tmp_path, {"sample": ids[0], "outcome": outcome})
        (label,) = tool.changed_since("").labels
        assert (label.outcome, label.content) == (Outcome(outcome), None)

    def test_the_last_line_of_an_annotator_counts_and_others_stay(self, tmp_path, tool, ids):
        kim = {"sample": ids[0], "annotator": "kim"}
        write(tmp_path, kim | {"label": "cat"}, {"sample": ids[0], "label": "cat"}, kim | {"label": "dog"})
        said = {label.annotator: label.content.class_name for label in tool.changed_since("").labels}
        assert said == {"kim": "dog", "folder": "cat"}

    def test_a_changed_mind_is_told_and_is_newer_whatever_the_clock_says(self, tmp_path, tool, ids):
        write(tmp_path, {"sample": ids[0], "label": "cat"}, {"sample": ids[1], "label": "cat"})
        first = tool.changed_since("")
        write(tmp_path, {"sample": ids[0], "label": "dog"}, {"sample": ids[1], "label": "cat"})
        os.utime(tmp_path / "annotation/batch-0003/labels.jsonl", (1000, 1000))
        (label,) = tool.changed_since(first.cursor).labels
        assert label.content == Content("dog")
        assert label.updated_at > first.labels[0].updated_at

    def test_a_removed_line_is_no_longer_present_and_can_come_back(self, tmp_path, tool, ids):
        line, ref = {"sample": ids[0], "label": "cat"}, f"batch-0003/{ids[0][:12]}/folder"
        write(tmp_path, line)
        first = tool.changed_since("")
        write(tmp_path, "")
        gone = tool.changed_since(first.cursor)
        write(tmp_path, line)
        back = tool.changed_since(gone.cursor)
        assert (first.present, gone.present, back.present) == ({ref}, frozenset(), {ref})
        assert gone.labels == ()
        assert back.labels[0].updated_at > first.labels[0].updated_at

    def test_an_unfinished_last_line_waits_until_it_is_complete(self, tmp_path, tool, ids):
        line = json.dumps({"sample": ids[1], "label": "cat"})
        write(tmp_path, {"sample": ids[0], "label": "cat"}, line[:30], end="")
        early = tool.changed_since("")
        write(tmp_path, {"sample": ids[0], "label": "cat"}, line, end="")
        late = tool.changed_since(early.cursor)
        assert (len(early.labels), early.refused) == (1, ())
        assert [label.sample_id for label in late.labels] == [ids[1]]

    def test_an_answer_to_a_withdrawn_task_still_counts(self, tmp_path, tool, batch, ids):
        tool.withdraw([f"batch-0003/{ids[0][:12]}"])
        write(tmp_path, {"sample": ids[0], "label": "cat"})
        assert [task["sample"] for task in tasks(tmp_path)] == ids[1:]
        assert [label.sample_id for label in tool.changed_since("").labels] == [ids[0]]

    def test_deleting_the_memory_tells_everything_again(self, tmp_path, tool, ids):
        write(tmp_path, {"sample": ids[0], "label": "cat"})
        cursor = tool.changed_since("").cursor
        (tmp_path / "annotation/batch-0003/.seen.jsonl").unlink()
        write(tmp_path, "")
        lost = tool.changed_since(cursor)
        write(tmp_path, {"sample": ids[0], "label": "cat"})
        assert len(tool.changed_since(lost.cursor).labels) == 1

    def test_windows_line_ends_and_a_byte_order_mark_are_fine(self, tmp_path, tool, ids):
        raw = b"\xef\xbb\xbf" + b"".join(b'{"sample": "%s", "label": "cat"}\r\n\r\n' % id.encode() for id in ids)
        (tmp_path / "annotation/batch-0003/labels.jsonl").write_bytes(raw)
        changes = tool.changed_since("")
        assert (len(changes.labels), changes.refused) == (3, ())


class TestStaleFiles:
    def test_leftovers_of_a_killed_process_do_no_harm(self, tmp_path, tool, batch, ids):
        folder = tmp_path / "annotation/batch-0003"
        for name in ("tasks.jsonl", ".seen.jsonl", "withdrawn.jsonl"):
            (folder / f".{name}.1.tmp").write_text('{"sam')
        write(tmp_path, {"sample": ids[0], "label": "cat"})
        anew = make_tool(tmp_path)
        anew.push(batch)
        assert len(anew.changed_since("").labels) == 1

    def test_a_folder_without_tasks_is_no_batch_yet(self, tmp_path, tool, batch):
        (tmp_path / "annotation/batch-0004/images").mkdir(parents=True)
        assert tool.changed_since("").labels == ()
        assert len(tool.push(replace(batch, cycle=4))) == 3

    def test_a_withdrawal_that_was_cut_off_counts(self, tmp_path, tool, batch, ids):
        folder = tmp_path / "annotation/batch-0003"
        (folder / "withdrawn.jsonl").write_text((folder / "tasks.jsonl").read_text().splitlines()[0] + "\n")
        tool.push(batch)
        assert [task["sample"] for task in tasks(tmp_path)] == ids[1:]


def test_five_thousand_tasks_are_quick(tmp_path):
    image = _image(tmp_path)
    items = tuple(BatchItem(Sample(f"{n:064x}"[::-1], image), n, Lane.ACTIVE) for n in range(5000))
    tool = make_tool(tmp_path)
    began = time.perf_counter()
    tool.push(Batch("p", 3, items))
    write(tmp_path, *({"sample": item.sample.id[:20], "label": "cat"} for item in items))
    assert len(tool.changed_since("").labels) == 5000
    assert time.perf_counter() - began < 10


def _image(home):
    path = home / "some.png"
    Image.new("L", (200, 100)).save(path)
    return str(path)
