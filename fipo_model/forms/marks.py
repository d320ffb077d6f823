"""What stands around an answer: tags, brackets, quotation marks, a label. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fipo_model.contract.patterns import lazy

_FEW = 3
"""So many different outputs with the same first words are no chance."""
_PAIRS = {
    ("[", "]"): "{} in square brackets",
    ("(", ")"): "{} in parentheses",
    ('"', '"'): "{} in double quotes",
    ("'", "'"): "{} in single quotes",
    ("“", "”"): "{} between “ and ”",
    ("«", "»"): "{} between « and »",
    ("`", "`"): "{} in backticks",
    ("**", "**"): '{} between "**" and "**"',
    ("*", "*"): '{} between "*" and "*"',
}
_TAGGED = lazy(r"<(\w+)>.+</\1>")
_LABEL = lazy(r"(?:[^\W\d][\w ]{0,30} ?[:：=] ?|(?:[-*•]|#{1,6}) )(?=\S)")
_SIGN = lazy(r"[@#]")
_FIRST_WORDS = lazy(r"(?!(?i:the|an?) |[A-Z]{3})[^\W\d_][\w ]*[ -]+")


@dataclass(frozen=True, slots=True)
class Mark:
    """Marks around an answer."""

    before: int
    """Characters of it before the answer."""
    after: int
    name: str
    """Its name, with {} for the form of the answer."""
    is_certain: bool = True
    """Whether it is a mark whatever the answer is."""


def find_mark(outputs: Sequence[str]) -> Mark | None:
    """The outermost mark that all of several different outputs have."""
    if len(outputs) < 2:
        return None
    return _tag(outputs) or _pair(outputs) or _label(outputs) or _sign(outputs) or _first_words(outputs)


def _tag(outputs: Sequence[str]) -> Mark | None:
    found = _TAGGED.fullmatch(outputs[0])
    if found is None:
        return None
    opened, closed = f"<{found[1]}>", f"</{found[1]}>"
    are_alike = all(
        output.startswith(opened) and output.endswith(closed) and output.count(opened) == 1 for output in outputs
    )
    return Mark(len(opened), len(closed), f'{{}} between "{opened}" and "{closed}"') if are_alike else None


def _pair(outputs: Sequence[str]) -> Mark | None:
    for (opened, closed), name in _PAIRS.items():
        size = len(opened) + len(closed)
        inner = [output[len(opened) : -len(closed)] for output in outputs if len(output) > size]
        around = all(output.startswith(opened) and output.endswith(closed) for output in outputs)
        if around and len(inner) == len(outputs):
            # One that occurs inside closes what came before: ("a" and "b"), [a](b).
            is_once = not any(sign in text for text in inner for sign in (opened, closed))
            return Mark(len(opened), len(closed), name) if is_once else None
    return None


def _label(outputs: Sequence[str]) -> Mark | None:
    found = _LABEL.match(outputs[0])
    if found is None or not all(output.startswith(found[0]) and len(output) > len(found[0]) for output in outputs):
        return None
    if any(output[len(found[0])].isspace() for output in outputs):
        return None
    return Mark(len(found[0]), 0, f'{{}} preceded by "{found[0]}"')


def _sign(outputs: Sequence[str]) -> Mark | None:
    is_there = _SIGN.match(outputs[0]) and all(output[0] == outputs[0][0] and len(output) > 1 for output in outputs)
    return Mark(1, 0, f'{{}} preceded by "{outputs[0][0]}"', is_certain=False) if is_there else None


def _first_words(outputs: Sequence[str]) -> Mark | None:
    """The words that all begin with; a number behind them belongs to a code."""
    found = _FIRST_WORDS.match(outputs[0])
    while found is not None and not all(output.startswith(found[0]) for output in outputs):
        found = _FIRST_WORDS.fullmatch(re.sub(r"[\w]+[ -]+$", "", found[0]))
    if found is None or len(outputs) < _FEW or any(output[len(found[0]) :][:1].isdigit() for output in outputs):
        return None
    return Mark(len(found[0]), 0, f'{{}} preceded by "{found[0]}"', is_certain=False)
