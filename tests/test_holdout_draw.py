"""Drawing the holdout, and its hash."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alloop.errors import PoolExhausted
from alloop.holdout import draw_holdout, holdout_hash
from alloop.nouns import Box, Content, Sample, TrainingLabel


def sample(number: int, *, group: str | None = None, truth: str | None = None) -> Sample:
    content = Content(class_name=truth) if truth is not None else None
    return Sample(id=f"{number:04}", uri=f"/{number}.png", group=group, truth=content)


def draw(samples: list[Sample], size: int, seed: int = 0) -> frozenset[str]:
    return draw_holdout(samples, size, np.random.default_rng(seed))


@st.composite
def pools(draw: st.DrawFn) -> list[Sample]:
    """A pool of up to 60 samples, some in groups, some labelled."""
    groups = st.one_of(st.none(), st.sampled_from("abcdefgh"))
    truths = st.one_of(st.none(), st.sampled_from(["cat", "dog", "emu"]))
    rows = draw(st.lists(st.tuples(groups, truths), min_size=2, max_size=60))
    return [sample(number, group=group, truth=truth) for number, (group, truth) in enumerate(rows)]


def sizes(samples: list[Sample]) -> list[int]:
    """How many samples each group has."""
    return list(Counter(one.group or one.id for one in samples).values())


@given(pools(), st.integers(1, 30), st.integers(0, 9))
def test_no_group_straddles(samples: list[Sample], size: int, seed: int) -> None:
    assume(size < len(samples) and min(sizes(samples)) <= size)
    ids = draw(samples, size, seed)
    inside = {one.group for one in samples if one.id in ids and one.group}
    outside = {one.group for one in samples if one.id not in ids and one.group}
    assert not inside & outside


@given(pools(), st.integers(1, 30), st.integers(0, 9), st.randoms())
def test_order_does_not_matter(samples: list[Sample], size: int, seed: int, random: object) -> None:
    assume(size < len(samples) and min(sizes(samples)) <= size)
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw(samples, size, seed) == draw(shuffled, size, seed)


@given(pools(), st.integers(1, 30), st.integers(0, 9))
def test_it_is_never_more_than_a_tenth_too_large(samples: list[Sample], size: int, seed: int) -> None:
    assume(size < len(samples) and min(sizes(samples)) <= size)
    ids = draw(samples, size, seed)
    assert 0 < len(ids) <= min(1.1 * size, len(samples) - 1)


@given(pools(), st.integers(1, 30), st.integers(0, 9))
def test_no_group_that_still_fits_is_left(samples: list[Sample], size: int, seed: int) -> None:
    assume(size < len(samples) and min(sizes(samples)) <= size)
    ids = draw(samples, size, seed)
    left = sizes([one for one in samples if one.id not in ids])
    limit = min(int(1.1 * size), len(samples) - 1)
    assert len(ids) >= size or all(len(ids) + more > limit for more in left)


def test_without_groups_it_has_exactly_the_size() -> None:
    assert len(draw([sample(number) for number in range(100)], 30)) == 30


def test_seeds_differ() -> None:
    samples = [sample(number) for number in range(100)]
    assert draw(samples, 30, seed=0) != draw(samples, 30, seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_classes_keep_their_proportion(seed: int) -> None:
    samples = [sample(number, truth="rare" if number % 10 == 0 else "common") for number in range(1000)]
    ids = draw(samples, 100, seed)
    assert Counter(one.truth.class_name for one in samples if one.truth and one.id in ids) == {"common": 90, "rare": 10}


def test_each_sample_has_the_same_chance() -> None:
    samples = [sample(number, truth="cat" if number < 4 else "dog") for number in range(12)]
    drawn = Counter(id_ for seed in range(3000) for id_ in draw(samples, 3, seed))
    assert min(drawn.values()) > 650
    assert max(drawn.values()) < 850


def test_a_group_too_large_is_skipped() -> None:
    clip = [sample(number, group="clip") for number in range(50)]
    single = [sample(number) for number in range(50, 70)]
    assert draw([*clip, *single], 10) <= {one.id for one in single}


def test_a_detected_class_counts() -> None:
    def boxed(number: int, name: str) -> Sample:
        return replace(sample(number), truth=Content(boxes=(Box(name, 0, 0, 1, 1),)))

    samples = [boxed(number, "car" if number < 10 else "van") for number in range(100)]
    assert sum(int(id_) < 10 for id_ in draw(samples, 20)) == 2


def test_a_pool_too_small() -> None:
    with pytest.raises(PoolExhausted) as caught:
        draw([sample(0), sample(1)], 2)
    assert str(caught.value) == (
        "a holdout of 2 needs a pool of more than 2 samples, and it has 2; add images or lower loop.holdout"
    )


def test_groups_that_are_all_too_large() -> None:
    samples = [sample(number, group="ab"[number % 2]) for number in range(20)]
    with pytest.raises(PoolExhausted) as caught:
        draw(samples, 5)
    assert str(caught.value) == (
        "a holdout of 5 cannot be drawn: the smallest group has 10 samples; raise loop.holdout to 10 or add smaller groups"
    )


LABELS = [TrainingLabel(sample(number), Content(class_name="cat")) for number in range(3)]
BOXES = (Box("car", 0, 0, 1, 1), Box("van", 0, 0, 2, 2, ((0, 0), (1, 2))))


def test_the_hash_does_not_depend_on_order() -> None:
    assert holdout_hash(LABELS) == holdout_hash(reversed(LABELS))


def test_the_hash_does_not_depend_on_the_order_of_boxes() -> None:
    assert holdout_hash([TrainingLabel(sample(0), Content(boxes=BOXES))]) == holdout_hash(
        [TrainingLabel(sample(0), Content(boxes=BOXES[::-1]))]
    )


@pytest.mark.parametrize(
    "other",
    [
        LABELS[:2],
        [*LABELS[:2], TrainingLabel(sample(7), Content(class_name="cat"))],
        [*LABELS[:2], replace(LABELS[2], content=Content(class_name="dog"))],
        [*LABELS[:2], replace(LABELS[2], content=Content(boxes=BOXES))],
    ],
    ids=["one less", "another sample", "another class", "boxes"],
)
def test_the_hash_changes_with_what_is_in_it(other: list[TrainingLabel]) -> None:
    assert holdout_hash(other) != holdout_hash(LABELS)
