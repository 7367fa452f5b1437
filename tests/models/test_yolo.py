import pytest

from alloop.models.yolo import YoloClassifier, YoloModel
from alloop.nouns import Task
from alloop.testing.detection_contract import DetectionContract
from alloop.testing.model_contract import LABELS, ModelContract, make_labels
from tests.models.yolo_tiny import OPTIONS, tiny


@pytest.mark.xdist_group("yolo-detector")
class TestDetector(DetectionContract):
    @classmethod
    def make_model(cls, home, labels):
        return YoloModel(labels=labels, architecture=tiny(home), steps=150, state=home / "state", **OPTIONS)

    @classmethod
    def make_hasty(cls, home, labels):
        return YoloModel(labels=labels, architecture=tiny(home), steps=3, state=home / "state", **OPTIONS)


@pytest.mark.xdist_group("yolo-segmenter")
class TestSegmenter(DetectionContract):
    task = Task.SEGMENT

    @classmethod
    def make_model(cls, home, labels):
        return cls.build(home, labels, steps=150)

    @classmethod
    def make_hasty(cls, home, labels):
        return cls.build(home, labels, steps=3)

    @classmethod
    def build(cls, home, labels, steps):
        return YoloModel(
            labels=labels, task=cls.task, architecture=tiny(home, "-seg"), steps=steps, state=home / "state", **OPTIONS
        )


def classifier(home, labels, **options):
    settings = OPTIONS | {"image_size": 32, "steps": 40, "state": home / "state"} | options
    return YoloClassifier(labels=labels, architecture=tiny(home, "-cls"), **settings)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    home = tmp_path_factory.mktemp("classifier")
    model = classifier(home, LABELS)
    return model.fit(make_labels(home / "images", 30), parent=None, out_dir=home / "trained", seed=1)


@pytest.mark.xdist_group("yolo-classifier")
class TestClassifier(ModelContract):
    def make_model(self, home, labels):
        return classifier(home, labels)

    @pytest.fixture
    def trained(self, trained_once):
        return trained_once
