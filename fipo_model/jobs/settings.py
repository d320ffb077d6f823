"""A job's settings as JSON has them, and how they differ from the present ones."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fipo_model import jsonl, places
from fipo_model.addresses import hide_passwords
from fipo_model.errors import InputError

# How much of a value, and how many differences, are shown: enough to recognise them.
_LONGEST, _MOST = 80, 6
# A digest is alone, or in brackets behind what it is of.
_DIGEST = re.compile(r"(?:^|\()[0-9a-f]{8,64}\)?$")


def as_noted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a file: tuples are lists, keys are texts, and no address has a password."""
    noted = json.dumps(hide_passwords(settings), ensure_ascii=False)
    found: dict[str, Any] = json.loads(noted.encode("utf-8", "replace"))
    return found


def read_note(path: Path) -> dict[str, Any] | None:
    """The settings in a file; None where there is none. Raises `InputError` if it is damaged."""
    if not places.exists(path):
        return None
    with jsonl.opened(path) as file:
        content = file.read()
    try:
        return jsonl.parse_object(content)
    except InputError as error:
        raise InputError(f"{path} is damaged: {error}. Choose another output.") from error


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed, in words: key, then, now. Empty if nothing did.

    Settings within settings go by keys with dots. A missing setting is the same as None or an empty table. What a
    reader understands comes before digests.
    """
    then, today = dict(_leaves(before)), dict(_leaves(as_noted(now)))
    changed = [key for key in then | today if then.get(key) != today.get(key)]
    changed.sort(key=lambda key: _is_digest(then.get(key)) or _is_digest(today.get(key)))  # they tell a reader little
    shown = [_difference(key, then.get(key), today.get(key)) for key in changed[:_MOST]]
    more = len(changed) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _difference(key: str, before: object, now: object) -> str:
    if _DIGEST.fullmatch(str(before)) and _DIGEST.fullmatch(str(now)):
        return f"{key} was another one"
    return f"{key} was {_shown(before)} and is now {_shown(now)}"


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.search(value) is not None


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
