"""Lists, on a line or with a line for each item, and records with a line for each field. Pure."""

import re
from collections.abc import Sequence

from fipo_model.contract.patterns import lazy

_FEW = 3
"""So many different outputs, or items in each, are no chance."""
_MOST_FIELDS = 6
_SEPARATORS = {
    "; ": "a semicolon and a space",
    ";": "a semicolon",
    " | ": '" | "',
    "|": '"|"',
    " / ": '" / "',
    ", ": "a comma and a space",
    ",": "a comma",
}
_QUOTES = {'"': "double quotes", "'": "single quotes"}
_ITEM = lazy(r"[^\s<>{}]+(?: [^\s<>{}]+){0,2}")
_CLAUSE = lazy(r"(?i)(?:and|or|but|so|because|then|it|its|he|she|we|you|they|i|this|that|which|who|thanks?)\b")
_NUMBERED, _MARKER = lazy(r"\d+([.)]) \S"), lazy(r"(?:[-*•#>+]+|\[ \]) (?!\[[ xX]?\])")
_FIELD = lazy(r"([^\W\d][\w ]{0,30}: )\S")
_CODE = lazy(r"[,;|{}=()<>`]|[.?!:]$")


def read_lines(outputs: Sequence[str]) -> str | None:
    """A list with a line for each item, or a record with a line for each field."""
    by_output = [output.split("\n") for output in outputs]
    lines = [line for own in by_output for line in own]
    if len(lines) == len(outputs) or not all(map(str.strip, lines)):
        return None
    return _with_numbers(lines) or _with_marker(lines) or _fields(by_output) or _unmarked(by_output)


def _with_numbers(lines: Sequence[str]) -> str | None:
    numbered = [_NUMBERED.match(line) for line in lines]
    signs = {found and found[1] for found in numbered}
    if len(signs) > 1 or None in signs:
        return None
    behind = ' and ")" after the numbers' if signs == {")"} else ""
    return f"a numbered list with one item per line{behind}"


def _with_marker(lines: Sequence[str]) -> str | None:
    marker = _MARKER.match(lines[0])
    if marker is None or not all(_MARKER.match(line) and line.startswith(marker[0]) for line in lines):
        return None
    return f'a list with one item per line and "{marker[0]}" before each'


def _fields(by_output: Sequence[Sequence[str]]) -> str | None:
    """The names before the colons, where all of several outputs have the same."""
    named = [[found and found[1] for found in map(_FIELD.match, own)] for own in by_output]
    names = named[0]
    if len(named) < 2 or any(own != names for own in named) or not 1 < len(names) <= _MOST_FIELDS or None in names:
        return None
    *first, last = (f'"{name}"' for name in names)
    return f"{len(names)} lines that begin with {', '.join(first)} and {last}"


def _unmarked(by_output: Sequence[Sequence[str]]) -> str | None:
    lines = [line for own in by_output for line in own]
    if not all(_ITEM.fullmatch(line) and not _CODE.search(line) for line in lines):
        return None
    return "a list with one item per line" if _is_list(by_output) and not _has_frame(by_output) else None


def _has_frame(by_output: Sequence[Sequence[str]]) -> bool:
    """Whether outputs have a line, or its first word, in common, as programs and headings do."""
    heads = [own[0].split()[0] for own in by_output]
    return len(by_output) > 1 and len(set(heads)) == 1


def _is_list(by_output: Sequence[Sequence[str]]) -> bool:
    """Whether these are lists: they vary in length, or are long. Pairs and records do neither."""
    counts = {len(own) for own in by_output}
    if min(counts) == 1:
        return max(counts) >= _FEW
    return len(counts) > 1 or min(counts) >= _FEW


def read_items(outputs: Sequence[str]) -> str | None:
    """A list on one line, and what is between its items."""
    sign = _separator(outputs)
    if sign is None:
        return _spaced(outputs)
    by_output = [output.split(sign) for output in outputs]
    items = [item for own in by_output for item in own]
    if not all(map(_is_item, items)) or any(output.endswith((".", "?", "!")) for output in outputs):
        return None
    each, name = _each(items), _SEPARATORS[sign]
    if sign in ",;" and not any(" " in item for item in items):
        name = f"{name} and no space"
    if not _is_list(by_output) and not each:
        is_pair = len(outputs) >= _FEW and all(len(own) == 2 for own in by_output)
        return f"two parts with {name} between them" if is_pair else None
    last = ', with "and" before the last one' if all(" and " in own[-1] for own in by_output) else ""
    return f"a list with {name} between the items{each}{last}"


def _separator(outputs: Sequence[str]) -> str | None:
    """The outermost separator that any output has, if it is used in one way and never inside a number."""
    for sign in _SEPARATORS:
        if not any(sign in output for output in outputs):
            continue
        if sign.strip() == "," and any(re.search(r"\d,\d", output) for output in outputs):
            are_numbers = all(re.fullmatch(r"-?\d+(?:,-?\d+){2,}", output) for output in outputs)
            return sign if sign == "," and are_numbers else None
        is_mixed = len(sign) > 1 and any(re.search(rf"{re.escape(sign.strip())}(?! )", output) for output in outputs)
        return None if is_mixed else sign
    return None


def _is_item(item: str) -> bool:
    is_whole = all(item.count(one) == item.count(other) for one, other in ("()", "[]")) and item.count('"') % 2 == 0
    return is_whole and _ITEM.fullmatch(item) is not None and _CLAUSE.match(item) is None


def _spaced(outputs: Sequence[str]) -> str | None:
    """A list whose items are told apart by their marks."""
    by_output = [output.split() for output in outputs]
    each = _each([item for own in by_output for item in own])
    are_several = all(len(own) > 1 for own in by_output)
    return f"a list with spaces between the items{each}" if each and are_several else None


def _each(items: Sequence[str]) -> str:
    """What each item is marked with, if anything."""
    mark = items[0][0]
    if mark in _QUOTES and all(len(item) > 2 and item[0] == mark == item[-1] for item in items):
        return f", each in {_QUOTES[mark]}"
    is_marked = mark in "#@$€£" and all(len(item) > 1 and item[0] == mark for item in items)
    return f', each beginning with "{mark}"' if is_marked else ""
