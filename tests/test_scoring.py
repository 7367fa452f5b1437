"""Scores of the pool as files: each shard once, the true best of all shards, and files that nobody may change."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alloop.errors import ModelCorrupt
from alloop.scoring import (
    Dim,
    ScoreFile,
    Shard,
    Shortlist,
    class_counts,
    file_sha256,
    random_rows,
    score_shards,
    shortlist,
)

Files = list[tuple[Path, str]]


def shard(*ids: str) -> Shard[tuple[str, ...]]:
    return Shard(pa.array(ids, pa.string()), ids)


class Scorer:
    """Scores by a table, one class for each sample, and a count of how often it was asked."""

    def __init__(self, scores: dict[str, float], classes: int = 3) -> None:
        self.scores, self.classes = scores, classes
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def __call__(self, ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append((tuple(ids), seed))
        columns = [int(key[1:]) % self.classes for key in ids]
        probabilities = np.full((len(ids), self.classes), 0.1, dtype=np.float32)
        probabilities[range(len(ids)), columns] = 0.8
        return np.array([self.scores[key] for key in ids], dtype=np.float32), probabilities


def write(folder: Path, scorer: Any, *shards: Shard[Any], version: str = "v1", **more: Any) -> list[ScoreFile]:
    total = sum(len(one.ids) for one in shards)
    return list(score_shards(shards, scorer, folder=folder, version=version, seed=10, total=total, **more))


def registered(files: list[ScoreFile]) -> Files:
    return [(file.path, file.sha256) for file in files]


def scored(folder: Path, *scores: Sequence[float]) -> Files:
    """Files of shards with these scores; ids count through: s0, s1, …"""
    names, place = [], 0
    for part in scores:
        names.append([f"s{number}" for number in range(place, place + len(part))])
        place += len(part)
    table = {key: score for ids, part in zip(names, scores, strict=True) for key, score in zip(ids, part, strict=True)}
    return registered(write(folder, Scorer(table), *(shard(*ids) for ids in names)))


def dice(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Shards into files


def test_a_file_holds_id_score_top_class_and_the_two_best_probabilities(tmp_path: Path) -> None:
    (file,) = write(tmp_path, Scorer({"s0": 0.5, "s4": 0.25}), shard("s0", "s4"))
    rows = pq.read_table(file.path).to_pylist()
    assert [(row["id"], row["score"], row["top_class"]) for row in rows] == [("s0", 0.5, 0), ("s4", 0.25, 1)]
    assert [round(row["p1"], 5) for row in rows] == [0.8, 0.8]
    assert [round(row["p2"], 5) for row in rows] == [0.1, 0.1]


def test_without_a_model_there_are_no_classes(tmp_path: Path) -> None:
    def nothing(ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(len(ids), np.float32), np.empty((len(ids), 0), np.float32)

    (file,) = write(tmp_path, nothing, shard("s0"))
    assert pq.read_table(file.path).to_pylist() == [{"id": "s0", "score": 1.0, "top_class": 0, "p1": 0.0, "p2": 0.0}]


def test_a_shard_that_has_its_file_is_not_scored_again(tmp_path: Path) -> None:
    scorer, shards = Scorer({"s0": 1.0, "s1": 2.0}), (shard("s0"), shard("s1"))
    first = write(tmp_path, scorer, *shards)
    assert write(tmp_path, scorer, *shards) == first
    assert len(scorer.asked) == 2


def test_only_what_is_missing_is_scored_after_an_interruption(tmp_path: Path) -> None:
    scorer, shards = Scorer({"s0": 1.0, "s1": 2.0}), (shard("s0"), shard("s1"))
    stream = score_shards(shards, scorer, folder=tmp_path, version="v1", seed=10, total=2)
    next(stream)
    stream.close()
    write(tmp_path, scorer, *shards)
    assert Counter(ids for ids, _ in scorer.asked) == {("s0",): 1, ("s1",): 1}


@pytest.mark.parametrize(
    ("ids", "version"), [(("s0", "s2"), "v1"), (("s0", "s1"), "v2"), (("s0",), "v1"), (("s1", "s0"), "v1")]
)
def test_other_samples_or_another_model_are_another_file(tmp_path: Path, ids: tuple[str, ...], version: str) -> None:
    scorer = Scorer({f"s{n}": float(n) for n in range(3)})
    write(tmp_path, scorer, shard("s0", "s1"))
    write(tmp_path, scorer, shard(*ids), version=version)
    assert len(scorer.asked) == 2


def test_each_place_has_a_seed_of_its_own_whatever_was_done_before(tmp_path: Path) -> None:
    shards = [shard(f"s{n}") for n in range(3)]
    scorer = Scorer({f"s{n}": float(n) for n in range(3)})
    files = write(tmp_path, scorer, *shards)
    files[1].path.unlink()
    write(tmp_path, scorer, *shards)
    assert scorer.asked == [(("s0",), 10), (("s1",), 11), (("s2",), 12), (("s1",), 11)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_named_and_kept_out(tmp_path: Path, bad: float) -> None:
    scorer, shards = Scorer({"s0": 1.0, "s1": bad, "s2": 2.0}), shard("s0", "s1", "s2")
    (file,) = write(tmp_path, scorer, shards)
    assert (file.samples, file.unusable) == (2, ("s1",))
    assert pq.read_table(file.path)["id"].to_pylist() == ["s0", "s2"]
    assert write(tmp_path, scorer, shards) == [file], "the second time it is read from the file"


def test_progress_counts_samples(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    scorer = Scorer({f"s{n}": 0.0 for n in range(3)})
    write(tmp_path, scorer, shard("s0", "s1"), shard("s2"), progress=lambda *news: told.append(news))
    assert told == [("scoring the pool", 2, 3), ("scoring the pool", 3, 3)]


# The best of all files


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_shortlist_is_the_true_top_of_all_shards(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    values = st.integers(-20, 20).map(lambda number: number / 4)
    parts = data.draw(st.lists(st.lists(values, min_size=1, max_size=12), min_size=1, max_size=5))
    size = data.draw(st.integers(0, 40))
    files = scored(tmp_path_factory.mktemp("scores"), *parts)
    everything = [score for part in parts for score in part]
    top = shortlist(files, size, dice(data.draw(st.integers(0, 5))))
    assert top.scores.tolist() == sorted(everything, reverse=True)[:size]
    assert [everything[int(key[1:])] for key in top.ids] == top.scores.tolist()
    assert len(set(top.ids)) == len(top) == min(size, len(everything))


def test_a_row_keeps_its_class_and_its_probability(tmp_path: Path) -> None:
    top = shortlist(scored(tmp_path, [0.0, 3.0], [1.0, 2.0]), 3, dice())
    assert top.ids == ("s1", "s3", "s2")
    assert top.top_class.tolist() == [1, 0, 2]
    assert top.p1.tolist() == pytest.approx([0.8] * 3)


def test_equal_scores_fall_by_chance_and_the_same_dice_throw_the_same(tmp_path: Path) -> None:
    files = scored(tmp_path, [1.0] * 30, [1.0] * 30)
    assert shortlist(files, 10, dice(1)).ids == shortlist(files, 10, dice(1)).ids
    assert shortlist(files, 10, dice(1)).ids != shortlist(files, 10, dice(2)).ids


def test_equal_scores_have_equal_chances_in_every_shard(tmp_path: Path) -> None:
    files = scored(tmp_path, [1.0] * 4, [1.0] * 4, [1.0] * 4)
    drawn = Counter(key for seed in range(300) for key in shortlist(files, 6, dice(seed)).ids)
    assert all(105 <= drawn[f"s{n}"] <= 195 for n in range(12)), drawn  # 150 expected, sd 8.7


def test_ids_to_leave_out_are_left_out(tmp_path: Path) -> None:
    files = scored(tmp_path, [5.0, 4.0, 3.0], [2.0, 1.0])
    assert shortlist(files, 2, dice(), without=frozenset({"s0", "s2"})).ids == ("s1", "s3")


def test_reweighing_sees_scores_and_classes_and_decides_the_order(tmp_path: Path) -> None:
    files = scored(tmp_path, [5.0, 1.0, 4.0], [3.0, 2.0])
    only_class_1: Callable[..., np.ndarray] = lambda scores, top: np.where(top == 1, scores, 0).astype(np.float32)  # noqa: E731
    top = shortlist(files, 2, dice(), reweigh=only_class_1)
    assert top.ids == ("s4", "s1")
    assert top.scores.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes() + b" ")])
@pytest.mark.parametrize(
    "read", [lambda files: shortlist(files, 1, dice()), lambda files: class_counts(files, 3)], ids=["top", "counts"]
)
def test_a_file_that_is_gone_or_was_changed_is_never_read(tmp_path: Path, spoil: Any, read: Any) -> None:
    files = scored(tmp_path, [1.0], [2.0])
    spoil(files[1][0])
    with pytest.raises(ModelCorrupt, match=f"the score file {files[1][0]} is missing or was changed"):
        read(files)


def test_the_registered_hash_is_that_of_the_file(tmp_path: Path) -> None:
    ((path, digest),) = scored(tmp_path, [1.0])
    assert file_sha256(path) == digest


# At random


def test_random_rows_are_drawn_uniformly_whatever_their_scores(tmp_path: Path) -> None:
    files = scored(tmp_path, [100.0, 1.0, 1.0], [0.0] * 9)
    drawn = Counter(key for seed in range(400) for key in random_rows(files, 3, dice(seed)).ids)
    assert all(65 <= drawn[f"s{n}"] <= 135 for n in range(12)), drawn  # 100 expected, sd 8.7


def test_random_rows_are_distinct_and_the_same_for_the_same_dice(tmp_path: Path) -> None:
    files = scored(tmp_path, [0.0] * 20, [0.0] * 20)
    drawn = random_rows(files, 15, dice(3)).ids
    assert len(set(drawn)) == 15
    assert random_rows(files, 15, dice(3)).ids == drawn


def test_random_rows_leave_out_what_they_are_told_to(tmp_path: Path) -> None:
    files = scored(tmp_path, [0.0] * 4)
    assert set(random_rows(files, 9, dice(), without=frozenset({"s1"})).ids) == {"s0", "s2", "s3"}


def test_more_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    files = scored(tmp_path, [0.0] * 3)
    assert set(random_rows(files, 9, dice()).ids) == {"s0", "s1", "s2"}
    assert len(random_rows(files, 0, dice())) == 0


def test_class_counts_cover_every_class_also_one_that_nobody_predicts(tmp_path: Path) -> None:
    files = scored(tmp_path, [0.0] * 4, [0.0])
    assert class_counts(files, 5).tolist() == [2, 2, 1, 0, 0]


def test_nothing_is_a_shortlist_without_rows() -> None:
    assert len(Shortlist.nothing()) == len(Shortlist.nothing().rows(np.array([], dtype=np.int64))) == 0


def test_only_so_many_of_a_shortlist_are_dim(tmp_path: Path) -> None:
    def see(ids: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        sure = np.array([0.01 if int(key[1:]) % 2 else 0.5 for key in ids], np.float32)
        return np.array([int(key[1:]) for key in ids], np.float32), np.stack([sure, 1 - sure], axis=1)[:, :1]

    names = [f"s{number}" for number in range(20)]
    files = write(tmp_path, see, shard(*names[:11]), shard(*names[11:]))
    top = shortlist([(file.path, file.sha256) for file in files], 6, dice(0), dim=Dim(0.05, 2))
    assert top.ids == ("s19", "s18", "s17", "s16", "s14", "s12")


def test_a_scorer_leaves_the_half_written_file_of_another_alone(tmp_path: Path) -> None:
    scorer = Scorer({"s0": 0.5})
    (file,) = write(tmp_path, scorer, shard("s0"))
    file.path.rename(file.path.with_suffix(".tmp"))  # another process is about to name its own
    (again,) = write(tmp_path, scorer, shard("s0"))
    assert file.path.with_suffix(".tmp").read_bytes() == again.path.read_bytes()


def test_a_score_file_is_on_the_disk_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, Scorer({"s0": 0.5}), shard("s0"))
    assert list(tmp_path.iterdir()) == []
