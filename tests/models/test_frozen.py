import sys

import numpy as np
import pytest
import timm
import torch
import torchvision

from alloop.errors import ConfigError, MissingExtra, ModelCorrupt
from alloop.models.frozen import FrozenModel, from_config
from alloop.nouns import Task
from alloop.sections import ModelSection, Project
from alloop.testing.model_contract import LABELS, GradientContract, make_labels


def save_weights(network, folder):
    """A state_dict of a torchvision network with random weights and 5 classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(
            torchvision.models.get_model(network, weights=None, num_classes=5).state_dict(), folder / "weights.pt"
        )
    return folder / "weights.pt"


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return save_weights("resnet18", tmp_path_factory.mktemp("resnet18"))


@pytest.fixture(scope="module")
def shufflenet(tmp_path_factory):
    return save_weights("shufflenet_v2_x0_5", tmp_path_factory.mktemp("shufflenet"))


class TestFrozenModel(GradientContract):
    seeded = False

    def make_model(self, home, labels):
        return FrozenModel(labels=labels)


class TestFrozenModelWithCache(GradientContract):
    seeded = False

    def make_model(self, home, labels):
        return FrozenModel(labels=labels, cache=home / "features")


class TestFrozenBackbone(GradientContract):
    seeded = False

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def weights(cls, shufflenet):
        cls.file = shufflenet

    def make_model(self, home, labels):
        return FrozenModel(
            labels=labels, backbone="torchvision:shufflenet_v2_x0_5", weights=self.file, image_size=32, device="cpu"
        )


def test_embeddings_have_length_one_from_any_embedder(tmp_path, resnet):
    samples = [label.sample for label in make_labels(tmp_path, 4)]
    for options in ({}, {"backbone": "timm:resnet18", "weights": resnet, "image_size": 32}):
        embeddings = FrozenModel(labels=LABELS, **options).predict(samples, embeddings=True).embeddings
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_timm_and_torchvision_agree_on_the_same_weights(tmp_path, resnet):
    samples = [label.sample for label in make_labels(tmp_path, 4)]
    ours, theirs = (
        FrozenModel(labels=LABELS, backbone=name, weights=resnet, image_size=32).predict(samples, embeddings=True)
        for name in ("torchvision:resnet18", "timm:resnet18")
    )
    np.testing.assert_allclose(ours.embeddings, theirs.embeddings, atol=1e-4)


def test_before_a_head_is_loaded_all_classes_are_equally_likely(tmp_path):
    predictions = FrozenModel(labels=LABELS).predict([make_labels(tmp_path, 1)[0].sample])
    np.testing.assert_allclose(predictions.probabilities, 1 / 3)


def test_the_same_labels_give_the_same_bytes(tmp_path):
    model, labels = FrozenModel(labels=LABELS), make_labels(tmp_path, 9)
    files = [model.fit(labels, parent=None, out_dir=tmp_path / name, seed=1) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_head_of_another_embedder_is_refused(tmp_path, resnet):
    file = FrozenModel(labels=LABELS).fit(make_labels(tmp_path, 9), parent=None, out_dir=tmp_path, seed=1)
    other = FrozenModel(labels=LABELS, backbone="torchvision:resnet18", weights=resnet, image_size=32)
    with pytest.raises(ModelCorrupt, match="hog"):
        other.load(file)


def test_scoring_again_reads_no_image(tmp_path):
    samples = [label.sample for label in make_labels(tmp_path / "images", 5)]
    model = FrozenModel(labels=LABELS, cache=tmp_path / "cache")
    before = model.predict(samples, embeddings=True)
    for sample in samples:
        (tmp_path / "images" / f"{sample.id.removeprefix('sample-')}.png").unlink()
    np.testing.assert_array_equal(model.predict(samples, embeddings=True).embeddings, before.embeddings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": Task.DETECT}, "detect"),
        ({"backbone": "torchvision:resnet18"}, "model.weights"),
        ({"backbone": "torchvision:resnet18", "weights": "nowhere.pt"}, "nowhere.pt"),
        ({"backbone": "torchvision:resnet17", "weights": "RESNET"}, "resnet17"),
        ({"backbone": "torchvision:googlenet", "weights": "RESNET"}, "googlenet"),
        ({"backbone": "torchvision:squeezenet1_0", "weights": "RESNET"}, "linear"),
        ({"backbone": "timm:hf-hub:someone/something", "weights": "RESNET"}, "hf-hub"),
        ({"backbone": "resnet18", "weights": "RESNET"}, "torchvision:resnet18"),
        ({"backbone": "torchvision:resnet34", "weights": "RESNET"}, "resnet34"),
        ({"backbone": "timm:vit_tiny_patch16_224", "weights": "VIT"}, "image_size"),
        ({"backbone": "torchvision:resnet18", "weights": "RESNET", "device": "warp"}, "warp"),
    ],
)
def test_a_wrong_setting_is_one_sentence(options, said, tmp_path, resnet):
    if options.get("weights") == "VIT":
        torch.save(timm.create_model("vit_tiny_patch16_224").state_dict(), tmp_path / "vit.pt")
        options = options | {"weights": tmp_path / "vit.pt"}
    elif "weights" in options:
        options = options | {"weights": resnet if options["weights"] == "RESNET" else tmp_path / options["weights"]}
    with pytest.raises(ConfigError, match=said) as caught:
        FrozenModel(labels=LABELS, **options)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_state_dict_are_refused(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=r"weights\.pt"):
        FrozenModel(labels=LABELS, backbone="torchvision:resnet18", weights=tmp_path / "weights.pt")


def test_a_missing_package_says_how_to_install_it(monkeypatch, resnet):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"pip install 'alloop\[timm\]'"):
        FrozenModel(labels=LABELS, backbone="timm:resnet18", weights=resnet)


def test_the_embedder_leaves_torchs_generator_alone(resnet):
    before = torch.get_rng_state()
    FrozenModel(labels=LABELS, backbone="torchvision:resnet18", weights=resnet, image_size=32)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_made_from_the_config(tmp_path):
    project = Project(name="p", labels=LABELS)
    model = from_config(project, ModelSection(kind="frozen"), cache=tmp_path / "cache")
    assert (model.labels, model.task) == (LABELS, Task.CLASSIFY)
    assert (tmp_path / "cache").is_dir()


def test_objects_in_an_npz_are_never_read(tmp_path):
    np.savez(tmp_path / "model.npz", weights=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(ModelCorrupt, match="not a frozen model's file"):
        FrozenModel(labels=LABELS).load(tmp_path / "model.npz")
