"""Negations and bounds, with what they concern: "do not *explain*", "at least *three*", "except *loop counters*". Pure.

A marker is kept where the other text has one of its class about the same thing, in whatever words of the class. The
same thing without a marker is the opposite.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fipo_model.contract.asking import asks_in
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.numbers import numbers
from fipo_model.contract.patterns import lazy
from fipo_model.contract.places import before as preceding
from fipo_model.contract.places import behind, sentence_at
from fipo_model.contract.reading import Reading, Token

_SCOPE = 3  # how many words of meaning a marker is taken to concern
_NEAREST = 2  # how many of them must recur
_ENDING = 4  # letters
_REACH = 9  # how many words of any kind they must be within
_OPPOSITES = {"least": "most", "most": "least", "before": "after", "after": "before"}
_EXCLUDING = ("not", "except", "only")
# Saying what to do without something denies nothing: "if no answer is found, say so".
_IF_NONE = lazy(
    r"\b(?:if|when|where) (?:there (?:is|are) )?no(?:ne)?\b[\w' -]{0,40}?"
    r"\b(?:found|given|provided|available|exists?|present|appl(?:y|ies)|match\w*|is|are)\b"
)
_BEFORE, _BEHIND = 15, 40
_LEFT_OUT_REACH = 60
_LEFT_OUT = lazy(
    r"\b(?:leav\w+ out|drop\w*|omit\w*|remov\w+|delet\w+|ignor\w+|skip\w*|discard\w*|exclud\w+|filter\w* out|strip\w*)"
    r" (?:all|every(?:thing|one)?|any(?:thing)?|whatever|those|what)(?: \w+){0,2}? ?(?:that|which|who|whatever|what)? ?"
    r"(?:is|are|was|were|does|do|has|have)? ?$"
)
_WHETHER_OR = lazy(r"\b(?:whether|if)\b.* or $")
_ENDS = lazy(r"\s*(?:[.,;:?!)]|$)")
_NO_MATTER = lazy(r"\S+ (?:\w+ ){0,4}(?:concerns?|issue|problem|object|priority|matter|important)\b")
NEGATIVE_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non")


@dataclass(frozen=True, slots=True)
class Marker:
    """A negation or a bound, and the stems it concerns, the nearest first."""

    kind: str
    text: str
    span: tuple[int, int]
    scope: tuple[str, ...]
    """Verbs that every prompt has ("write") among them."""
    topic: str | None
    """The nearest stem that carries meaning of its own."""
    sentence: tuple[int, int]
    """Where its sentence stands."""

    @property
    def bounded(self) -> str | None:
        """The number that it bounds."""
        numbers = (stem for stem in self.scope[:_NEAREST] if stem[-1].isdigit())
        return next(numbers, None) if self.kind != "not" else None

    @property
    def subject(self) -> str | None:
        """What must recur with a marker of the class: the number, the word of meaning, or the next best."""
        return self.bounded or self.topic or (self.scope[0] if self.scope else None)

    @property
    def nearest(self) -> frozenset[str]:
        """What it concerns first of all."""
        return frozenset(self.scope[:_NEAREST] if self.bounded is None else [self.bounded])

    def as_commitment(self, text: str) -> Commitment:
        """The marker as a commitment, with the words that follow it."""
        shown = text[self.span[0] : self.span[1] + 25].split("\n")[0]
        if text[self.span[0] + len(shown) :][:1].isalnum():  # in the middle of a word
            shown = shown[: max(shown.rfind(" "), self.span[1] - self.span[0])]
        shown = shown.strip()
        return Commitment("negation" if self.kind == "not" else "bound", shown, self.span, f"{self.kind} {self.scope}")


def lost_markers(naive: Reading, rewrite: Reading) -> list[Marker]:
    """Negations and bounds of one text that the other lacks, or has about something else."""
    expected = markers(naive)
    if not expected:
        return []
    unmatched = _unmatched(expected, list(markers(rewrite)))
    if not unmatched:
        return []
    found = [*markers(rewrite), *_equivalents(rewrite)]
    unmatched = _unmatched(expected, list(found))
    return [marker for marker in unmatched if not _is_said_otherwise(marker, found, naive, rewrite)]


def _unmatched(expected: Sequence[Marker], free: list[Marker]) -> list[Marker]:
    """The expected markers without a counterpart of their own among others; each of these serves only one."""
    # In groups that are alike: a text that says "not" a thousand times has a million pairs.
    groups: dict[str, dict[object, list[Marker]]] = {}
    for other in free:
        groups.setdefault(other.kind, {}).setdefault((other.scope, other.topic), []).append(other)
    unmatched = []
    for marker in expected:
        of_kind = groups.get(marker.kind, {})
        same = [group for group in of_kind.values() if _concern_the_same(marker, group[0])]
        if not same:
            unmatched.append(marker)
            continue
        chosen = max(same, key=lambda group: len(set(group[0].scope) & set(marker.scope)))
        taken = chosen.pop()
        if not chosen:
            del of_kind[taken.scope, taken.topic]
    return unmatched


def _concern_the_same(marker: Marker, other: Marker) -> bool:
    if marker.subject is None or not other.scope or marker.subject in other.scope:
        return True
    if marker.kind == "only" and len(set(marker.scope) & set(other.scope)) > 1:
        return True  # "should only contain the ids" and "should contain only the ids"
    # Where all words are those of any prompt ("only use the text"), any of them may recur.
    return marker.topic is None and marker.bounded is None and not set(marker.scope).isdisjoint(other.scope)


def _is_said_otherwise(marker: Marker, found: Sequence[Marker], naive: Reading, rewrite: Reading) -> bool:
    """Whether one marker does the work of two, a prefix does ("unsafe"), or nothing is left of its scope."""
    if marker.kind == "not" and _is_prefixed(marker, rewrite):
        return True
    expected = markers(naive)
    of_kind = [other for other in found if other.kind == marker.kind]
    is_mentioned = marker.subject is None or marker.subject in rewrite.stems
    is_background = not asks_in(naive, *marker.sentence) or _frees(marker, naive)
    if marker.kind == "not" and not is_mentioned and is_background:
        # "I have not been there": background that went with its sentence, which is counted elsewhere.
        return True
    if any(_concern_the_same(marker, other) for other in of_kind):
        # "Do not use X. Do not use Y." has become "Do not use X or Y."
        return sum(other.kind == marker.kind and other.topic == marker.topic for other in expected) == 1
    wanted = sum(other.kind == marker.kind for other in expected)
    return len(of_kind) >= wanted and not is_mentioned


def _frees(marker: Marker, naive: Reading) -> bool:
    """Whether it says that something does not matter ("time is not one of my concerns"), which binds nobody."""
    return _NO_MATTER.match(naive.lowered, marker.span[0]) is not None


def _is_prefixed(marker: Marker, rewrite: Reading) -> bool:
    return any(
        token.text.startswith(prefix) and token.text[len(prefix) :].startswith(stem[:5])
        for stem in marker.scope[:_NEAREST]
        for token in rewrite.tokens
        for prefix in NEGATIVE_PREFIXES
    )


def flipped(naive: Reading, rewrite: Reading) -> list[Marker]:
    """Negations of the rewrite that deny what the naive text says without one, and bounds that it reverses."""
    wanted = markers(naive)
    denied = {stem for marker in wanted if marker.kind in ("not", "except") for stem in marker.scope}
    said = {token.stem for token in naive.tokens if token.is_content} - denied
    found = []
    for marker in markers(rewrite):
        if _IF_NONE.search(rewrite.lowered[max(0, marker.span[0] - _BEFORE) : marker.span[1] + _BEHIND]):
            continue
        if _denies_nothing(marker, rewrite):
            continue
        is_next = _is_next(marker, naive, rewrite)
        if marker.kind == "not" and (_is_inserted(marker, naive, rewrite) or (marker.topic in said and is_next)):
            found.append(marker)
        opposite = _OPPOSITES.get(marker.kind)
        contradicted = [other for other in wanted if other.kind == opposite and other.nearest & marker.nearest]
        if contradicted and not any(other.kind == marker.kind and other.nearest & marker.nearest for other in wanted):
            found.append(marker)
    return found


def _denies_nothing(marker: Marker, rewrite: Reading) -> bool:
    """Whether a negation repeats something ("drop all that is not a letter") or leaves both open ("valid or not")."""
    before = rewrite.lowered[max(0, marker.span[0] - _LEFT_OUT_REACH) : marker.span[0]]
    if _LEFT_OUT.search(before):
        return True
    return _WHETHER_OR.search(before) is not None and _ENDS.match(rewrite.lowered, marker.span[1]) is not None


def contradicted(naive: Reading, added: Reading) -> list[Marker]:
    """Negations and exceptions of a prompt whose words an addition repeats without them."""
    wanted = markers(naive)
    again = [other for other in markers(added) if other.kind in _EXCLUDING]
    otherwise = _equivalents(added) if wanted else ()
    found = []
    for marker in wanted:
        scope = set(marker.scope)
        said_again = scope & added.stems
        is_said_again = len(said_again) > 1 and said_again >= marker.nearest
        kin = [*again, *(other for other in otherwise if other.kind == marker.kind)]
        is_kept = any(scope & set(other.scope) or other.kind == marker.kind == "only" for other in kin)
        is_contrary = is_said_again and not is_kept and not _is_about_the_speaker(marker, naive)
        if marker.kind in _EXCLUDING and (is_contrary or _is_deleted(marker, naive, added)):
            found.append(marker)
    return found


def _is_about_the_speaker(marker: Marker, reading: Reading) -> bool:
    """ "I haven't written one yet" forbids nothing."""
    before = [token for token in sentence_at(reading, marker.span[0]) if token.start < marker.span[0]]
    return any(token.text in ("i", "we", "my") for token in before[-4:])


def _is_deleted(marker: Marker, naive: Reading, added: Reading) -> bool:
    """Whether the words around a negation are side by side."""
    before, after = preceding(naive, marker.span[0], 1), behind(naive, marker.span[1], 1)
    if not before or not after or before[0].sentence != after[0].sentence or marker.kind != "not":
        return False
    return f" {before[0].text} {after[0].text} " in added.words


def _is_inserted(marker: Marker, naive: Reading, rewrite: Reading) -> bool:
    """Whether the prompt has the words around a negation, side by side."""
    before, after = preceding(rewrite, marker.span[0], 1), behind(rewrite, marker.span[1], 1)
    if not before or not after or before[0].sentence != after[0].sentence:
        return False
    pair = f" {before[0].text} {after[0].text} "
    return naive.words.count(pair) > rewrite.words.count(pair)


def _is_next(marker: Marker, naive: Reading, rewrite: Reading) -> bool:
    """Whether the thing denied follows the negation, directly or after a common verb, and the prompt says it."""
    after = behind(rewrite, marker.span[1], 2)
    if after and after[0].text in rewrite.lexicon.predicates:
        return True
    denied = [token for token in after if token.stem == marker.topic]
    # Words with one stem may still differ: parallel lines and a parallelogram.
    lengths = [len(token.text) for token in naive.tokens if token.stem == marker.topic]
    return any(abs(len(token.text) - length) <= _ENDING for token in denied for length in lengths)


@lru_cache(maxsize=64)
def markers(reading: Reading) -> tuple[Marker, ...]:
    """The negations and bounds of a text."""
    found: list[Marker] = []
    if reading.lexicon.markers is None:
        return ()
    # The first match counts: "no more than" is a bound, neither a negation nor the bound "more than".
    for kind, match in reading.lexicon.markers.find(reading.lowered):
        if not found or match.start() >= found[-1].span[1]:
            found.append(_marker(kind, match, reading))
    return tuple(found)


@lru_cache(maxsize=64)
def _equivalents(reading: Reading) -> tuple[Marker, ...]:
    found = [
        _marker(kind, match, reading)
        for kind, pattern in reading.lexicon.equivalents.items()
        for match in pattern.finditer(reading.lowered)
    ]
    taken = {place for marker in markers(reading) for place in range(*marker.span)}
    # A word that only implies a marker concerns the words near it; part of a marker is not a marker ("no *less* than").
    return tuple(replace(m, scope=m.scope[:_NEAREST]) for m in found if taken.isdisjoint(range(*m.span)))


def _marker(kind: str, match: re.Match[str], reading: Reading) -> Marker:
    """The marker with the stems of meaning and the numbers near it in its sentence."""
    values = _values(reading)
    tokens = sentence_at(reading, match.start())
    after = tokens[bisect_left(tokens, match.end(), key=lambda token: token.start) :][:_REACH]
    before = tokens[: bisect_right(tokens, match.start(), key=lambda token: token.end)][: -_REACH - 1 : -1]
    is_about_what_precedes = reading.lexicon.scope_before or (after and after[0].text in reading.lexicon.predicates)
    ordered = (before if is_about_what_precedes else after) or before
    near = [token for token in ordered if _has_meaning(token, reading) or token.start in values]
    near = near or [token for token in before if _has_meaning(token, reading)]
    scope = tuple(values.get(token.start, token.stem) for token in near[:_SCOPE])
    topic = next((values.get(token.start, token.stem) for token in near[:_SCOPE] if token.is_content), None)
    sentence = (tokens[0].start, tokens[-1].end) if tokens else match.span()
    return Marker(kind, match[0], match.span(), scope, topic, sentence)


@lru_cache(maxsize=64)
def _values(reading: Reading) -> Mapping[int, str]:
    """The numbers of a text by the places at which they begin."""
    return {number.span[0]: number.value for number in numbers(reading)}


def _has_meaning(token: Token, reading: Reading) -> bool:
    return token.is_content or (
        token.text not in reading.lexicon.function and reading.lexicon.code not in ("zh", "ja", "ko")
    )
