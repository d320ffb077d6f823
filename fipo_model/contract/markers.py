"""Negations and bounds, with what they concern: "do not *explain*", "at least *three*", "except *loop counters*". Pure.

A marker is kept where the other text has one of its class with one of the same words in its scope; a text that says
the same in other words must at least have as many of the class. What a marker concerns, said without one, is a flip.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fipo_model.contract.commitments import Commitment
from fipo_model.contract.numbers import numbers
from fipo_model.contract.reading import Reading, Token, read

_SCOPE = 3  # words with a meaning that a marker is taken to concern
_REACH = 9  # words of any kind within which they must come
_OPPOSITES = {"least": "most", "most": "least", "before": "after", "after": "before"}


@dataclass(frozen=True, slots=True)
class Marker:
    """A negation or a bound, and the stems it concerns, the nearest first."""

    kind: str
    text: str
    span: tuple[int, int]
    scope: tuple[str, ...]

    def as_commitment(self, text: str) -> Commitment:
        """As others see it, with the words that follow."""
        shown = text[self.span[0] : self.span[1] + 25].split("\n")[0].strip()
        return Commitment("negation" if self.kind == "not" else "bound", shown, self.span, f"{self.kind} {self.scope}")


@lru_cache(maxsize=2048)
def _markers(text: str, *, with_equivalents: bool = False) -> tuple[Marker, ...]:
    reading = read(text)
    lowered = text.replace("\u2019", "'")
    values = {number.span[0]: number.value for number in numbers(reading)}
    found: list[Marker] = []
    # Bounds first: "no more than" is one, and no negation.
    kinds = [*(kind for kind in reading.lexicon.markers if kind != "not"), "not"]
    taken: list[tuple[int, int]] = []
    for kind in kinds:
        if (pattern := reading.lexicon.markers.get(kind)) is None:
            continue
        for match in pattern.finditer(lowered):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            found.append(Marker(kind, match[0], match.span(), _scope(reading, match, values)))
    if with_equivalents:
        for kind, pattern in reading.lexicon.equivalents.items():
            for match in pattern.finditer(lowered):
                found.append(Marker(kind, match[0], match.span(), _scope(reading, match, values)))
    return tuple(found)


def markers(reading: Reading) -> tuple[Marker, ...]:
    """The negations and bounds of a text."""
    return _markers(reading.text)


def lost_markers(naive: Reading, rewrite: Reading) -> list[Marker]:
    """Negations and bounds of one text that the other lacks, or has about something else."""
    expected = markers(naive)
    if not expected:
        return []
    found = _markers(rewrite.text, with_equivalents=True)
    plain = Counter(marker.kind for marker in markers(rewrite))
    wanted = Counter(marker.kind for marker in expected)
    lost = []
    for marker in expected:
        same = [other for other in found if other.kind == marker.kind]
        if any(set(marker.scope[:2]) & set(other.scope) or not marker.scope for other in same):
            continue
        # Said in other words: no word of its scope is left, and no marker of the class is missing.
        mentioned = set(marker.scope[:2]) & rewrite.stems
        is_replaced = same and (not mentioned or plain[marker.kind] >= wanted[marker.kind])
        if not is_replaced:
            lost.append(marker)
    return lost


def flipped(naive: Reading, rewrite: Reading) -> list[Marker]:
    """Negations of the rewrite that deny what the naive text says without one; bounds that it has the other way."""
    wanted = markers(naive)
    denied = {stem for marker in wanted if marker.kind == "not" for stem in marker.scope}
    said = {token.stem for token in naive.tokens if token.is_content} - denied
    found = []
    for marker in markers(rewrite):
        nearest = marker.scope[:1]
        if marker.kind == "not" and not denied and _is_right_after(rewrite, marker) and set(nearest) & said:
            found.append(marker)
        opposite = _OPPOSITES.get(marker.kind)
        contradicted = [other for other in wanted if other.kind == opposite and set(other.scope) & set(nearest)]
        if contradicted and not any(other.kind == marker.kind for other in wanted):
            found.append(marker)
    return found


def _is_right_after(reading: Reading, marker: Marker) -> bool:
    """Whether the word it concerns is the very next."""
    after = next((token for token in reading.tokens if token.start >= marker.span[1]), None)
    return after is not None and marker.scope[:1] == (after.stem,)


def _scope(reading: Reading, match: re.Match[str], values: dict[int, str]) -> tuple[str, ...]:
    """The stems that carry meaning, and the numbers, near a marker in its sentence."""
    sentences = [s for s in reading.sentences if s.start <= match.start()]
    tokens: Sequence[Token] = sentences[-1].tokens if sentences else ()
    after = [token for token in tokens if token.start >= match.end()]
    before = [token for token in reversed(tokens) if token.end <= match.start()]
    ordered = before if reading.lexicon.scope_before else after
    ordered = [*ordered[:_REACH]] or before[:_REACH]
    return tuple(_meaning(token, values) for token in ordered if token.is_content or token.start in values)[:_SCOPE]


def _meaning(token: Token, values: dict[int, str]) -> str:
    return values.get(token.start, token.stem)
