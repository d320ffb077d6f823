"""What a text commits its reader to, as data. Pure."""

from collections import Counter
from collections.abc import Iterable
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


def invented(commitments: Iterable[Commitment]) -> str | None:
    """What a rewrite brings in that nobody gave, in words; None if there is nothing."""
    found = [each.text for each in commitments]
    return f"invented {listed(found)}" if found else None
