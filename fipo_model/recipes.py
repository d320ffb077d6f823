"""Recipes: settings in a TOML file, checked against a dataclass, and the directory that belongs to one of them."""

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fipo_model import jsonl
from fipo_model.errors import InputError, explain_missing

with explain_missing("train", "pydantic"):
    from pydantic import ConfigDict, TypeAdapter, ValidationError

Settings = TypeVar("Settings")

STRICT = ConfigDict(extra="forbid", strict=True)
"""For the dataclasses of recipes: nothing is converted silently, and a key nobody knows is an error."""


def read(
    path: str | Path,
    kind: type[Settings],
    overrides: tuple[str, ...] = (),
    *,
    also: Callable[[Mapping[str, Any]], list[str]] | None = None,
) -> Settings:
    """Settings from a TOML file, with `key=value` overrides whose value is TOML (`lora.r=8`) or a plain text.

    Raises `InputError` that lists everything that is wrong, not only the first thing; `also` finds more of it in the
    table.
    """
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


def differences(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What `wanted` settings change, in words, one entry for each."""
    return [f"{key} is {wanted[key]!r}, was {before.get(key)!r}" for key in wanted if wanted[key] != before.get(key)]


@contextmanager
def freeing(noted: Path) -> Iterator[None]:
    """Around a job that has `noted` its settings: if it fails before it wrote anything else, its directory is free."""
    try:
        yield
    except BaseException:
        if jsonl.is_vacant(noted.parent, apart_from=noted.name):
            noted.unlink(missing_ok=True)
        raise


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
