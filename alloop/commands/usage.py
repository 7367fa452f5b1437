"""Wrong usage of the command line in one sentence, where typer would draw a box of several lines."""

from typing import Any

import typer
from pydantic import ValidationError

__all__ = ["UsageFault", "usage_sentence"]

UsageFault: Any = typer.BadParameter.__mro__[2]
"""What all of typer's faults of usage have in common: click's, or that of the click which newer typers carry inside."""
NO_COMMAND = "NoArgsIsHelpError"
"""A group without a command shows its help."""


def usage_sentence(error: Any) -> str:
    """What was wrong and where to read on; nothing where the help has been shown already."""
    if type(error).__name__ == NO_COMMAND:
        return ""
    told = _value(error) or error.format_message().removeprefix("Invalid value: ").rstrip(".")
    told = " ".join(told.replace(". Did you", "; did you").split())
    context = getattr(error, "ctx", None)
    hint = "" if told.endswith("?") else f"; see '{context.command_path if context else 'alloop'} --help'"
    return f"{told[:1].lower()}{told[1:]}{hint}"


def _value(error: Any) -> str:
    """The option, its value and what to write, where pydantic has refused the value."""
    from alloop.config_faults import shown, wanted

    if getattr(error, "param", None) is None or not isinstance(error.__cause__, ValidationError):
        return ""
    fault = error.__cause__.errors()[0]
    names = [name for name in error.param.opts if name.startswith("--")]
    option = names[0] if names else error.param.name
    if fault["type"] == "value_error":
        return f"{option}: {str(fault['ctx']['error']).rstrip('.')}"
    return f"{option} is {shown(fault['input'])}{wanted(fault)}"
