"""What every model promises about its files, as tests: they are its own, whole, and never run code."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from alloop.errors import ModelCorrupt
from alloop.models.base import Model
from alloop.nouns import Sample
from alloop.testing.made_labels import LABELS

__all__ = ["ModelFileContract"]


class ModelFileContract:
    """Part of `ModelContract` and `DetectionContract`, which give the fixtures `model`, `samples` and `trained`."""

    def make_model(self, home: Path, labels: tuple[str, ...]) -> Model:
        """An untrained model for `labels`."""
        raise NotImplementedError

    def test_a_file_of_another_label_set_is_refused(self, trained: Path, tmp_path: Path) -> None:
        """The same classes in another order are another label set."""
        with pytest.raises(ModelCorrupt):
            self.make_model(tmp_path, LABELS[::-1]).load(trained)

    @pytest.mark.parametrize("raw", [b"", b"not a model", b"PK\x03\x04 nor is this"], ids=["empty", "text", "zip"])
    def test_a_foreign_file_is_refused(self, model: Model, tmp_path: Path, raw: bytes) -> None:
        """And named."""
        file = tmp_path / "foreign.bin"
        file.write_bytes(raw)
        with pytest.raises(ModelCorrupt, match=r"foreign\.bin"):
            model.load(file)

    def test_a_missing_file_is_refused(self, model: Model, tmp_path: Path) -> None:
        """And named."""
        with pytest.raises(ModelCorrupt, match=r"nothing\.bin"):
            model.load(tmp_path / "nothing.bin")

    def test_half_a_file_is_refused(self, model: Model, samples: list[Sample], trained: Path, tmp_path: Path) -> None:
        """And the model goes on as it was."""
        before = model.predict(samples).probabilities
        half = tmp_path / "half.bin"
        half.write_bytes(trained.read_bytes()[: trained.stat().st_size // 2])
        with pytest.raises(ModelCorrupt):
            model.load(half)
        np.testing.assert_array_equal(model.predict(samples).probabilities, before)

    def test_code_in_a_file_is_never_run(self, model: Model, tmp_path: Path) -> None:
        """A pickle that would make a folder is refused, and no folder is made."""
        file = tmp_path / "malicious.bin"
        file.write_bytes(pickle.dumps(_Malicious(str(tmp_path / "harm"))))
        with pytest.raises(ModelCorrupt):
            model.load(file)
        assert not (tmp_path / "harm").exists()


class _Malicious:
    def __init__(self, target: str) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self._target,)
