"""Codes of letters and digits (C-07), and texts with a name of their own, such as links. Pure."""

import itertools
from collections.abc import Sequence
from functools import partial

from fipo_model.contract.patterns import lazy
from fipo_model.forms.numbers import spelled

_MOST_RUNS = 8
_FEW, _SEVERAL = 3, 4
"""So many different codes show that a letter, and that a number of digits is always the same."""
_RUN = lazy(r"\d+|[^\W\d_]+|[\W_]+")
_SIGNS = lazy(r"[!-/:-@\[-`|~ –—·×→€£]+")  # printed ones, without braces
_MAY_BE_CHANCE = lazy(r"(?i:[ap]m|bc|ad|st|nd|rd|th)|[A-Z][a-z]+")
"""The halves of days and of history, ordinals, and names such as June."""
_NAMED = tuple(
    (name, lazy(pattern))
    for name, pattern in (
        ("an e-mail address", r"[^\s@:<>]+@[^\s@<>]+\.\w+"),
        ("a link", r"https?://\S+"),
        ("a UUID", r"(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"),
    )
)


def read_named(outputs: Sequence[str]) -> str | None:
    """A text whose form has a name."""
    return next((name for name, pattern in _NAMED if all(map(pattern.fullmatch, outputs))), None)


def read_code(outputs: Sequence[str]) -> str | None:
    """Capital letters, numbers, and what stands between them in all outputs: one capital letter, "-" and two digits."""
    by_output = [_RUN.findall(output) for output in outputs]
    if len(outputs) < 2 or len({len(runs) for runs in by_output}) > 1 or len(by_output[0]) > _MOST_RUNS:
        return None
    by_place = list(zip(*by_output, strict=True))
    alike = sum(len(set(runs)) == 1 and runs[0].isalpha() for runs in by_place)
    # Two letters, as in 1h30m, are not alike by chance.
    is_fixed_from = partial(_is_fixed, fewest=2 if alike > 1 else _FEW)
    parts: list[str] = []
    for is_fixed, places in itertools.groupby(by_place, key=is_fixed_from):
        runs = list(places)
        if is_fixed:
            parts.append(_quoted("".join(own[0] for own in runs)))
        elif len(runs) == 1 and (counted := _counted(runs[0])) is not None:
            parts.append(counted)
        else:
            return None
    if len(parts) < 2 or not any(part.endswith(("number", "digits", "digit")) for part in parts) or _is_number(parts):
        return None
    return _numbers_alone(parts) or f"{', '.join(parts[:-1])} and {parts[-1]}"


def _is_number(parts: Sequence[str]) -> bool:
    """Whether this is no code but a number that has a sign, or decimals."""
    signs = [part.strip("\"'") for part in parts if part.startswith(("'", '"'))]
    has_sign = len(parts) == 2 and signs in (["+"], ["-"], ["−"])
    return has_sign or (len(parts) == 3 and signs in (["."], [","]))


def _is_fixed(runs: Sequence[str], *, fewest: int) -> bool:
    """Whether all outputs have the same signs or letters in this place, and hardly by chance."""
    if len(set(runs)) > 1 or runs[0].isdecimal():
        return False
    if not any(map(str.isalpha, runs[0])):
        return _SIGNS.fullmatch(runs[0]) is not None
    return len(runs) >= fewest and not _MAY_BE_CHANCE.fullmatch(runs[0])


def _counted(runs: Sequence[str]) -> str | None:
    """A number, or so many digits or capital letters."""
    lengths = set(map(len, runs))
    length = spelled(min(lengths))
    if all(run.isascii() and run.isdecimal() for run in runs):
        is_padded = any(run.startswith("0") and len(run) > 1 for run in runs)
        is_fixed = len(lengths) == 1 and (is_padded or (len(runs) >= _SEVERAL and min(lengths) > 2))
        return f"{length} digits" if is_fixed else None if is_padded else "a number"
    if not all(run.isalpha() and run.isupper() for run in runs) or (len(runs) >= _FEW and len(set(runs)) == 1):
        return None
    if len(lengths) > 1:
        return "capital letters"
    return f"{length} capital letter{'s' * (lengths != {1})}"


def _numbers_alone(parts: Sequence[str]) -> str | None:
    """A more readable way to say that there are only numbers with the same sign between them."""
    numbers, signs = parts[::2], set(parts[1::2])
    if set(numbers) != {"a number"} or len(signs) != 1 or len(numbers) == len(parts[1::2]):
        return None
    return f"{spelled(len(numbers))} numbers with {signs.pop()} between them"


def _quoted(mark: str) -> str:
    return "a space" if mark == " " else f"'{mark}'" if '"' in mark else f'"{mark}"'
