"""The label set in the formats of others, in a folder that appears whole."""

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import yaml

from alloop.errors import ConfigError
from alloop.formats.kinds import Target
from alloop.formats.placing import Item
from alloop.formats.setting_out import Form, set_out
from alloop.images import content_id
from alloop.nouns import Box, Content, Refusal, Sample, Task
from tests.formats.made import LABELS, picture

CAT = Content(boxes=(Box("cat", 30, 20, 70, 60), Box("dog", 0, 0, 100, 80)))
TRIANGLE = ((10.0, 10.0), (30.0, 10.0), (30.0, 40.0))


def item(path: Path, content: Content = CAT) -> Item:
    picture(path)
    stat = path.stat()
    sample = Sample(content_id(path.read_bytes()), str(path), group="clip")
    return Item(sample, content, 100, 80, stat.st_size, stat.st_mtime_ns)


def form(target: Target, task: Task = Task.DETECT, **how: str) -> Form:
    return Form(task, LABELS, target, **how)  # type: ignore[arg-type]


class TestCoco:
    def test_every_part_that_readers_want_is_there(self, tmp_path: Path) -> None:
        one = item(tmp_path / "in" / "a.png")
        set_out({"train": [one]}, tmp_path / "out", form(Target.COCO))
        name = f"a-{one.sample.id[:12]}.png"
        assert json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text()) == {
            "info": {"description": "labels set out by alloop"},
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "images": [{"id": 1, "file_name": name, "width": 100, "height": 80}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [30, 20, 40, 40], "area": 1600},
                {"id": 2, "image_id": 1, "category_id": 2, "iscrowd": 0, "bbox": [0, 0, 100, 80], "area": 8000},
            ],
        }

    def test_an_outline_and_its_area(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png", Content(boxes=(Box("cat", 10, 10, 30, 40, TRIANGLE),)))
        set_out({"train": [one]}, tmp_path / "out", form(Target.COCO, Task.SEGMENT))
        (found,) = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())["annotations"]
        assert (found["segmentation"], found["area"]) == ([[10, 10, 30, 10, 30, 40]], 300)

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        set_out({"train": []}, tmp_path / "out", form(Target.COCO))
        found = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text())
        assert (found["images"], found["annotations"]) == ([], [])


class TestYolo:
    def test_a_line_per_object(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png")
        set_out({"train": [one]}, tmp_path / "out", form(Target.YOLO))
        (file,) = (tmp_path / "out" / "labels" / "train").iterdir()
        assert file.read_text() == "0 0.5 0.5 0.4 0.5\n1 0.5 0.5 1 1\n"

    def test_nothing_to_be_seen_is_an_empty_file(self, tmp_path: Path) -> None:
        set_out({"train": [item(tmp_path / "a.png", Content())]}, tmp_path / "out", form(Target.YOLO))
        (file,) = (tmp_path / "out" / "labels" / "train").iterdir()
        assert file.read_text() == ""

    def test_a_segmenter_gets_outlines_only(self, tmp_path: Path) -> None:
        boxes = (Box("cat", 10, 10, 30, 40, TRIANGLE), Box("dog", 0, 0, 50, 40))
        set_out(
            {"train": [item(tmp_path / "a.png", Content(boxes=boxes))]},
            tmp_path / "out",
            form(Target.YOLO, Task.SEGMENT),
        )
        (file,) = (tmp_path / "out" / "labels" / "train").iterdir()
        assert file.read_text() == "0 0.1 0.125 0.3 0.125 0.3 0.5\n1 0 0 0.5 0 0.5 0.5 0 0.5\n"

    def test_data_yaml(self, tmp_path: Path) -> None:
        splits = {"train": [item(tmp_path / "a.png")], "holdout": [item(tmp_path / "b.png")]}
        set_out(splits, tmp_path / "out", form(Target.YOLO))
        text = (tmp_path / "out" / "data.yaml").read_text()
        assert text.startswith("# val is the frozen holdout: measure on it, but choose nothing by it")
        assert yaml.safe_load(text) == {
            "train": "images/train",
            "val": "images/holdout",
            "names": {0: "cat", 1: "dog"},
        }

    def test_data_yaml_before_there_is_a_holdout(self, tmp_path: Path) -> None:
        set_out({"train": [item(tmp_path / "a.png")]}, tmp_path / "out", form(Target.YOLO))
        assert "val" not in yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())


class TestCsv:
    def test_the_manifest_that_pool_add_takes(self, tmp_path: Path) -> None:
        splits = {
            "train": [item(tmp_path / "a, b.png", Content("cat"))],
            "holdout": [item(tmp_path / "c.png", Content("dog"))],
        }
        set_out(splits, tmp_path / "out", Form(Task.CLASSIFY, LABELS))
        with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
            assert list(csv.reader(file)) == [
                ["uri", "label", "group", "split"],
                [f"{tmp_path}/a, b.png", "cat", "clip", "pool"],
                [f"{tmp_path}/c.png", "dog", "clip", "holdout"],
            ]

    def test_boxes_have_no_place_in_it(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"^labels of the task 'detect' have no place in csv; use --format coco or"
        ):
            set_out({"train": []}, tmp_path / "out", form(Target.CSV))

    def test_classes_have_no_place_elsewhere(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"^labels of the task 'classify' have no place in yolo; use --format csv$"
        ):
            set_out({"train": []}, tmp_path / "out", form(Target.YOLO, Task.CLASSIFY))


class TestImages:
    def test_local_ones_are_linked(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png")
        set_out({"train": [one]}, tmp_path / "out", form(Target.COCO))
        (link,) = (tmp_path / "out" / "images" / "train").iterdir()
        assert str(link.readlink()) == one.sample.uri

    def test_or_copied(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png")
        set_out({"train": [one]}, tmp_path / "out", form(Target.COCO, how="copy"))
        (copy,) = (tmp_path / "out" / "images" / "train").iterdir()
        assert not copy.is_symlink()
        assert content_id(copy.read_bytes()) == one.sample.id

    @pytest.fixture
    def memory(self) -> Iterator[fsspec.AbstractFileSystem]:
        files = fsspec.filesystem("memory")
        yield files
        files.store.clear()

    def test_remote_ones_are_copied(self, tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
        one = item(tmp_path / "a.png")
        memory.pipe("/b/é.png", Path(one.sample.uri).read_bytes())
        remote = replace(one, sample=replace(one.sample, uri="memory://b/é.png"), mtime_ns=None)
        set_out({"train": [remote]}, tmp_path / "out", form(Target.COCO))
        (copy,) = (tmp_path / "out" / "images" / "train").iterdir()
        assert copy.name == f"{one.sample.id[:12]}.png"
        assert content_id(copy.read_bytes()) == one.sample.id

    def test_names_are_plain_and_of_their_own(self, tmp_path: Path) -> None:
        items = [item(tmp_path / "x" / '"><svg onload=1>.PNG'), item(tmp_path / "y" / '"><svg onload=1>.PNG')]
        set_out({"train": items}, tmp_path / "out", form(Target.YOLO))
        names = {path.name for path in (tmp_path / "out" / "images" / "train").iterdir()}
        assert names == {f"svg-onload-1-{one.sample.id[:12]}.png" for one in items}

    def test_a_file_without_a_suffix_gets_one(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png")
        bare = (tmp_path / "a.png").rename(tmp_path / "a")
        set_out(
            {"train": [replace(one, sample=replace(one.sample, uri=str(bare)))]}, tmp_path / "out", form(Target.YOLO)
        )
        (link,) = (tmp_path / "out" / "images" / "train").iterdir()
        assert link.suffix == ".png"

    def test_a_touched_file_is_still_the_one(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png")
        os.utime(one.sample.uri, ns=(1, 1))
        assert set_out({"train": [one]}, tmp_path / "out", form(Target.YOLO)) == ()

    def test_one_that_changed_is_left_out(self, tmp_path: Path) -> None:
        one, other = item(tmp_path / "a.png"), item(tmp_path / "b.png")
        Path(one.sample.uri).write_bytes(b"other")
        assert set_out({"train": [one, other]}, tmp_path / "out", form(Target.YOLO)) == (
            Refusal(one.sample.uri, "has changed since it was added; put the image back that was labelled"),
        )
        assert len(list((tmp_path / "out" / "labels" / "train").iterdir())) == 1

    def test_one_that_is_gone_is_left_out(self, tmp_path: Path) -> None:
        one = item(tmp_path / "a.png")
        Path(one.sample.uri).unlink()
        (refusal,) = set_out({"train": [one]}, tmp_path / "out", form(Target.COCO))
        assert refusal.reason.startswith("cannot be read (")

    def test_progress_counts_them(self, tmp_path: Path) -> None:
        seen = []
        items = [item(tmp_path / f"{name}.png") for name in "ab"]
        set_out({"train": items}, tmp_path / "out", form(Target.COCO), progress=lambda *told: seen.append(told))
        assert seen == [("setting out train", 1, 2), ("setting out train", 2, 2)]


class TestFolder:
    def test_one_that_is_there_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").touch()
        with pytest.raises(
            ConfigError, match=f"^{tmp_path}/out is there already; name a folder that is not there yet$"
        ):
            set_out({"train": []}, tmp_path / "out", form(Target.COCO))

    def test_an_empty_one_will_do(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        set_out({"train": []}, tmp_path / "out", form(Target.COCO))
        assert (tmp_path / "out" / "annotations").is_dir()

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "out").touch()
        with pytest.raises(ConfigError, match="is there already"):
            set_out({"train": []}, tmp_path / "out", form(Target.COCO))

    def test_stopped_half_way_nothing_is_left(self, tmp_path: Path) -> None:
        def stop(what: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            set_out({"train": [item(tmp_path / "in" / "a.png")]}, tmp_path / "out", form(Target.COCO), progress=stop)
        assert [path.name for path in tmp_path.iterdir()] == ["in"]
