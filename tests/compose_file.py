"""docker-compose.yml as Compose reads it: parsed, and its ${VARIABLES} filled in."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[1]
FILE = CHECKOUT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<more>[^}]*))?\}")


class Unset(Exception):
    """A variable that has to have a value has none; its name."""


def read(given: Mapping[str, str]) -> dict[str, Any]:
    """The whole file with the values of an .env file in it."""
    return filled(yaml.safe_load(FILE.read_text()), given)


def filled(part: Any, given: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        return {key: filled(value, given) for key, value in part.items()}
    if isinstance(part, list):
        return [filled(value, given) for value in part]
    return VARIABLE.sub(lambda found: value_of(found, given), part) if isinstance(part, str) else part


def value_of(found: re.Match[str], given: Mapping[str, str]) -> str:
    value = given.get(found["name"], "")
    if value:
        return value
    if found["how"] != "-":
        raise Unset(found["name"])
    return found["more"]


def variables() -> Iterator[re.Match[str]]:
    """Each ${VARIABLE} in the file, with its name, how it is asked for (- or ?), and what follows that."""
    lines = (line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    return VARIABLE.finditer("\n".join(lines))


def example() -> dict[str, str]:
    """.env.example."""
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def words(command: str | list[str] | None) -> list[str]:
    """A command or an entrypoint as a list."""
    return command.split() if isinstance(command, str) else list(command or ())
