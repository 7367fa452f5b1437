"""What the pool needs of whoever keeps its samples, and the records that pass between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from alloop.nouns import Sample

__all__ = ["AddReport", "Cause", "Fingerprint", "Found", "SampleStore", "SetAside"]


class Cause(StrEnum):
    """Why a row of the source did not become a sample."""

    BAD_IMAGE = "bad image"
    BAD_LABEL = "bad label"
    DUPLICATE = "duplicate"
    CHANGED = "changed"
    DIFFERS = "differs"
    HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class SetAside:
    """A uri that did not become a sample; `reason` reads as a sentence after the uri."""

    uri: str
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A sample the store holds, and its file as it was then; `mtime_ns` is None for a remote file.

    `width` and `height` are those of the upright image in pixels.
    """

    sample: Sample
    size_bytes: int
    mtime_ns: int | None
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """A new sample, its upright width and height in pixels, and its file; `mtime_ns` is None for a remote file."""

    sample: Sample
    width: int
    height: int
    size_bytes: int
    mtime_ns: int | None


@dataclass(frozen=True)
class AddReport:
    """What the store did: the uris it added, and those it refused."""

    added: tuple[str, ...]
    refused: tuple[SetAside, ...] = ()


class SampleStore(Protocol):
    """Where samples are kept; the ledger is one."""

    def known(self, uris: Sequence[str]) -> Mapping[str, Fingerprint]:
        """Those of `uris` that are samples already; a uri that was only set aside is not among them."""

    def add_samples(self, found: Sequence[Found]) -> AddReport:
        """Add them in one transaction; of `found` no two share an id or a uri. Twice is once.

        A sample known with the same uri and id is neither added nor refused; its file's size and time are refreshed. An
        added uri is no longer set aside. Refused are: an id that another uri has (DUPLICATE), and what would break the
        holdout, such as a pool sample whose group is in it or a holdout sample whose group is in the pool (HOLDOUT).
        """

    def set_aside(self, refusals: Sequence[SetAside]) -> None:
        """Keep the newest refusal of each uri. Twice is once.

        BAD_IMAGE or CHANGED for a uri that is a sample means that its file no longer holds what was labelled.
        """
