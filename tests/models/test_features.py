import signal
import subprocess
import sys

import numpy as np
import pytest

from alloop.errors import ConfigError
from alloop.models.features import CachedEmbedder, FeatureCache
from alloop.nouns import Sample

ENDLESS = """
import sys, numpy as np
from pathlib import Path
from alloop.models.features import FeatureCache
cache = FeatureCache(Path(sys.argv[1]), fingerprint="f", dimension=3)
for start in range(0, 10**9, 100):
    cache.write([str(n) for n in range(start, start + 100)], np.repeat(np.arange(start, start + 100.0), 3).reshape(-1, 3))
    print(start, flush=True)
"""


class CountingEmbedder:
    """Embeds sample "7" as (7, 7, 7) and remembers whom it was asked for."""

    dimension = 3
    fingerprint = "counting"

    def __init__(self):
        self.asked = []

    def embed(self, samples):
        for start in range(0, len(samples), 300):
            ids = [sample.id for sample in samples[start : start + 300]]
            self.asked += ids
            yield np.repeat(np.array(ids, dtype=np.float32), 3).reshape(-1, 3)


def samples(*ids):
    return [Sample(str(name), "") for name in ids]


def test_only_new_samples_are_computed(tmp_path):
    embedder = CountingEmbedder()
    cached = CachedEmbedder(embedder, tmp_path)
    list(cached.embed(samples(1, 2)))
    rows = np.concatenate(list(cached.embed(samples(3, 1, 2, 4))))
    assert embedder.asked == ["1", "2", "3", "4"]
    assert rows[:, 0].tolist() == [3, 1, 2, 4]


def test_order_is_kept_over_many_blocks(tmp_path):
    cached = CachedEmbedder(CountingEmbedder(), tmp_path)
    rows = np.concatenate(list(cached.embed(samples(*range(1100)))))
    assert rows[:, 0].tolist() == list(range(1100))


def test_embedders_never_mix(tmp_path):
    FeatureCache(tmp_path, fingerprint="a", dimension=1).write(["x"], np.ones((1, 1)))
    assert FeatureCache(tmp_path, fingerprint="b", dimension=1).read(["x"]) == {}


def test_what_was_written_survives_kill_9(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    last = [int(child.stdout.readline()) for _ in range(5)][-1]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    cache = FeatureCache(tmp_path, fingerprint="f", dimension=3)
    known = cache.read([str(n) for n in range(last + 100)])
    assert len(known) == last + 100
    assert all((vector == float(name)).all() for name, vector in known.items())
    cache.write(["new"], np.zeros((1, 3)))
    assert "new" in cache.read(["new"])


def test_a_broken_file_says_what_to_do(tmp_path):
    FeatureCache(tmp_path, fingerprint="f", dimension=3)
    next(tmp_path.iterdir()).write_bytes(b"not a database, " * 100)
    with pytest.raises(ConfigError, match="delete that file"):
        FeatureCache(tmp_path, fingerprint="f", dimension=3)
