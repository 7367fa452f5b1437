import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alloop.models.heads import fit_head, pack_head, unpack_head

EYE = np.eye(4, dtype=np.float32)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.integers(0, 1000))
def test_rows_sum_to_one_whatever_was_labelled(classes, seed):
    embeddings = np.random.default_rng(seed).normal(size=(len(classes), 6)).astype(np.float32)
    rows = fit_head(embeddings, np.array(classes), count=5).probabilities(embeddings)
    assert rows.shape == (len(classes), 5)
    assert (rows > 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_a_class_without_labels_gets_one_in_n_plus_c():
    rows = fit_head(EYE, np.array([0, 2, 0, 2]), count=4).probabilities(EYE)
    np.testing.assert_allclose(rows[:, [1, 3]], 1 / 8)


def test_one_class_takes_what_the_others_leave():
    rows = fit_head(EYE[:2], np.array([1, 1]), count=3).probabilities(EYE)
    np.testing.assert_allclose(rows, np.tile([0.2, 0.6, 0.2], (4, 1)), atol=1e-6)


@pytest.mark.parametrize("classes", [[0, 1, 0, 1], [2, 0, 2, 0], [0, 1, 2, 0]], ids=["two", "two apart", "three"])
def test_each_training_row_gets_its_class(classes):
    rows = fit_head(EYE, np.array(classes), count=3).probabilities(EYE)
    assert rows.argmax(axis=1).tolist() == classes


def test_a_packed_head_comes_back():
    head = fit_head(EYE, np.array([0, 1, 2, 0]), count=5)
    again, facts = unpack_head(pack_head(head, kind="test", label_set='["é"]'))
    assert facts == {"kind": "test", "label_set": '["é"]'}
    np.testing.assert_array_equal(again.probabilities(EYE), head.probabilities(EYE))
