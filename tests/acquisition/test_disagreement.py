import numpy as np
import pytest

from alloop.acquisition.disagreement import jensen_shannon, vote_entropy

# Two models and three samples: sure and of one mind, unsure and of one mind, sure of different classes.
COMMITTEE = np.array([[[1, 0], [0.5, 0.5], [1, 0]], [[1, 0], [0.5, 0.5], [0, 1]]], dtype=np.float32)


def test_jensen_shannon_is_zero_where_models_agree_and_log_2_where_they_do_not() -> None:
    assert jensen_shannon(COMMITTEE) == pytest.approx([0, 0, np.log(2)], abs=1e-6)


def test_vote_entropy_counts_top_classes() -> None:
    assert vote_entropy(COMMITTEE) == pytest.approx([0, 0, np.log(2)], abs=1e-6)


@pytest.mark.parametrize("score", [jensen_shannon, vote_entropy])
def test_a_committee_of_one_never_disagrees(score) -> None:
    scores = score(COMMITTEE[:1])
    assert scores.dtype == np.float32
    assert scores.tolist() == [0, 0, 0]
