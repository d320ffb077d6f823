"""JSON that models, servers and people wrote: read without being brought down by it, and compared. Pure."""

import json
import operator
from collections.abc import Callable
from typing import Any

# Levels. What somebody meant has fewer; and whatever follows a value into its parts calls itself for each of them,
# which Python allows about a thousand times.
_DEEPEST = 200


def parse_json(text: str, *, strict: bool = True) -> Any:
    """The value that a text holds. Raises `ValueError` where it holds none, or one nested too deeply to be worked on.

    Without `strict`, texts may have line breaks and tabs in them.
    """
    try:
        value = json.loads(text, strict=strict)
    except RecursionError as error:
        raise _too_deep() from error
    if text.count("[") + text.count("{") > _DEEPEST and _is_too_deep(value):
        raise _too_deep()
    return value


def is_json(text: str) -> bool:
    """Whether `parse_json` can read a text."""
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


def are_same(one: Any, other: Any, *, texts: Callable[[str, str], bool] = operator.eq) -> bool:
    """Whether two values are the same to JSON, where 1 is 1.0, but not true. `texts` compares two texts."""
    if isinstance(one, str) and isinstance(other, str):
        return texts(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        has_the_names = one.keys() == other.keys()
        return has_the_names and all(are_same(value, other[name], texts=texts) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(are_same(*pair, texts=texts) for pair in zip(one, other, strict=True))
    are_of_a_kind = isinstance(one, bool) == isinstance(other, bool)  # True == 1 in Python
    return are_of_a_kind and bool(one == other)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        holders = [one for one in level if isinstance(one, dict | list)]
        if not holders:
            return False
        level = [part for one in holders for part in (one.values() if isinstance(one, dict) else one)]
    return True


def _too_deep() -> ValueError:
    return ValueError(f"its brackets are nested more than {_DEEPEST} deep")
