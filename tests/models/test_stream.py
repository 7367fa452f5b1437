import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alloop.models.stream import stream
from alloop.nouns import Sample

SAMPLES = [Sample(str(number), "") for number in range(100)]


@given(st.integers(0, 100), st.integers(1, 40), st.integers(1, 4))
def test_all_results_come_in_order(count, batch, threads):
    batches = list(stream(SAMPLES[:count], lambda sample: int(sample.id), batch=batch, threads=threads))
    assert [result for results in batches for result in results] == list(range(count))
    assert all(len(results) == batch for results in batches[:-1])


def test_it_never_runs_far_ahead():
    begun = []
    batches = stream(SAMPLES, lambda sample: begun.append(sample.id), batch=5, threads=2)
    next(batches)
    time.sleep(0.05)
    assert len(begun) <= 15
    batches.close()


def test_an_error_ends_it_and_its_threads():
    def fail(sample):
        raise ValueError(sample.id)

    with pytest.raises(ValueError, match="0"):
        list(stream(SAMPLES, fail, batch=5))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("alloop-images")]
