"""Recipes: settings in a TOML file, checked against a dataclass.

A module with such a dataclass made it with pydantic, and tells its own users which extra brings that.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fipo_model.errors import InputError

if TYPE_CHECKING:
    from pydantic import ConfigDict

Settings = TypeVar("Settings")

STRICT: "ConfigDict" = {"extra": "forbid", "strict": True}
"""For the dataclasses of recipes: nothing is converted silently, and a key nobody knows is an error."""


def read(
    path: str | Path,
    kind: type[Settings],
    overrides: tuple[str, ...] = (),
    *,
    also: Callable[[Mapping[str, Any]], list[str]] | None = None,
) -> Settings:
    """Settings from a TOML file, with `key=value` overrides whose value is TOML (`lora.r=8`) or a plain text.

    Raises `InputError` that lists everything that is wrong, not only the first thing; `also` finds further problems in
    the table.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the recipe {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"the recipe {path} is not TOML in UTF-8: {error}") from error
    for override in overrides:
        _set(table, override)
    problems = also(table) if also is not None else []
    try:
        settings = TypeAdapter(kind).validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        problems = [_in_words(problem) for problem in error.errors()] + problems
    if problems:
        raise InputError(f"the recipe {path} cannot be used:\n  " + "\n  ".join(problems))
    return settings


def _set(table: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator or not name.strip():
        raise InputError(f"--set takes key=value, such as lora.r=8, not {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()  # an unquoted text
    *parents, last = name.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {override}: {parent} is not a table")
    table[last] = value


def _in_words(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "recipe"
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"{where}: there is no such setting"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}"
