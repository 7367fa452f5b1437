"""Everything that a project's configuration names, opened: the only place where the loop gets its adapters from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from alloop.acquisition.contract import Strategy
from alloop.acquisition.options import Options, with_options
from alloop.acquisition.strategies import find_strategy
from alloop.adapters import anchored, check, make_mask_model, make_model, make_tool, options_of
from alloop.annotation.base import AnnotationTool
from alloop.clock import Clock, VirtualClock, WallClock
from alloop.config import Config, load_config
from alloop.ledger import Ledger, open_ledger
from alloop.ledger.samples import Refused, SampleFile
from alloop.models.base import MaskModel, Model
from alloop.nouns import ModelVersion, Progress, Task, no_progress
from alloop.pool import AddReport, Cause, Fingerprint, Found, SetAside
from alloop.registry import Registry
from alloop.sla import Limits
from alloop.switching import Rules

__all__ = ["FIRST", "PoolStore", "Workspace", "open_workspace"]

FIRST = "clustered-start"
"""What chooses the first batch, when there is no model yet."""
EMBEDDED = 64
"""Pixels a side for embedding before anything is trained, where a model wants far more to see with."""
VIRTUAL_START = datetime(2026, 1, 5, 8, tzinfo=UTC)
"""Where a virtual clock begins: a Monday morning, the same in every run."""


@dataclass(frozen=True)
class Workspace:
    """One project, ready to work."""

    config: Config
    ledger: Ledger
    registry: Registry
    tool: AnnotationTool
    clock: Clock
    progress: Progress = no_progress
    _loaded: dict[str, Model] = field(default_factory=dict, repr=False)
    _opened: dict[str, MaskModel] = field(default_factory=dict, repr=False)

    @property
    def is_simulated(self) -> bool:
        """Whether the annotators are made of random numbers, and the pool's labels hidden from the loop."""
        return self.config.annotation.tool == "simulated"

    @property
    def manifest_labels(self) -> tuple[str, ...]:
        """The labels a manifest may use: the label set, and what hides behind an image that nobody can tell."""
        labels = self.config.project.labels
        return (*labels, self.config.annotation.simulated.ambiguous) if self.is_simulated else labels

    def telling(self, progress: Progress) -> "Workspace":
        """The same workspace, telling its progress elsewhere."""
        return replace(self, progress=progress)

    def progress_of(self, cycle: int) -> Progress:
        """Progress that names the cycle."""
        return lambda what, done, total: self.progress(f"cycle {cycle}: {what}", done, total)

    @property
    def rules(self) -> Rules:
        """When strategies have to go, and when the loop ends."""
        switching, budget = self.config.switching, self.config.budget
        return Rules(
            ladder=self.config.loop.ladder,
            rule=switching.rule,
            threshold_points=switching.threshold_points,
            unclear_bound=switching.unclear_bound,
            judged_share=switching.judged_share,
            on_exhausted=switching.on_exhausted,
            label_budget=budget.labels,
            hour_budget=budget.annotator_hours,
        )

    @property
    def limits(self) -> Limits:
        """What was promised about time."""
        return Limits(self.config.sla.cycle_hours, self.config.sla.stage_hours)

    @property
    def options(self) -> Options:
        """What `[acquisition]` changes about strategies; only a detector can see nothing at all."""
        return options_of(self.config)

    def strategy(self, name: str) -> Strategy:
        """The strategy of that name, with the options of `[acquisition]`; the first batch has none to weigh."""
        strategy = find_strategy(name)
        return strategy if name == FIRST else with_options(strategy, self.options)

    def new_model(self) -> Model:
        """An untrained model as the configuration wants it."""
        return make_model(self.config)

    def model(self, version: ModelVersion) -> Model:
        """A trained model, from its registered file; ModelCorrupt when the file was changed."""
        if version.name not in self._loaded:
            self._loaded.clear()  # one model in memory is enough
            model = self.new_model()
            model.load(self.registry.path(version.sha256))
            self._loaded[version.name] = model
        return self._loaded[version.name]

    def dice(self, cycle: int, purpose: str) -> np.random.Generator:
        """Randomness of one purpose in one cycle: doing a step again throws the same numbers."""
        words = np.frombuffer(purpose.encode().ljust(32)[:32], dtype=np.uint32).tolist()
        return np.random.default_rng([self.config.project.seed, cycle, *words])

    def embedder(self) -> Model:
        """What embeds images before anything is trained: the frozen features."""
        from alloop.models import frozen

        section = anchored(self.config)
        if section.kind != "frozen":
            size = EMBEDDED if section.kind == "yolo" else section.image_size
            section = section.model_copy(update={"backbone": "hog", "weights": None, "image_size": size})
        project = self.config.project.model_copy(update={"task": Task.CLASSIFY})  # it is asked for embeddings only
        return frozen.from_config(project, section, cache=self.config.state / "features")

    def mask_model(self) -> MaskModel:
        """The model of masks that `[committee]` names; ConfigError or MissingExtra say what it lacks."""
        if "masks" not in self._opened:
            self._opened["masks"] = make_mask_model(self.config)
        return self._opened["masks"]


@contextmanager
def open_workspace(source: Path | Config, *, progress: Progress = no_progress) -> Iterator[Workspace]:
    """The project of an alloop.toml, closed again at the end; ConfigError says what is wrong with it."""
    config = load_config(source) if isinstance(source, Path) else source
    virtual = config.annotation.tool == "simulated" and config.annotation.simulated.clock == "virtual"
    clock: Clock = VirtualClock(config.state / "clock" / config.project.name, VIRTUAL_START) if virtual else WallClock()
    check(config)
    config.state.mkdir(parents=True, exist_ok=True)
    project = config.project
    ledger = open_ledger(config.ledger_url, project=project.name, task=project.task, labels=project.labels, clock=clock)
    try:
        yield Workspace(
            config=config,
            ledger=ledger,
            registry=Registry(config.state / "models"),
            tool=make_tool(config, ledger, clock),
            clock=clock,
            progress=progress,
        )
    finally:
        ledger.close()


class PoolStore:
    """The ledger as the pool sees it."""

    def __init__(self, workspace: Workspace) -> None:
        self._samples = workspace.ledger.samples
        self._truths_are_labels = not workspace.is_simulated

    def known(self, uris: Sequence[str]) -> Mapping[str, Fingerprint]:
        """Those of `uris` that are samples already."""
        files = self._samples.known(uris)
        return {
            uri: Fingerprint(file.sample, file.size_bytes, file.mtime_ns, file.width, file.height)
            for uri, file in files.items()
        }

    def add_samples(self, found: Sequence[Found]) -> AddReport:
        """Add what is new and refuse what the ledger forbids."""
        files = [SampleFile(one.sample, one.width, one.height, one.size_bytes, one.mtime_ns) for one in found]
        added, refused = self._samples.add(files, truths_are_labels=self._truths_are_labels)
        return AddReport(added, tuple(SetAside(one.uri, Cause(one.cause), one.reason) for one in refused))

    def set_aside(self, refusals: Sequence[SetAside]) -> None:
        """Note why images are no samples."""
        self._samples.set_aside([Refused(one.uri, one.cause.value, one.reason) for one in refusals])
