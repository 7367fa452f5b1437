"""What commands have in common: where a project is, and tables in a terminal."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["HERE", "ConfigOption", "columns", "print_table"]

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="alloop.toml, or the folder it is in.")]
HERE = Path("alloop.toml")


WIDE, NARROW = 100, 80


def columns() -> int:
    """How many columns a table may have: those of the terminal, 80 at least, and 100 where there is none."""
    from rich.console import Console

    console = Console()
    return max(console.width, NARROW if console.is_terminal else WIDE)


def print_table(table: Any) -> None:
    """Print a rich table that is as wide as `columns` says."""
    from rich.console import Console

    Console(width=columns()).print(table)
