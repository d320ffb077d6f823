"""JSON. Pure."""

import json
from collections.abc import Sequence
from typing import Any

_MOST_KEYS = 12


def read_json(outputs: Sequence[str]) -> str | None:
    """A JSON object with its keys, or a JSON list."""
    values = list(map(_value_of, outputs))
    if all(isinstance(value, dict) for value in values):
        return f"a JSON object{_keys(values)}"
    if not all(isinstance(value, list) for value in values):
        return None
    if all(len(value) == 1 and isinstance(value[0], int | float) for value in values):
        return None  # a number in brackets
    items = [item for value in values for item in value]
    are_objects = bool(items) and all(isinstance(item, dict) for item in items)
    return f"a JSON list of objects{_keys(items)}" if are_objects else "a JSON list"


def _value_of(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _keys(values: Sequence[dict[str, Any]]) -> str:
    """The keys, where all of several objects have the same."""
    keys = list(values[0])
    are_alike = len(values) > 1 and all(value.keys() == values[0].keys() for value in values)
    if not are_alike or not 0 < len(keys) <= _MOST_KEYS:
        return ""
    named = ", ".join(json.dumps(key, ensure_ascii=False) for key in keys)
    return f" with the key{'s' * (len(keys) > 1)} {named}"
