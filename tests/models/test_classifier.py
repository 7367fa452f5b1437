import hashlib
import os

import numpy as np
import pytest
import torch
import torchvision

from alloop.errors import ConfigError, ModelCorrupt
from alloop.models.classifier import ClassifierModel, from_config
from alloop.nouns import Task
from alloop.sections import ModelSection, Project
from alloop.testing.model_contract import LABELS, GradientContract, make_labels

QUICK = {"image_size": 16, "steps": 40, "batch_size": 8, "device": "cpu"}
RESNET = QUICK | {"image_size": 32, "steps": 12, "architecture": "torchvision:resnet18"}


class TestSmallClassifier(GradientContract):
    def make_model(self, home, labels):
        return ClassifierModel(labels=labels, **QUICK)


def fit(model, labels, folder, **options):
    return model.fit(labels, out_dir=folder, **({"parent": None, "seed": 1} | options))


def test_one_seed_gives_the_same_bytes_twice(tmp_path):
    labels = make_labels(tmp_path / "images", 9)
    files = [fit(ClassifierModel(labels=LABELS, **QUICK), labels, tmp_path / name) for name in "ab"]
    first, second = (hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    assert first == second


def test_fit_leaves_torch_as_it_was(tmp_path):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(ClassifierModel(labels=LABELS, threads=1, **QUICK), make_labels(tmp_path, 3), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_torchvision_network_learns(tmp_path):
    labels = make_labels(tmp_path / "images", 30)
    model = ClassifierModel(labels=LABELS, **RESNET)
    model.load(fit(model, labels, tmp_path))
    predictions = model.predict([label.sample for label in labels], embeddings=True)
    right = [
        LABELS[best] == label.content.class_name
        for best, label in zip(predictions.probabilities.argmax(1), labels, strict=True)
    ]
    assert np.mean(right) > 0.7
    assert predictions.embeddings.shape == (30, 512)


def test_a_torchvision_network_trains_on_one_image(tmp_path):
    model = ClassifierModel(labels=LABELS, **RESNET | {"steps": 2, "batch_size": 2})
    labels = make_labels(tmp_path, 1)
    first, second = (fit(model, labels, tmp_path / name).read_bytes() for name in "ab")
    assert first == second


def test_one_pass_gives_embeddings_that_explain_the_probabilities(tmp_path):
    labels = make_labels(tmp_path / "images", 9)
    model = ClassifierModel(labels=LABELS, **QUICK)
    file = fit(model, labels, tmp_path)
    model.load(file)
    predictions = model.predict([label.sample for label in labels], embeddings=True)
    state = torch.load(file, weights_only=True)["state"]
    logits = predictions.embeddings @ state["head.weight"].numpy().T + state["head.bias"].numpy()
    rows = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(predictions.probabilities, rows / rows.sum(axis=1, keepdims=True), atol=1e-5)


def test_a_warm_start_begins_at_the_parents_weights(tmp_path):
    labels = make_labels(tmp_path / "images", 9)
    parent = fit(ClassifierModel(labels=LABELS, **QUICK), labels, tmp_path / "parent")
    barely = ClassifierModel(labels=LABELS, **QUICK | {"steps": 1, "learning_rate": 1e-9})
    child = fit(barely, labels, tmp_path / "child", parent=parent, seed=2)
    before, after = (torch.load(file, weights_only=True)["state"]["head.weight"] for file in (parent, child))
    torch.testing.assert_close(before, after)


def test_training_starts_from_local_weights(tmp_path):
    weights = tmp_path / "resnet18.pt"
    torch.save(torchvision.models.resnet18(weights=None, num_classes=5).state_dict(), weights)
    model = ClassifierModel(labels=LABELS, weights=weights, **RESNET | {"steps": 1, "learning_rate": 1e-9})
    file = fit(model, make_labels(tmp_path / "images", 3), tmp_path)
    state, start = (torch.load(path, weights_only=True) for path in (file, weights))
    torch.testing.assert_close(state["state"]["body.layer1.0.conv1.weight"], start["layer1.0.conv1.weight"])


@pytest.mark.parametrize("other", [QUICK | {"image_size": 32}, RESNET], ids=["size", "architecture"])
def test_a_file_of_another_network_is_refused(tmp_path, other):
    file = fit(ClassifierModel(labels=LABELS, **QUICK), make_labels(tmp_path, 3), tmp_path)
    stranger = ClassifierModel(labels=LABELS, **other)
    with pytest.raises(ModelCorrupt, match="expected"):
        stranger.load(file)


def test_a_file_without_its_weights_is_refused(tmp_path):
    model = ClassifierModel(labels=LABELS, **QUICK)
    file = fit(model, make_labels(tmp_path, 3), tmp_path)
    content = torch.load(file, weights_only=True)
    del content["state"]["head.bias"]
    torch.save(content, file)
    with pytest.raises(ModelCorrupt, match="lacks"):
        model.load(file)


def test_a_parent_that_does_not_fit_is_refused(tmp_path):
    labels = make_labels(tmp_path / "images", 3)
    parent = fit(ClassifierModel(labels=LABELS, **QUICK), labels, tmp_path)
    with pytest.raises(ModelCorrupt, match="image_size"):
        fit(ClassifierModel(labels=LABELS, **QUICK | {"image_size": 32}), labels, tmp_path, parent=parent)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
def test_any_number_of_steps_trains(tmp_path, steps):
    told = []
    model = ClassifierModel(labels=LABELS, **QUICK | {"steps": steps})
    fit(model, make_labels(tmp_path, 2), tmp_path, progress=lambda *news: told.append(news))
    assert told[-1] == ("train", steps, steps)


@pytest.mark.parametrize("size", [8, 16, 31, 64, 96, 200])
def test_the_small_network_takes_any_size(tmp_path, size):
    sample = make_labels(tmp_path, 1)[0].sample
    model = ClassifierModel(labels=LABELS, image_size=size, device="cpu")
    assert model.predict([sample], embeddings=True).embeddings.shape == (1, 128)


def test_training_that_diverges_says_so(tmp_path):
    model = ClassifierModel(labels=LABELS, **QUICK | {"learning_rate": 1e30})
    with pytest.raises(ConfigError, match="learning_rate"):
        fit(model, make_labels(tmp_path, 3), tmp_path)


def test_a_wrong_architecture_is_one_sentence():
    with pytest.raises(ConfigError, match="smal"):
        ClassifierModel(labels=LABELS, architecture="smal")


def test_it_is_made_from_the_config():
    project = Project(name="p", labels=LABELS)
    model = from_config(project, ModelSection(image_size=16), cache=None)
    assert (model.labels, model.task) == (LABELS, Task.CLASSIFY)


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


def test_code_in_a_torch_file_is_never_run(tmp_path):
    torch.save({"kind": "alloop-classifier-1", "state": Malicious(str(tmp_path / "harm"))}, tmp_path / "model.pt")
    with pytest.raises(ModelCorrupt):
        ClassifierModel(labels=LABELS, **QUICK).load(tmp_path / "model.pt")
    assert not (tmp_path / "harm").exists()
