"""What commands have in common: where a project is, and tables in a terminal."""

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["HERE", "ConfigOption", "print_table"]

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="alloop.toml, or the folder it is in.")]
HERE = Path("alloop.toml")


def print_table(table: Any) -> None:
    """Print a rich table; where nobody says how wide the terminal is, it gets 100 columns."""
    from rich.console import Console

    console = Console()
    console.width = max(console.width, 100)
    console.print(table)
