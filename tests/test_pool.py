"""Adding images to the pool, with a store that really keeps them (in memory)."""

import csv
import io
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from zipfile import ZipFile

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from alloop import pool
from alloop.errors import BadImage, BadLabel, BadManifest
from alloop.images import content_id, measure
from alloop.inspection import PROGRAM, in_processes, inspect
from alloop.manifest import Listing, Row, read_source
from alloop.nouns import Content, Split, Task
from alloop.pool import Added, Cause, SetAside, add_to_pool
from alloop.survey import survey_source
from tests.memory_store import MemoryStore

LABELS = ("cat", "dog")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def picture(seed: int, *, size: tuple[int, int] = (8, 6), suffix: str = "png", **options: object) -> bytes:
    """A small image that differs for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return file.getvalue()


def fill(folder: Path, count: int, *, first: int = 0) -> list[str]:
    """`count` image files named 000.png and on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(first, first + count)]
    for number, path in enumerate(paths, start=first):
        path.write_bytes(picture(number))
    return [str(path) for path in paths]


def write_csv(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def add(source: str | Path, store: pool.SampleStore, **options: object) -> Added:
    return add_to_pool(str(source), store=store, labels=LABELS, workers=2, **options)  # type: ignore[arg-type]


def refusal(source: str | Path, store: MemoryStore, **options: object) -> str:
    """The sentence that `source` is refused with; nothing may have been written."""
    with pytest.raises((BadManifest, BadLabel)) as caught:
        add(source, store, **options)
    assert not store.found
    assert not store.aside
    return str(caught.value)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CHUNK", 4)
    monkeypatch.setattr(pool, "PART", 2)


@pytest.fixture
def processes(small_chunks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PROCESSES_FROM", 1)


class TestFolder:
    def test_every_image_becomes_a_sample(self, tmp_path: Path, store: MemoryStore) -> None:
        paths = fill(tmp_path / "a" / "deep", 2) + fill(tmp_path / "b", 2, first=2)
        assert add(tmp_path, store) == Added(rows=4, added=4, unchanged=0)
        assert list(store.found) == paths

    def test_the_id_is_the_hash_of_the_file(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(tmp_path, store)
        assert store.found[path].sample.id == content_id(Path(path).read_bytes())

    def test_nothing_but_the_uri_is_known_of_it(self, tmp_path: Path) -> None:
        [path] = fill(tmp_path, 1)
        assert list(read_source(str(tmp_path))) == [Row(uri=path)]

    def test_the_file_is_measured(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(tmp_path, store)
        one = store.found[path]
        file = Path(path).stat()
        assert (one.width, one.height, one.size_bytes, one.mtime_ns) == (8, 6, file.st_size, file.st_mtime_ns)

    def test_hidden_and_other_files_are_skipped(self, tmp_path: Path) -> None:
        fill(tmp_path / ".cache", 1)
        (tmp_path / ".hidden.png").write_bytes(picture(1))
        (tmp_path / "notes.txt").write_text("no image")
        (tmp_path / "UPPER.JPG").write_bytes(picture(2, suffix="jpg"))
        assert [Path(row.uri).name for row in read_source(str(tmp_path))] == ["UPPER.JPG"]

    def test_linked_folders_are_followed_but_not_in_circles(self, tmp_path: Path) -> None:
        fill(tmp_path / "elsewhere", 1)
        fill(tmp_path / "pool", 1, first=1)
        (tmp_path / "pool" / "circle").symlink_to(tmp_path / "pool")
        (tmp_path / "pool" / "link").symlink_to(tmp_path / "elsewhere")
        names = [Path(row.uri).relative_to(tmp_path) for row in read_source(str(tmp_path / "pool"))]
        assert names == [Path("pool/001.png"), Path("pool/link/000.png")]

    def test_a_relative_folder_gives_absolute_paths(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = fill(tmp_path / "pool", 1)
        monkeypatch.chdir(tmp_path)
        assert [row.uri for row in read_source("pool/../pool")] == paths

    def test_an_empty_folder(self, tmp_path: Path, store: MemoryStore) -> None:
        assert refusal(tmp_path, store).startswith(f"{tmp_path} holds no image; add some (.bmp, ")

    def test_a_missing_folder(self, tmp_path: Path, store: MemoryStore) -> None:
        assert refusal(tmp_path / "none", store) == f"there is no {tmp_path}/none; check the path"

    def test_a_file_that_is_no_manifest(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        assert refusal(path, store) == (
            f"{path} is neither a folder nor a manifest; name a local folder, a .csv or a .parquet file"
        )

    def test_a_remote_folder(self, store: MemoryStore) -> None:
        assert refusal("memory://pool/", store).startswith("memory://pool/ is neither a folder nor a manifest;")

    @pytest.mark.parametrize("name", [b"\xff.png"])
    def test_a_name_that_is_not_text_is_set_aside(self, tmp_path: Path, store: MemoryStore, name: bytes) -> None:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_bytes(picture(0))
        assert add(tmp_path, store).examples == (
            SetAside(f"{tmp_path}/\\udcff.png", Cause.BAD_IMAGE, "has a name that is not valid UTF-8; rename it"),
        )


class TestManifest:
    def test_csv_gives_label_group_and_split(self, tmp_path: Path) -> None:
        source = write_csv(tmp_path / "m.csv", "uri,label,group,split", "/a.png,cat,clip,holdout", "b.png,,,")
        assert list(read_source(source)) == [
            Row("/a.png", "cat", "clip", Split.HOLDOUT, 2),
            Row(f"{tmp_path}/b.png", line=3),
        ]

    def test_parquet_gives_the_same(self, tmp_path: Path) -> None:
        table = {"uri": ["/a.png", "b.png"], "label": ["cat", None], "split": ["holdout", ""]}
        pq.write_table(pa.table(table), tmp_path / "m.parquet")
        assert list(read_source(str(tmp_path / "m.parquet"))) == [
            Row("/a.png", "cat", None, Split.HOLDOUT, 1),
            Row(f"{tmp_path}/b.png", line=2),
        ]

    def test_labels_become_the_truth_of_samples(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(write_csv(tmp_path / "m.csv", "uri,label,group", "000.png,dog,clip"), store)
        sample = store.found[path].sample
        assert (sample.truth, sample.group, sample.split) == (Content(class_name="dog"), "clip", Split.POOL)

    def test_a_byte_order_mark_and_blank_lines_are_no_trouble(self, tmp_path: Path) -> None:
        (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbfuri\r\n\r\n/a.png\r\n")
        assert list(read_source(str(tmp_path / "m.csv"))) == [Row("/a.png", line=3)]

    def test_a_file_url_is_a_local_path(self, tmp_path: Path) -> None:
        source = write_csv(tmp_path / "m.csv", "uri", "file:///data/a.png")
        assert [row.uri for row in read_source(source)] == ["/data/a.png"]

    def test_dots_in_paths_are_resolved(self, tmp_path: Path) -> None:
        source = write_csv(tmp_path / "m.csv", "uri", "./x/../a.png")
        assert [row.uri for row in read_source(source)] == [f"{tmp_path}/a.png"]

    @pytest.mark.parametrize(
        ("lines", "sentence"),
        [
            (
                ["label,group"],
                "{m} has no column 'uri', only 'label, group'; name the column with the images' paths 'uri'",
            ),
            (["uri;label", "a;cat"], "{m} has semicolons between its columns, 'uri;label'; save it with commas"),
            (["image\tlabel"], "{m} has tabs between its columns, 'image\\tlabel'; save it with commas"),
            (["uri,lable"], "{m} has an unknown column 'lable'; did you mean 'label'?"),
            (["uri,weather"], "{m} has an unknown column 'weather'; known are uri, label, group, split"),
            (["uri,uri"], "{m} has the column 'uri' 2 times; keep one"),
            (["uri", "a.png,cat"], "{m}, line 2 has 2 cells for 1 columns; quote cells with commas"),
            (["uri,label", ",cat"], "{m}, line 2 has no uri; fill it in or remove the line"),
            (
                ["uri,label", "a,cat", "b,catt"],
                "{m}, line 3: label 'catt' is not in the label set; did you mean 'cat'?",
            ),
            (["uri,label", "a,zebra"], "{m}, line 2: label 'zebra' is not in the label set; known are cat, dog"),
            (["uri,split", "a,train"], "{m}, line 2: split 'train' is not known; write 'pool', 'holdout' or nothing"),
            (["uri", "a.png", "b.png", "./a.png"], "{m} names {d}/a.png twice, in lines 2 and 4; remove one of them"),
        ],
    )
    def test_a_wrong_row_refuses_the_whole(
        self, tmp_path: Path, store: MemoryStore, lines: list[str], sentence: str
    ) -> None:
        source = write_csv(tmp_path / "m.csv", *lines)
        assert refusal(source, store) == sentence.format(m=source, d=tmp_path)

    def test_an_empty_csv(self, tmp_path: Path, store: MemoryStore) -> None:
        (tmp_path / "m.csv").touch()
        assert "m.csv is empty; its first line names the columns" in refusal(tmp_path / "m.csv", store)

    def test_a_csv_with_a_header_only(self, tmp_path: Path, store: MemoryStore) -> None:
        assert "m.csv holds no image; add some" in refusal(write_csv(tmp_path / "m.csv", "uri"), store)

    def test_a_missing_manifest(self, tmp_path: Path, store: MemoryStore) -> None:
        assert refusal(tmp_path / "m.csv", store) == f"there is no {tmp_path}/m.csv; check the path"

    @pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
    def test_bytes_that_are_no_manifest(self, tmp_path: Path, store: MemoryStore, name: str) -> None:
        (tmp_path / name).write_bytes(b"uri\n\xff\xfe\x00\x01 garbage")
        sentence = refusal(tmp_path / name, store)
        assert sentence.startswith(f"{tmp_path}/{name} cannot be read as a manifest (")
        assert sentence.endswith("); check the file")

    def test_an_unclosed_quote(self, tmp_path: Path, store: MemoryStore) -> None:
        assert "cannot be read as a manifest" in refusal(write_csv(tmp_path / "m.csv", "uri", '"a.png'), store)

    def test_an_unknown_protocol(self, store: MemoryStore) -> None:
        assert "cannot be read as a manifest (Protocol not known: nowhere)" in refusal("nowhere://b/m.csv", store)

    def test_a_label_where_the_task_needs_boxes(self, tmp_path: Path, store: MemoryStore) -> None:
        source = write_csv(tmp_path / "m.csv", "uri,label", "a.png,cat")
        assert refusal(source, store, task=Task.DETECT) == (
            f"{source}, line 2: label 'cat' is a class, and the task 'detect' needs boxes; leave the column 'label' out"
        )

    def test_equal_hashes_of_different_uris_are_no_twins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("alloop.survey.hash", len, raising=False)
        source = write_csv(tmp_path / "m.csv", "uri", "a.png", "b.png")
        assert survey_source(Listing(source), labels=LABELS, task=Task.CLASSIFY).rows == 2


class TestRemote:
    @pytest.fixture
    def memory(self) -> Iterator[fsspec.AbstractFileSystem]:
        files = fsspec.filesystem("memory")
        yield files
        files.store.clear()

    def test_images_at_urls_are_read(
        self, tmp_path: Path, store: MemoryStore, memory: fsspec.AbstractFileSystem
    ) -> None:
        memory.pipe("/b/a.png", picture(1))
        add(write_csv(tmp_path / "m.csv", "uri", "memory://b/a.png"), store)
        assert store.found["memory://b/a.png"].mtime_ns is None

    def test_a_remote_manifest_names_images_beside_it(
        self, store: MemoryStore, memory: fsspec.AbstractFileSystem
    ) -> None:
        memory.pipe("/b/img/a.png", picture(1))
        memory.pipe("/b/m.csv", b"uri\nimg/a.png\n")
        add("memory://b/m.csv", store)
        assert list(store.found) == ["memory://b/img/a.png"]

    def test_a_remote_parquet_manifest(self, store: MemoryStore, memory: fsspec.AbstractFileSystem) -> None:
        memory.pipe("/b/a.png", picture(1))
        pq.write_table(pa.table({"uri": ["a.png"]}), file := io.BytesIO())
        memory.pipe("/b/m.parquet", file.getvalue())
        assert add("memory://b/m.parquet", store).added == 1

    def test_a_manifest_in_an_archive(self, tmp_path: Path) -> None:
        with ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr("m.csv", "uri\na.png\n")
        source = f"zip://m.csv::{tmp_path}/x.zip"
        assert [row.uri for row in read_source(source)] == [f"zip://a.png::{tmp_path}/x.zip"]

    def test_a_missing_url_is_set_aside(
        self, tmp_path: Path, store: MemoryStore, memory: fsspec.AbstractFileSystem
    ) -> None:
        report = add(write_csv(tmp_path / "m.csv", "uri", "memory://b/none.png"), store)
        assert report.aside == {Cause.BAD_IMAGE: 1}

    def test_a_missing_remote_manifest(self, store: MemoryStore) -> None:
        assert refusal("memory://b/m.csv", store) == "there is no memory://b/m.csv; check the path"

    def test_a_known_url_is_not_read_again(
        self, tmp_path: Path, store: MemoryStore, memory: fsspec.AbstractFileSystem
    ) -> None:
        memory.pipe("/b/a.png", picture(1))
        source = write_csv(tmp_path / "m.csv", "uri", "memory://b/a.png")
        add(source, store)
        memory.rm("/b/a.png")
        assert add(source, store).unchanged == 1


class TestBadImages:
    @pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
    @pytest.mark.parametrize("lost", [1, 100, 1000])
    def test_a_truncated_jpeg_is_set_aside(
        self, tmp_path: Path, store: MemoryStore, options: dict[str, bool], lost: int
    ) -> None:
        (tmp_path / "cut.jpg").write_bytes(picture(1, suffix="jpg", size=(64, 64), **options)[:-lost])
        report = add(tmp_path, store)
        [reason] = [aside.reason for aside in report.examples]
        assert not store.found
        assert reason.startswith("does not open as an image (image file is truncated")
        assert reason.endswith("); replace or remove it")

    @pytest.mark.parametrize("raw", [b"", b"not an image"])
    def test_a_file_that_is_no_image(self, tmp_path: Path, store: MemoryStore, raw: bytes) -> None:
        (tmp_path / "a.png").write_bytes(raw)
        assert add(tmp_path, store).examples == (
            SetAside(
                f"{tmp_path}/a.png",
                Cause.BAD_IMAGE,
                "does not open as an image (its format is unknown or it is empty); replace or remove it",
            ),
        )

    def test_a_missing_file_in_a_manifest(self, tmp_path: Path, store: MemoryStore) -> None:
        add(write_csv(tmp_path / "m.csv", "uri", "none.png"), store)
        assert store.aside[f"{tmp_path}/none.png"].reason == "does not exist; check the path"

    def test_a_named_pipe_does_not_block(self, tmp_path: Path, store: MemoryStore) -> None:
        os.mkfifo(tmp_path / "a.png")
        add(tmp_path, store)
        assert store.aside[f"{tmp_path}/a.png"].reason == "is not a file; name an image file"

    def test_the_good_ones_are_kept(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 2)
        (tmp_path / "bad.png").write_bytes(b"")
        assert add(tmp_path, store).added == 2

    def test_a_mended_file_joins(self, tmp_path: Path, store: MemoryStore) -> None:
        (tmp_path / "a.png").write_bytes(b"")
        add(tmp_path, store)
        (tmp_path / "a.png").write_bytes(picture(1))
        assert add(tmp_path, store).added == 1
        assert not store.aside

    def test_too_many_pixels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("alloop.images.MAX_PIXELS", 47)
        with pytest.raises(BadImage, match=r"^a has 8 x 6 pixels; shrink it below 47$"):
            measure(picture(1), "a")

    def test_a_photo_lying_on_its_side_is_measured_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        assert measure(picture(1, suffix="jpg", exif=exif), "a") == (6, 8)

    @pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
    @pytest.mark.filterwarnings("ignore")
    def test_no_broken_bytes_raise_anything_else(self, suffix: str) -> None:
        whole, sizes = picture(1, suffix=suffix), []

        @settings(max_examples=60)
        @example(changes={})
        @given(changes=st.dictionaries(st.integers(0, len(whole) - 1), st.integers(0, 255), max_size=8))
        def look(changes: dict[int, int]) -> None:
            with suppress(BadImage):
                sizes.append(measure(bytes(changes.get(place, byte) for place, byte in enumerate(whole)), "a"))

        look()
        assert sizes[0] == (8, 6)


class TestDuplicates:
    def test_a_copy_names_the_first(self, tmp_path: Path, store: MemoryStore) -> None:
        for name in ("a.png", "b.png"):
            (tmp_path / name).write_bytes(picture(1))
        add(tmp_path, store)
        assert list(store.found) == [f"{tmp_path}/a.png"]
        assert store.aside[f"{tmp_path}/b.png"] == SetAside(
            f"{tmp_path}/b.png", Cause.DUPLICATE, f"is an exact copy of {tmp_path}/a.png"
        )

    @pytest.mark.usefixtures("small_chunks")
    def test_a_copy_far_away_is_found_too(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 9)
        (tmp_path / "zzz.png").write_bytes((tmp_path / "000.png").read_bytes())
        assert add(tmp_path, store).aside == {Cause.DUPLICATE: 1}

    def test_a_copy_of_a_known_sample_yields_to_it(self, tmp_path: Path, store: MemoryStore) -> None:
        (tmp_path / "b.png").write_bytes(picture(1))
        add(tmp_path, store)
        (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes())
        os.utime(tmp_path / "b.png", ns=(1, 1))
        add(tmp_path, store)
        assert list(store.found) == [f"{tmp_path}/b.png"]
        assert list(store.aside) == [f"{tmp_path}/a.png"]


class TestAgain:
    def test_only_the_new_are_added(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 3)
        add(tmp_path, store)
        fill(tmp_path / "more", 2, first=3)
        assert add(tmp_path, store) == Added(rows=5, added=2, unchanged=3)

    def test_an_unchanged_file_is_not_read(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(tmp_path, store)
        before = Path(path).stat()
        Path(path).write_bytes(b"x" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert add(tmp_path, store).unchanged == 1

    def test_a_touched_file_stays(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(tmp_path, store)
        os.utime(path, ns=(1, 1))
        assert add(tmp_path, store) == Added(rows=1, added=0, unchanged=1)
        assert store.found[path].mtime_ns == 1

    def test_a_changed_file_is_set_aside(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(tmp_path, store)
        Path(path).write_bytes(picture(99))
        add(tmp_path, store)
        assert store.aside[path] == SetAside(
            path, Cause.CHANGED, "has changed since it was added; give the new image a name of its own"
        )

    def test_a_label_that_comes_later_does_not_vanish_silently(self, tmp_path: Path, store: MemoryStore) -> None:
        [path] = fill(tmp_path, 1)
        add(tmp_path, store)
        add(write_csv(tmp_path / "m.csv", "uri,label", "000.png,cat"), store)
        assert store.aside[path].reason == (
            "is known with label None, group None and split 'pool', and now comes with 'cat', None and 'pool'; "
            "the first stands, start a new project to change it"
        )

    def test_a_folder_does_not_contradict_its_manifest(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 1)
        add(write_csv(tmp_path / "m.csv", "uri,label,split", "000.png,cat,holdout"), store)
        assert add(tmp_path, store) == Added(rows=1, added=0, unchanged=1)


class TestHoldout:
    def test_rows_of_the_manifest_are_the_holdout(self, tmp_path: Path, store: MemoryStore) -> None:
        [first, _] = fill(tmp_path, 2)
        add(write_csv(tmp_path / "m.csv", "uri,split", "000.png,holdout", "001.png,pool"), store)
        assert [uri for uri, one in store.found.items() if one.sample.split is Split.HOLDOUT] == [first]

    def test_its_groups_are_kept_out_of_the_pool(self, tmp_path: Path, store: MemoryStore) -> None:
        [first, second] = fill(tmp_path, 2)
        add(write_csv(tmp_path / "m.csv", "uri,group,split", "000.png,clip,pool", "001.png,clip,holdout"), store)
        assert list(store.found) == [second]
        assert store.aside[first].reason == "is set aside: its group 'clip' is in the holdout"

    def test_it_wins_over_its_exact_copy(self, tmp_path: Path, store: MemoryStore) -> None:
        [first] = fill(tmp_path, 1)
        (tmp_path / "copy.png").write_bytes(Path(first).read_bytes())
        add(write_csv(tmp_path / "m.csv", "uri,split", "000.png,pool", "copy.png,holdout"), store)
        assert list(store.found) == [f"{tmp_path}/copy.png"]
        assert store.aside[first].cause is Cause.DUPLICATE

    def test_what_the_store_refuses_is_set_aside(self, tmp_path: Path, store: MemoryStore) -> None:
        [_, second] = fill(tmp_path, 2)
        add(write_csv(tmp_path / "a.csv", "uri,group,split", "000.png,clip,holdout"), store)
        report = add(write_csv(tmp_path / "b.csv", "uri,group", "001.png,clip"), store)
        assert report.aside == {Cause.HOLDOUT: 1}
        assert store.aside[second].cause is Cause.HOLDOUT


@pytest.mark.usefixtures("small_chunks")
class TestInterrupted:
    def test_progress_counts_rows(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 9)
        seen = []
        add(tmp_path, store, progress=lambda what, done, total: seen.append((done, total)))
        assert seen == [(4, 9), (8, 9), (9, 9)]

    def test_a_stopped_run_keeps_whole_chunks_and_goes_on(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 20)

        def stop(what: str, done: int, total: int) -> None:
            if done == 8:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            add(tmp_path, store, progress=stop)
        assert len(store.found) == 8
        assert add(tmp_path, store) == Added(rows=20, added=12, unchanged=8)

    def test_a_reader_closed_in_the_middle_closes_its_file(self, tmp_path: Path) -> None:
        rows = read_source(write_csv(tmp_path / "m.csv", "uri", "a.png", "b.png"))
        next(rows)
        rows.close()  # type: ignore[attr-defined]
        assert list(rows) == []

    @pytest.mark.usefixtures("processes")
    def test_children_end_with_the_run(self, tmp_path: Path, store: MemoryStore) -> None:
        fill(tmp_path, 40)

        def stop(what: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            add(tmp_path, store, progress=stop)
        assert time.monotonic() - started < 5
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        assert not children.exists() or not children.read_text().split()


class TestProcesses:
    @pytest.mark.usefixtures("processes")
    def test_they_find_what_threads_find(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fill(tmp_path, 11)
        (tmp_path / "bad.jpg").write_bytes(picture(1, suffix="jpg")[:-9])
        (tmp_path / "copy.png").write_bytes((tmp_path / "003.png").read_bytes())
        one, other = MemoryStore(), MemoryStore()
        report = add(tmp_path, one)
        monkeypatch.setattr(pool, "PROCESSES_FROM", 1000)
        assert report == add(tmp_path, other)
        assert (one.found, one.aside) == (other.found, other.aside)

    def test_an_image_that_kills_the_decoder_is_named(self, tmp_path: Path) -> None:
        [first, deadly, last] = fill(tmp_path, 3)
        lethal = f"look = lambda uri: os._exit(9) if uri == {deadly!r} else inspect(uri); serve(look)"
        program = PROGRAM.replace("import serve; serve()", f"import inspect, serve; import os; {lethal}")
        with in_processes(1, program=program) as submit:
            found = submit([first, deadly, last]).result()
        assert [one.fault for one in found] == [None, "makes the image decoder crash; remove it", None]

    def test_one_look_is_the_same_in_a_child(self, tmp_path: Path) -> None:
        [path] = fill(tmp_path, 1)
        with in_processes(1) as submit:
            assert submit([path]).result() == [inspect(path)]

    def test_a_script_without_a_main_guard_runs_once(self, tmp_path: Path) -> None:
        fill(tmp_path / "pool", 3)
        script = tmp_path / "script.py"
        script.write_text(
            "print('once')\n"
            "from alloop.inspection import in_processes\n"
            "with in_processes(2) as submit:\n"
            f"    print(submit([{str(tmp_path / 'pool' / '000.png')!r}]).result()[0].width)\n"
        )
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
        assert ran.stdout.split() == ["once", "8"]

    def test_a_worker_loads_nothing_heavy(self) -> None:
        program = (
            "import sys, alloop.inspection; print({'torch', 'prefect', 'pyarrow', 'sqlalchemy'} & set(sys.modules))"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        assert ran.stdout.strip() == "set()"


class TestFuzzedManifests:
    def test_any_csv_is_read_or_refused_in_a_sentence(self, tmp_path: Path) -> None:
        good, read = [["a.png", LABELS[0], "clip", "pool"]], []

        @settings(max_examples=100)
        @example(rows=good)
        @given(rows=st.lists(st.lists(st.text(max_size=6), max_size=5), max_size=5))
        def look(rows: list[list[str]]) -> None:
            with (tmp_path / "m.csv").open("w", encoding="utf-8", errors="replace", newline="") as file:
                csv.writer(file).writerows([["uri", "label", "group", "split"], *rows])
            with suppress(BadManifest, BadLabel):
                survey_source(Listing(str(tmp_path / "m.csv")), labels=LABELS, task=Task.CLASSIFY)
                read.append(rows)

        look()
        assert read[0] == good

    def test_a_nul_is_refused(self, tmp_path: Path, store: MemoryStore) -> None:
        (tmp_path / "m.csv").write_bytes(b"uri\na" + struct.pack("b", 0) + b".png\n")
        assert "NUL" in refusal(tmp_path / "m.csv", store)
