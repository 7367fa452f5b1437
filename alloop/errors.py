"""Every error alloop raises, grouped by what helps.

    AlloopError
      Transient          trying again helps
        ToolUnavailable    the annotation tool did not answer
        LedgerBusy         the database was locked or unreachable
        LeaseHeld          somebody else works on this step
        LeaseLost          the lease ran out and somebody else took the step
        LabelsPending      a state, not a fault: the batch is not complete yet (never retried)
      Rejected           someone must fix the input
        ConfigError        alloop.toml, the environment or a name in it
        BadManifest        the list of images
        BadImage           one image
        BadLabel           one label
        Forged             a webhook that does not carry the secret
        MissingExtra       an optional package is not installed
      LoopError          the loop cannot go on
        PoolEmpty          no sample at all
        PoolExhausted      fewer samples remain than the batch needs
        HoldoutLeak        a holdout sample would enter a batch
        CycleClosed        the cycle is closed or on hold
        ModelCorrupt       a model file is not the one that was registered

Messages are one sentence: what happened, the value, what to do.
"""

__all__ = [
    "AlloopError",
    "BadImage",
    "BadLabel",
    "BadManifest",
    "ConfigError",
    "CycleClosed",
    "Forged",
    "HoldoutLeak",
    "LabelsPending",
    "LeaseHeld",
    "LeaseLost",
    "LedgerBusy",
    "LoopError",
    "MissingExtra",
    "ModelCorrupt",
    "PoolEmpty",
    "PoolExhausted",
    "Rejected",
    "ToolUnavailable",
    "Transient",
]


class AlloopError(Exception):
    """Root of every error that alloop raises on purpose."""


class Transient(AlloopError):
    """Trying again helps."""


class ToolUnavailable(Transient):
    """The annotation tool did not answer."""


class LedgerBusy(Transient):
    """The ledger's database was locked or unreachable."""


class LeaseHeld(Transient):
    """Somebody else works on this step now."""


class LeaseLost(Transient):
    """The lease ran out and somebody else took the step."""


class LabelsPending(Transient):
    """The batch is not complete yet; a state that suspends the step, never retried."""


class Rejected(AlloopError):
    """Someone must fix the input."""


class ConfigError(Rejected):
    """alloop.toml, the environment, or a name in them is wrong."""


class BadManifest(Rejected):
    """The list of images cannot be read as one."""


class BadImage(Rejected):
    """One image cannot be used."""


class BadLabel(Rejected):
    """One label cannot be used."""


class Forged(Rejected):
    """A webhook does not carry the secret."""


class MissingExtra(Rejected):
    """An optional package is not installed."""


class LoopError(AlloopError):
    """The loop cannot go on."""


class PoolEmpty(LoopError):
    """There is no sample at all."""


class PoolExhausted(LoopError):
    """Fewer samples remain than the batch needs."""


class HoldoutLeak(LoopError):
    """A holdout sample, or its exact copy, would enter a batch."""


class CycleClosed(LoopError):
    """The cycle is closed, or the project is on hold."""


class ModelCorrupt(LoopError):
    """A model file is not the one that was registered."""
