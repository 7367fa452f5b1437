import csv
from collections import Counter

import numpy as np
import pytest

from alloop.demo_data import AMBIGUOUS, DIGITS, write_digits
from alloop.errors import BadImage
from alloop.images import content_id, read_image


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("pool"), seed=0)


@pytest.fixture(scope="module")
def rows(pool):
    with pool.open() as file:
        return list(csv.DictReader(file))


def contents(manifest):
    return {path.name: path.read_bytes() for path in sorted((manifest.parent / "images").iterdir())}


def test_the_manifest_lists_every_file_once(pool, rows):
    assert list(rows[0]) == ["uri", "label", "group", "split"]
    assert sorted(row["uri"] for row in rows) == [f"images/{name}" for name in contents(pool)]
    assert len(rows) == 1797 + 150 + 5 + 2


def test_the_holdout_is_stratified_and_clear(rows):
    held = Counter(row["label"] for row in rows if row["split"] == "holdout")
    assert sum(held.values()) == 450
    assert set(held) == set(DIGITS)
    assert max(held.values()) - min(held.values()) <= 5


def test_a_tenth_of_the_pool_is_blends(rows):
    pool = Counter(row["label"] for row in rows if row["split"] == "pool")
    assert 0.09 < pool[AMBIGUOUS] / sum(pool.values()) < 0.11


def test_five_files_are_exact_copies_and_none_of_the_holdout(pool, rows):
    ids = Counter(content_id((pool.parent / row["uri"]).read_bytes()) for row in rows)
    held = [row["uri"] for row in rows if row["split"] == "holdout"]
    assert sorted(ids.values())[-6:] == [1, 2, 2, 2, 2, 2]
    assert all(ids[content_id((pool.parent / uri).read_bytes())] == 1 for uri in held)


def test_two_files_do_not_open(pool, rows):
    bad = []
    for row in rows:
        try:
            assert read_image(str(pool.parent / row["uri"])).size == (32, 32)
        except BadImage as error:
            bad.append(str(error))
    assert len(bad) == 2


def test_neither_names_nor_order_nor_times_give_the_class_away(rows):
    numbers = {label: [] for label in (*DIGITS, AMBIGUOUS)}
    for place, row in enumerate(rows):
        numbers[row["label"]].append(place)
    assert all(0.4 < np.mean(places) / len(rows) < 0.6 for places in numbers.values())
    assert len({len(row["uri"]) for row in rows}) == 1


def test_a_seed_writes_the_same_and_another_seed_something_else(pool, tmp_path):
    again, other = write_digits(tmp_path / "again", seed=0), write_digits(tmp_path / "other", seed=1)
    assert again.read_bytes() == pool.read_bytes()
    assert contents(again) == contents(pool)
    assert other.read_bytes() != pool.read_bytes()


def test_writing_over_a_broken_off_run_gives_the_same(pool, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0000.png").write_bytes(b"half")
    assert contents(write_digits(tmp_path, seed=0)) == contents(pool)
