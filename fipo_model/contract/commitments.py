"""What a text commits its reader to, as data. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "variable",
    "token",
    "tag",
    "url",
    "email",
    "path",
    "handle",
    "code",
    "quotation",
    "number",
    "negation",
    "bound",
    "name",
    "language",
    "label",
    "format",
    "manner",
    "task",
    "example",
    "sentence",
]


_NOUNS: Mapping[Kind, str] = {
    **{"variable": "variable", "token": "sign", "tag": "tag", "url": "web address", "email": "e-mail address"},
    **{"path": "path", "handle": "name", "code": "code", "quotation": "quotation", "number": "number"},
    **{"negation": "negation", "bound": "limit", "name": "name", "language": "language", "label": "label"},
    **{"format": "form of the answer", "manner": "length or tone", "task": "task", "example": "text", "sentence": ""},
}
"""What people call them; a part of a sentence is only quoted."""
_UNCOUNTED = ("code", "form of the answer", "length or tone", "text", "")


@dataclass(frozen=True, slots=True)
class Commitment:
    """One thing that a text commits its reader to."""

    kind: Kind
    text: str
    """As the text has it, for people."""
    span: tuple[int, int]
    """Where it stands in the text, in characters."""
    key: str
    """What it is equal to: "3", "three" and "03" have one key."""


def missing(expected: Iterable[Commitment], found: Iterable[Commitment], *, counted: bool = False) -> list[Commitment]:
    """Those of `expected` whose key `found` lacks, or with `counted` has less often."""
    left = Counter(each.key for each in found)
    lost = []
    for each in expected:
        if left[each.key] <= 0:
            lost.append(each)
        elif counted:
            left[each.key] -= 1
    return lost


def listed(items: Iterable[str]) -> str:
    """Texts in quotation marks, five of them at most, each shortened to 60 characters."""
    unique = list(dict.fromkeys(items))
    shown = [item if len(item) <= 60 else f"{item[:57]}..." for item in unique]
    return ", ".join(map(repr, shown[:5])) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def lost(commitments: Iterable[Commitment]) -> str | None:
    """What a rewrite lacks, in words; None if there is nothing."""
    return f"lost {said}" if (said := _named(commitments)) else None


def invented(commitments: Iterable[Commitment]) -> str | None:
    """What a rewrite brings in that nobody gave, in words; None if there is nothing."""
    return f"invented {said}" if (said := _named(commitments)) else None


def _named(commitments: Iterable[Commitment]) -> str:
    """Things by what they are: "the labels 'bug', 'other' and the number '3'"."""
    by_noun: dict[str, list[str]] = {}
    for each in commitments:
        noun = "heading" if each.kind == "label" and each.text.endswith(":") else _NOUNS[each.kind]
        by_noun.setdefault(noun, []).append(each.text)
    parts = []
    for noun, texts in by_noun.items():
        plural = "" if len(set(texts)) == 1 or noun in _UNCOUNTED else "es" if noun.endswith("s") else "s"
        parts.append(f"{f'the {noun}{plural} ' if noun else ''}{listed(texts)}")
    return " and ".join(parts)
