import numpy as np
import pytest
import torch
from torch.nn import functional

from alloop.models import steepness
from alloop.models.architectures import build_classifier
from alloop.models.devices import seeded
from alloop.models.frozen import FrozenModel
from alloop.models.steepness import expected_gradient_length
from alloop.testing.model_contract import LABELS, make_labels

CPU = torch.device("cpu")


def network(architecture="small", *, classes=3, image_size=16):
    with seeded(0, CPU):
        return build_classifier(architecture, classes=classes, image_size=image_size).eval()


def images(count, *, image_size=16):
    return torch.randn(count, 3, image_size, image_size, generator=torch.Generator().manual_seed(1))


def lengths_of(model, batch):
    return torch.tensor([expected_gradient_length(model, image) for image in batch])


def one_by_one(model, batch):
    """The same by the book: a new pass for each class, every class counted, every number squared."""
    lengths = []
    for image in batch:
        shares = model(image[None])[0].softmax(dim=1)[0].detach()
        squares = []
        for number in range(len(shares)):
            loss = functional.cross_entropy(model(image[None])[0], torch.tensor([number]))
            parts = torch.autograd.grad(loss, list(model.parameters()))
            squares.append(sum(part.square().sum() for part in parts))
        lengths.append((shares * torch.stack(squares).sqrt()).sum())
    return torch.stack(lengths)


@pytest.mark.parametrize("architecture", ["small", "torchvision:resnet18", "timm:vit_tiny_patch16_224"])
def test_lengths_are_those_by_the_book(architecture):
    size = 224 if "vit" in architecture else 32
    model, batch = network(architecture, image_size=size), images(2, image_size=size)
    torch.testing.assert_close(lengths_of(model, batch), one_by_one(model, batch), rtol=2e-3, atol=1e-4)


def test_a_linear_layer_by_hand():
    """Features (3, 4), p = (0.5, 0.5): the residual is (0.5, 0.5) either way, its gradient 0.707 x |(3, 4, 1)|."""
    model = network(classes=2)
    model.body = torch.nn.Flatten()
    model.head = torch.nn.Linear(2, 2)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    lengths = lengths_of(model, torch.tensor([[[[3.0, 4.0]]]]))
    assert lengths.tolist() == pytest.approx([0.5**0.5 * 26**0.5])


def test_unlikely_classes_are_left_out(monkeypatch):
    model = network()
    with torch.no_grad():
        model.head.bias += torch.tensor([100.0, 0.0, 0.0])
    full = lengths_of(model, images(2))
    monkeypatch.setattr(steepness, "LEFT_OUT", 0.0)
    torch.testing.assert_close(lengths_of(model, images(2)), full, rtol=0, atol=1e-6)


def test_nothing_is_left_behind():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lengths_of(model, images(3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_frozen_model_without_a_head_is_equally_steep_everywhere(tmp_path):
    samples = [label.sample for label in make_labels(tmp_path, 4)]
    assert FrozenModel(labels=LABELS).gradients(samples) == pytest.approx(np.full(4, (2 / 3) ** 0.5), abs=1e-5)
