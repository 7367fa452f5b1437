"""The networks of ultralytics as bare torch modules: built from a yaml, started from a user's weights, kept in our files."""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from alloop.errors import ConfigError, ModelCorrupt
from alloop.models.files import check_facts, read_model
from alloop.models.yolo_environment import import_ultralytics
from alloop.nouns import Task

__all__ = ["Design", "Weights", "draw_design", "pack_weights", "read_foreign", "read_network", "read_weights"]

SUFFIX = {Task.DETECT: "", Task.SEGMENT: "-seg", Task.CLASSIFY: "-cls"}
HEADS = {
    Task.DETECT: ("Detect", "v10Detect"),
    Task.SEGMENT: ("Segment", "Segment26"),
    Task.CLASSIFY: ("Classify",),
}
MODELS = {Task.DETECT: "DetectionModel", Task.SEGMENT: "SegmentationModel", Task.CLASSIFY: "ClassificationModel"}
STRIDE = 32
"""The coarsest grid of these networks: image sizes are multiples of it."""
FITTING = 0.5
"""Weights of which less than this share fits are of another network."""


@dataclass(frozen=True)
class Weights:
    """A network's tensors; `born` is the number of classes whose head it was built with.

    The width of a YOLO head depends on the number of classes, so weights that were trained for 80 need a wider one.
    """

    born: int
    state: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Design:
    """All that decides about the shape of a network: its layout is the content of its yaml."""

    task: Task
    labels: tuple[str, ...]
    architecture: str
    image_size: int
    layout: dict[str, Any]
    folder: Path

    @property
    def facts(self) -> dict[str, str | int]:
        """What a model file must say about itself to be one of this design."""
        return {
            "kind": "alloop-yolo-1",
            "task": self.task.value,
            "label_set": json.dumps(self.labels),
            "architecture": self.architecture,
            "image_size": self.image_size,
        }

    def build(self, born: int | None = None) -> nn.Module:
        """A new network for C labels, its random start drawn from torch's global seed; ConfigError when it cannot be.

        `born` builds the head as for that many classes and then gives it C outputs.
        """
        tasks = import_ultralytics("ultralytics.nn.tasks", state=self.folder)
        count = born or len(self.labels)
        try:
            network: Any = getattr(tasks, MODELS[self.task])(deepcopy(self.layout), ch=3, nc=count, verbose=False)
        except Exception as error:  # a yaml of the user's can fail in any way
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(
                f"{self.architecture} cannot be built ({reason}); check model.architecture and its yaml"
            ) from error
        head = network.model[-1]
        if type(head).__name__ not in HEADS[self.task]:
            raise ConfigError(
                f"{self.architecture} ends in {type(head).__name__}, which cannot {self.task.value};"
                f" choose an architecture such as yolov8n{SUFFIX[self.task]}"
            )
        if count != len(self.labels):
            _refit(network, len(self.labels))
        network.names = dict(enumerate(self.labels))
        return network  # type: ignore[no-any-return]


def draw_design(*, task: Task, labels: tuple[str, ...], architecture: str, image_size: int, folder: Path) -> Design:
    """The design of `architecture`: a name of ultralytics', its suffix added where it lacks, or a path to a .yaml."""
    if image_size % STRIDE:
        near = max(STRIDE, round(image_size / STRIDE) * STRIDE)
        raise ConfigError(f"image_size {image_size} is no multiple of {STRIDE}; set model.image_size = {near}")
    tasks = import_ultralytics("ultralytics.nn.tasks", state=folder)
    if architecture.endswith((".yaml", ".yml")):
        name, layout = _own_layout(Path(architecture), tasks)
    else:
        name, layout = _known_layout(architecture, SUFFIX[task], tasks)
    return Design(task, labels, name, image_size, layout, folder)


def read_weights(path: Path, design: Design) -> Weights:
    """The weights in one of our own files; ModelCorrupt when it is not of this design. No code in it is ever run."""
    return read_network(path, design)[0]


def read_network(path: Path, design: Design) -> tuple[Weights, nn.Module]:
    """The weights in one of our own files, and a network that has them: building one is the only way to check them."""
    raw = read_model(path)
    try:
        content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
        facts = {name: content.get(name) for name in design.facts}
        weights = Weights(int(content.get("born") or 0), content.get("state"))
    except Exception as error:  # whatever foreign bytes make torch raise, the remedy is the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelCorrupt(f"{path} is not a YOLO model's file of alloop ({reason}); roll back or retrain") from error
    check_facts(path, found=facts, expected=design.facts)
    try:
        network = design.build(weights.born)
        network.load_state_dict(weights.state)
    except (RuntimeError, TypeError, AttributeError, ConfigError) as error:
        raise ModelCorrupt(f"{path} lacks weights of {design.architecture}; roll back or retrain") from error
    return weights, network


def pack_weights(weights: Weights, design: Design) -> bytes:
    """The bytes of a model file, the same for the same weights."""
    buffer = io.BytesIO()
    torch.save(design.facts | {"born": weights.born, "state": weights.state}, buffer)
    return buffer.getvalue()


def read_foreign(path: Path, design: Design) -> Weights:
    """Where training starts from a user's ultralytics file, such as yolov8n.pt: what fits is taken, classes by name.

    ModelCorrupt for a file that is none, or that would run code; ConfigError for one of another network.
    """
    tasks = import_ultralytics("ultralytics.nn.tasks", state=design.folder)
    if not path.is_file():  # else ultralytics would look for it in the network
        raise ConfigError(f"weights file {path} does not exist; set model.weights to a .pt of ultralytics")
    try:
        if not tasks._SafeLoad.SUPPORTED:
            raise TypeError("this torch cannot load weights safely")
        content, _ = tasks.torch_safe_load(str(path), safe_only=True)
        foreign = (content.get("ema") or content["model"]).float()
        head = foreign.model[-1]
        born = int(head.linear.out_features if hasattr(head, "linear") else head.nc)
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelCorrupt(
            f"weights file {path} is not one of ultralytics' that can be loaded safely ({reason});"
            " set model.weights to a .pt that ultralytics saved"
        ) from error
    network: Any = design.build(born)
    _refuse_others(path, found=foreign.state_dict(), wanted=network.state_dict(), design=design)
    network.load(foreign, verbose=False)
    return Weights(born, network.state_dict())


def _refuse_others(path: Path, *, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], design: Design) -> None:
    fitting = sum(name in wanted and wanted[name].shape == tensor.shape for name, tensor in found.items())
    if fitting < FITTING * len(wanted):
        raise ConfigError(
            f"only {fitting} of the {len(wanted)} tensors of {design.architecture} are in {path};"
            " set model.architecture to the network it was saved from"
        )


def _known_layout(architecture: str, suffix: str, tasks: Any) -> tuple[str, dict[str, Any]]:
    name = architecture if architecture.endswith(suffix) else architecture + suffix
    if not re.fullmatch(r"[a-z0-9-]+", name):  # ultralytics would download a URL
        raise ConfigError(f"unknown YOLO network {architecture!r}; use a name such as yolov8n, or a path to a .yaml")
    try:
        layout: dict[str, Any] = tasks.yaml_model_load(f"{name}.yaml")
    except FileNotFoundError as error:
        raise ConfigError(
            f"ultralytics has no network {name!r}; use a name such as yolov8n{suffix}, or a path to a .yaml"
        ) from error
    return name, layout


def _own_layout(path: Path, tasks: Any) -> tuple[str, dict[str, Any]]:
    """A yaml that names its own `scale` keeps it; the fingerprint of its content becomes part of the name."""
    try:
        layout = tasks.YAML.load(path)
        scale = layout.get("scale") or tasks.guess_model_scale(path)
    except Exception as error:  # the parser's own errors come from a package that alloop does not import
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"architecture {path} cannot be read ({reason}); set model.architecture to a .yaml"
        ) from error
    told = json.dumps(layout, sort_keys=True, default=str).encode()
    name = f"{path.stem}-{hashlib.sha256(told).hexdigest()[:12]}"
    return name, layout | {"scale": scale, "yaml_file": str(path)}


def _refit(network: Any, count: int) -> None:
    """Give the head `count` outputs; its hidden layers stay as wide as they are."""
    head = network.model[-1]
    network.yaml["nc"] = count
    if hasattr(head, "linear"):
        head.linear = nn.Linear(head.linear.in_features, count)
        return
    for name in ("cv3", "one2one_cv3"):
        for branch in getattr(head, name, None) or ():
            branch[-1] = nn.Conv2d(branch[-1].in_channels, count, 1)
    head.nc, head.no = count, count + 4 * head.reg_max
    head.bias_init()
