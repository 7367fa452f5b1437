"""What is wrong with alloop.toml or the ALLOOP_* environment, in sentences that name the key, the value and what to write."""

import difflib
import json
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

__all__ = ["PREFIX", "Settings", "fault_sentence", "json_fault", "nearest", "shown", "variable_of", "wanted"]

PREFIX = "ALLOOP_"
SHOWN = 60
"""Characters of a wrong value that its error shows."""
TABLES = ("model_type", "model_attributes_type", "dict_type")
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a number",
    "bool": "true or false",
    "string": "a text in quotes",
    "path": "a path in quotes",
    "tuple": 'a list such as ["a", "b"]',
    "list": 'a list such as ["a", "b"]',
}
"""What to write, by the first word of pydantic's error type: int_type, int_parsing, int_from_float."""
BOUNDS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "a number of at least {}"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "a number of at most {}"),
    "too_short": ("min_length", "a list of at least {}"),
    "too_long": ("max_length", "a list of at most {}"),
    "string_too_short": ("min_length", "a text of at least {} characters"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
}
"""Of each error type that is about a limit: where pydantic keeps the limit, and what to write."""

Place = tuple[int | str, ...]


class Settings:
    """What the settings are made of: their model, the file and the environment that they were read from."""

    def __init__(self, model: type[BaseModel], file: Path, environment: Mapping[str, str]) -> None:
        self.model = model
        self.file = file
        self.variables = {name.upper(): text for name, text in environment.items() if name.upper().startswith(PREFIX)}

    @property
    def sections(self) -> list[str]:
        """The names of the tables."""
        return [name for name in self.model.model_fields if name != "file"]


def fault_sentence(error: ValidationError, settings: Settings) -> str:
    """All faults in one sentence: the file or the variable, the key, the value unless it is secret, and what to write."""
    return "; and ".join(_told(error, settings))


def _told(error: ValidationError, settings: Settings) -> Iterator[str]:
    before = None
    for fault in error.errors():
        where, told = _blamed(fault["loc"], settings), _fault(fault, settings)
        yield told if where == before else f"{where}: {told}"
        before = where


def _fault(fault: ErrorDetails, settings: Settings) -> str:
    place, kind = fault["loc"], fault["type"]
    key = ".".join(map(str, place))
    if kind == "extra_forbidden":
        return f"unknown key '{key}'{nearest(place, settings)}"
    if kind == "missing":
        return f"'{key}' is missing; {_needed(key, _type_at(place, settings.model))}"
    if kind in TABLES:
        return f"'{key}' is a table; write [{key}] above its keys"
    is_shown = not isinstance(fault["input"], dict) and not _is_secret(place, settings.model)
    given = f"'{key}' is {shown(fault['input'])}" if is_shown else f"'{key}' is wrong"
    return f"{given}: {fault['ctx']['error']}" if kind == "value_error" else f"{given}{wanted(fault)}"


def wanted(fault: ErrorDetails) -> str:
    """After a value that pydantic refused: what to write instead."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return f"; write {context['expected']}"
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return f"; write {words.format(_number(context[name]))}"
    kinds = KINDS.get(kind) or KINDS.get(kind.partition("_")[0])
    return f"; write {kinds}" if kinds else f", which cannot be used ({fault['msg']}); correct it"


def _number(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def shown(value: object) -> str:
    """A value in an error, cut where it is long."""
    told = repr(value)
    return told if len(told) <= SHOWN else f"{told[:SHOWN]}…"


def _needed(key: str, found: Any) -> str:
    if isinstance(found, type) and issubclass(found, BaseModel):
        names = [name for name, field in found.model_fields.items() if field.is_required()]
        return f"write [{key}] with {' and '.join(names)} under it"
    return 'set it to a list such as ["cat", "dog"]' if get_origin(found) is tuple else "set it"


def _type_at(place: Place, model: type[BaseModel]) -> Any:
    """The type of what stands at `place`; of what is in a list or a dictionary, that of the whole."""
    found: Any = model
    for part in place:
        if not (isinstance(found, type) and issubclass(found, BaseModel)) or part not in found.model_fields:
            break
        found = found.model_fields[str(part)].annotation
    return found


def _is_secret(place: Place, model: type[BaseModel]) -> bool:
    """A URL of a ledger may hold a password."""
    found = _type_at(place, model)
    among = get_args(found) if get_origin(found) in (Union, types.UnionType) else (found,)
    return SecretStr in among or place[:1] == ("ledger",)


def nearest(place: Place, settings: Settings) -> str:
    """After an unknown key: the known one that looks most like it, or all."""
    table = _type_at(place[:-1], settings.model)
    names = settings.sections if table is settings.model else list(table.model_fields)
    near = difflib.get_close_matches(str(place[-1]), names, n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(names)}"


# Who is to blame


def variable_of(place: Place) -> str:
    """The variable that stands for a key of the file."""
    return PREFIX + "__".join(map(str, place)).upper()


def _blamed(place: Place, settings: Settings) -> str:
    """The variable that the value comes from, or the file; where a whole table is wrong, with what overrides keys of it."""
    for length in range(len(place), 0, -1):
        name = variable_of(place[:length])
        if name in settings.variables and _holds(settings.variables[name], place[length:]):
            return name
    below = [name for name in settings.variables if place and name.startswith(f"{variable_of(place)}__")]
    return f"{settings.file} with {' and '.join(sorted(below))}" if below else str(settings.file)


def _holds(text: str, place: Place) -> bool:
    """Whether a variable's text, JSON where it holds more than one value, has something at `place`."""
    if not place:
        return True
    found = _parsed(text)
    for part in place:
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def json_fault(settings: Settings) -> str:
    """Which variable, for a list or a whole table, holds text that is no JSON, and how to write it."""
    for name, text in settings.variables.items():
        place = tuple(name.removeprefix(PREFIX).lower().split("__"))
        found = _type_at(place, settings.model)
        if _parsed(text) is None and get_origin(found) is tuple:
            words = json.dumps([word for word in re.split(r"[\s,;]+", text) if word])
            return f"{name} is {shown(text)}, which is no list; write a list as JSON, such as {name}='{words}'"
        if _parsed(text) is None and place[-1] in settings.sections:
            return f"{name} is no table; write its keys one by one, such as {name}__KEY, or as JSON"
    return "a variable ALLOOP_... holds a list or a table that is no JSON; write it as JSON"
