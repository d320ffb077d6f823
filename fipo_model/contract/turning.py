"""What a rewrite turned into its opposite: advantages into drawbacks, "from low to high" into "from high to low". Pure.

Each language has its pairs in its lexicon (`opposites`), as beginnings of words where these inflect.
"""

import re

from fipo_model.contract.blanking import blanked
from fipo_model.contract.letters import in_lower_case
from fipo_model.contract.lexicon import Lexicon
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading

_GAP = 24  # characters between the two of "from the lowest price to the highest"
_REACH = 30  # characters before a word in which a negation concerns it
# Where an opposite itself is wanted, its word is not a contradiction.
_WANTS_OPPOSITE = lazy(r"\b(?:opposites?|antonyms?|contrary|invert\w*|revers\w+|swap\w*|flip\w*|negat(?:e|ion)|undo)\b")
Match = re.Match[str]
Sides = dict[str, Match]


def turned_around(naive: Reading, rewrite: Reading) -> str | None:
    """The word of the prompt that a full rewrite has replaced by its opposite, and the opposite."""
    before = _found(naive, rewrite.lexicon)
    after = _found(rewrite, rewrite.lexicon) if before else {}
    for one, other in _turned(naive, before, after, rewrite.lexicon):
        return f"turns {one[0]!r} into {other[0]!r}"
    return _direction_turned(before, after, rewrite.lexicon)


def contradicted(naive: Reading, added: Reading) -> str | None:
    """The same for an addition, which must contradict the same thing: "the oldest bridge", "the newest bridge"."""
    before = _found(naive, added.lexicon)
    after = _found(added, added.lexicon) if before else {}
    for one, other in _turned(naive, before, after, added.lexicon):
        if _beside(naive, one) & _beside(added, other):
            return f"says {other[0]!r} where the prompt says {one[0]!r}"
    return _direction_turned(before, after, added.lexicon)


def _turned(naive: Reading, before: Sides, after: Sides, lexicon: Lexicon) -> list[tuple[Match, Match]]:
    """A word that only the prompt has and its opposite that only the rewrite has, neither of them denied."""
    found = []
    for side, one in before.items():
        other_side = _other(side)
        if side in after or other_side in before or other_side not in after:
            continue
        other = after[other_side]
        if not _is_denied(one, lexicon) and not _is_denied(other, lexicon):
            found.append((one, other))
    return [] if found and _WANTS_OPPOSITE.search(naive.lowered) else found


def _found(reading: Reading, lexicon: Lexicon) -> Sides:
    """The first word of each side of each pair."""
    found: Sides = {}
    for side, match in lexicon.opposites.find(in_lower_case(blanked(reading))) if lexicon.opposites else ():
        found.setdefault(side, match)
    return found


def _other(side: str) -> str:
    return side[:-1] + ("-" if side.endswith("+") else "+")


def _is_denied(match: Match, lexicon: Lexicon) -> bool:
    behind = _REACH if lexicon.scope_before else 0
    near = match.string[max(0, match.start() - _REACH) : match.end() + behind]
    return lexicon.markers is not None and any(kind == "not" for kind, _ in lexicon.markers.find(near))


def _beside(reading: Reading, match: Match) -> frozenset[str]:
    """The nearest words of meaning before and after."""
    words = [token for token in reading.tokens if token.is_content]
    before = [token.stem for token in words if token.end <= match.start()][-1:]
    return frozenset([*before, *[token.stem for token in words if token.start >= match.end()][:1]])


def _direction_turned(before: Sides, after: Sides, lexicon: Lexicon) -> str | None:
    """The two ends of "from the oldest to the newest", where the rewrite names them the other way round."""
    for side, start in before.items():
        end = before.get(_other(side))
        if end is None or not _leads(start, end, lexicon) or side not in after or _other(side) not in after:
            continue
        if after[_other(side)].start() < after[side].start():
            return f"reverses the direction from {start[0]!r} to {end[0]!r}"
    return None


def _leads(start: Match, end: Match, lexicon: Lexicon) -> bool:
    gap = start.string[start.end() : end.start()]
    is_near = start.end() <= end.start() and len(gap) <= _GAP
    return is_near and lexicon.leading_to is not None and lexicon.leading_to.search(gap) is not None
