"""Networks from torchvision and timm without their last layer, with weights from a local file or at random.

Nothing here reaches the network: timm's names that point to a hub are refused.
"""

import hashlib
import importlib
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from alloop.errors import ConfigError, MissingExtra

__all__ = ["build_backbone", "file_sha256", "probe"]

AUXILIARY = ("googlenet", "inception_v3")
"""These answer with three outputs while they are trained."""


def build_backbone(name: str, *, weights: Path | None) -> nn.Module:
    """The network `torchvision:NAME` or `timm:NAME` that ends in features, (B, 3, S, S) float32 to (B, D).

    `weights` is a state_dict of the whole network, of any number of classes; None keeps torch's random start.
    ConfigError for an unknown name, a missing file or keys that do not fit; MissingExtra without the package.
    """
    library, _, architecture = name.partition(":")
    builders = {"torchvision": _from_torchvision, "timm": _from_timm}
    if library not in builders or not architecture:
        raise ConfigError(
            f"unknown network {name!r}; write torchvision:NAME or timm:NAME, such as torchvision:resnet18"
        )
    network, last = builders[library](architecture)
    if weights is not None:
        _load_weights(network, last, weights=weights, name=name)
    return network


def probe(network: nn.Module, *, image_size: int, name: str) -> int:
    """The number of features D, found by one small forward pass; ConfigError when the network cannot take this size."""
    training = network.training
    try:
        with torch.inference_mode():
            features = network.eval()(torch.zeros(2, 3, image_size, image_size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{name} cannot take images of {image_size} px ({reason}); change image_size") from error
    finally:
        network.train(training)
    if features.ndim != 2:
        raise ConfigError(f"{name} gives features of shape {tuple(features.shape)}, not (B, D); choose another network")
    return int(features.shape[1])


def file_sha256(path: Path) -> str:
    """The sha256 of a weights file; ConfigError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"weights file {path} cannot be read ({error}); set model.weights to a state_dict") from error


def _import(library: str, *, extra: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise MissingExtra(f"{library} is not installed; run: pip install 'alloop[{extra}]'") from error


def _from_torchvision(architecture: str) -> tuple[nn.Module, tuple[str, ...]]:
    models = _import("torchvision", extra="yolo").models
    if architecture not in models.list_models(module=models, exclude=AUXILIARY):
        raise ConfigError(
            f"torchvision has no classification network {architecture!r} with one output;"
            " see torchvision.models.list_models"
        )
    network: nn.Module = models.get_model(architecture, weights=None)
    linear = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError(
            f"torchvision:{architecture} does not end in a linear layer; choose another, such as resnet18"
        )
    network.set_submodule(linear[-1], nn.Identity())
    return network, (linear[-1],)


def _from_timm(architecture: str) -> tuple[nn.Module, tuple[str, ...]]:
    timm = _import("timm", extra="timm")
    if not timm.is_model(architecture):
        raise ConfigError(f"timm has no network {architecture!r}; see timm.list_models")
    network = timm.create_model(architecture, pretrained=False, num_classes=0)
    last = network.pretrained_cfg["classifier"]
    return network, (last,) if isinstance(last, str) else tuple(last)


def _load_weights(network: nn.Module, last: tuple[str, ...], *, weights: Path, name: str) -> None:
    file_sha256(weights)
    heads = tuple(f"{layer}." for layer in last)
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict({key: value for key, value in state.items() if not key.startswith(heads)})
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"weights file {weights} is not a state_dict of {name} ({reason});"
            " save one with torch.save(network.state_dict(), path)"
        ) from error
