"""YOLO's detectors, segmenters and classifiers, really trained by ultralytics, as the contracts of models want them."""

import pytest

from alloop.models.yolo import YoloClassifier, YoloModel
from alloop.nouns import Task
from alloop.testing.detection_contract import DetectionContract
from alloop.testing.model_contract import ModelContract
from tests.models.yolo_tiny import OPTIONS, tiny


class SameBytes:
    """What these models promise beyond the contracts."""

    def test_the_same_seed_gives_the_same_file(self, fit, again):
        assert again.read_bytes() == fit.file.read_bytes()


@pytest.mark.xdist_group("yolo-detector")
class TestDetector(SameBytes, DetectionContract):
    @classmethod
    def make_model(cls, home, labels):
        return YoloModel(labels=labels, architecture=tiny(home), steps=100, state=home / "state", **OPTIONS)

    @classmethod
    def make_hasty(cls, home, labels):
        return YoloModel(labels=labels, architecture=tiny(home), steps=3, state=home / "state", **OPTIONS)


@pytest.mark.xdist_group("yolo-segmenter")
class TestSegmenter(SameBytes, DetectionContract):
    task = Task.SEGMENT

    @classmethod
    def make_model(cls, home, labels):
        return cls.build(home, labels, steps=100)

    @classmethod
    def make_hasty(cls, home, labels):
        return cls.build(home, labels, steps=3)

    @classmethod
    def build(cls, home, labels, steps):
        return YoloModel(
            labels=labels, task=cls.task, architecture=tiny(home, "-seg"), steps=steps, state=home / "state", **OPTIONS
        )


@pytest.mark.xdist_group("yolo-classifier")
class TestClassifier(SameBytes, ModelContract):
    def make_model(self, home, labels):
        return self.build(home, labels, steps=50)

    def make_hasty(self, home, labels):
        return self.build(home, labels, steps=3)

    def build(self, home, labels, steps):
        settings = OPTIONS | {"image_size": 32, "steps": steps, "learning_rate": 0.005, "state": home / "state"}
        return YoloClassifier(labels=labels, architecture=tiny(home, "-cls"), **settings)
