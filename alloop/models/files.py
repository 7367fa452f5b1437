"""Model files are read only when they are there and of the model that asks."""

from collections.abc import Mapping
from pathlib import Path

from alloop.errors import ModelCorrupt

__all__ = ["check_facts", "read_model"]


def read_model(path: Path) -> bytes:
    """The bytes of a model file; ModelCorrupt when there is none to read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelCorrupt(f"model file {path} cannot be read ({error}); roll back or retrain") from error


def check_facts(path: Path, *, found: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """ModelCorrupt when one of the expected facts about the model in `path` is missing or another."""
    for name, value in expected.items():
        if found.get(name) != value:
            raise ModelCorrupt(
                f"model file {path} has {name} {found.get(name)!r}, expected {value!r}; restore that setting or retrain"
            )
