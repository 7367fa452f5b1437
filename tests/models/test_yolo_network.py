import os
import pickle

import pytest
import torch

from alloop.errors import ConfigError, ModelCorrupt
from alloop.models.yolo import YoloClassifier, YoloModel, from_config
from alloop.models.yolo_environment import import_ultralytics, own_folder
from alloop.models.yolo_network import Weights, draw_design, pack_weights, read_foreign, read_weights
from alloop.nouns import Task
from alloop.sections import ModelSection, Project
from tests.models.yolo_tiny import OPTIONS, tiny

LABELS = ("red", "green")


def design(architecture="yolov8n", task=Task.DETECT, labels=LABELS, image_size=64):
    return draw_design(task=task, labels=labels, architecture=architecture, image_size=image_size, folder=own_folder())


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.fixture
def foreign(tmp_path):
    """What ultralytics saves: a network trained for 80 classes, the 41st of which is red."""
    tasks = import_ultralytics("ultralytics.nn.tasks", state=own_folder())
    torch.manual_seed(3)
    network = tasks.DetectionModel(tiny(tmp_path), nc=80, verbose=False)
    network.names = {number: "red" if number == 40 else f"class {number}" for number in range(80)}
    file = tmp_path / "foreign.pt"
    torch.save({"model": network, "ema": None, "train_args": {}}, file)
    return file, network.state_dict()


@pytest.mark.parametrize(
    ("task", "name"), [(Task.DETECT, "yolov8n"), (Task.SEGMENT, "yolov8n-seg"), (Task.CLASSIFY, "yolov8n-cls")]
)
def test_the_task_completes_the_name(task, name):
    assert design(task=task).architecture == name
    assert design(name, task=task).architecture == name


@pytest.mark.parametrize("name", ["yolov9000", "https://example.org/yolov8n", "../yolov8n", "yolov8n.pt", ""])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ConfigError, match="yolov8n"):
        design(name)


def test_a_network_for_another_task_is_refused():
    with pytest.raises(ConfigError, match="Segment, which cannot detect"):
        design("yolov8n-seg").build()


def test_an_image_size_off_the_grid_is_refused():
    with pytest.raises(ConfigError, match="image_size = 320"):
        design(image_size=310)


@pytest.mark.parametrize("text", [None, "- a list", "nc: [", "nc: 2\nbackbone: []\nhead: []\n"])
def test_a_yaml_that_describes_no_network_is_refused(tmp_path, text):
    file = tmp_path / "own.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match="own"):
        design(str(file)).build()


def test_a_changed_yaml_is_another_architecture(tmp_path):
    first = design(tiny(tmp_path)).architecture
    (tmp_path / "tiny.yaml").write_text((tmp_path / "tiny.yaml").read_text().replace("0.0625", "0.125"))
    assert design(str(tmp_path / "tiny.yaml")).architecture != first


def test_weights_start_the_body(tmp_path, foreign):
    file, theirs = foreign
    ours = read_foreign(file, design(tiny(tmp_path))).state
    same = [name for name, tensor in theirs.items() if name in ours and torch.equal(ours[name], tensor)]
    assert len(same) > 0.95 * len(theirs)


def test_weights_keep_the_classes_they_know(tmp_path, foreign):
    file, theirs = foreign
    ours = read_foreign(file, design(tiny(tmp_path))).state
    last = "model.22.cv3.0.2.weight"
    assert torch.equal(ours[last][0], theirs[last][40])
    assert ours[last].shape[0] == len(LABELS)


def test_a_head_born_wider_is_read_back(tmp_path, foreign):
    plan = design(tiny(tmp_path))
    weights = read_foreign(foreign[0], plan)
    (tmp_path / "ours.pt").write_bytes(pack_weights(weights, plan))
    again = read_weights(tmp_path / "ours.pt", plan)
    assert again.born == 80
    assert all(torch.equal(again.state[name], tensor) for name, tensor in weights.state.items())


def test_weights_of_another_network_are_refused(tmp_path, foreign):
    with pytest.raises(ConfigError, match=r"of yolov8n are in .*foreign\.pt"):
        read_foreign(foreign[0], design("yolov8n"))


def test_missing_weights_are_not_looked_for_elsewhere(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_foreign(tmp_path / "yolov8n.pt", design())


@pytest.mark.parametrize("raw", [b"", b"not weights", pickle.dumps({"model": 3})], ids=["empty", "text", "number"])
def test_weights_that_are_none_are_refused(tmp_path, raw):
    (tmp_path / "none.pt").write_bytes(raw)
    with pytest.raises(ModelCorrupt, match=r"none\.pt"):
        read_foreign(tmp_path / "none.pt", design())


@pytest.mark.parametrize("save", ["pickle", "torch"])
def test_code_in_weights_is_not_executed(tmp_path, save):
    file, proof = tmp_path / "evil.pt", tmp_path / "proof"
    content = {"model": Malicious(str(proof))}
    if save == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelCorrupt, match=r"evil\.pt"):
        YoloModel(labels=LABELS, architecture=tiny(tmp_path), weights=file, **OPTIONS)
    assert not proof.exists()


@pytest.mark.parametrize("change", [{"image_size": 96}, {"task": Task.SEGMENT}, {"labels": ("red", "blue")}])
def test_a_file_of_another_design_is_refused(tmp_path, change):
    plan = design(tiny(tmp_path))
    (tmp_path / "ours.pt").write_bytes(pack_weights(Weights(2, plan.build().state_dict()), plan))
    suffix = "-seg" if "task" in change else ""
    with pytest.raises(ModelCorrupt, match=next(iter(change)).replace("labels", "label_set")):
        read_weights(tmp_path / "ours.pt", design(tiny(tmp_path, suffix), **change))


@pytest.mark.parametrize(
    ("task", "kind"), [("detect", YoloModel), ("segment", YoloModel), ("classify", YoloClassifier)]
)
def test_a_configuration_makes_the_model_of_its_task(tmp_path, task, kind):
    project = Project(name="p", task=task, labels=LABELS)
    section = ModelSection(kind="yolo", architecture="yolov8n", image_size=64, device="cpu")
    model = from_config(project, section, cache=tmp_path / "state" / "features")
    assert type(model) is kind
    assert (model.task, model.labels) == (Task(task), LABELS)


def test_a_detector_does_not_classify():
    with pytest.raises(ConfigError, match="YoloClassifier"):
        YoloModel(labels=LABELS, task=Task.CLASSIFY)
