"""Of how many something is said, and on which conditions: all or some, either or both, if or so that. Pure."""

import re
from collections.abc import Iterable

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, Token

_REACH = 5
_CONDITION = lazy(r"\b(?:that|which|who|whose|where|when|whenever|if|unless)\b")
_ANY_IN_CONDITION = lazy(r"\b(?:where|when|whenever|if|unless|whose|in which)\b[^.;!?\n]*$")
_OR, _AND = lazy(r"\bor\b"), lazy(r"\band\b")
_IF = lazy(r"(?<!as )(?<!see )(?<!check )(?<!know )(?<!decide )(?<!tell me )(?<!determine )\bif\b")
_SO_THAT = lazy(r"\b(?:so (?:that|it|they|he|she)|such that|in order (?:to|that))\b")
_CONDITIONAL = lazy(
    r"\b(?:if|when|whenever|where|wherever|unless|in case|should|provided|whether|any|only|as long as|for"
    r"|that (?:is|are))\b"
)


def condition_changed(case: Case) -> str | None:
    """Another quantifier, both conditions where one is enough, or a purpose where there was a condition."""
    if case.is_addition:
        return None
    if (changed := _quantifier_changed(case.naive, case.rewrite)) is not None:
        return changed
    if case.naive.lexicon.code != "en":
        return None
    return _joined(case.naive, case.rewrite) or _purpose_instead(case.naive, case.rewrite)


def _quantifier_changed(naive: Reading, rewrite: Reading) -> str | None:
    expected, found = _quantified(naive), _quantified(rewrite)
    for (kind, of), text in expected.items():
        others = [other for (other_kind, other_of), other in found.items() if other_of == of and other_kind != kind]
        if others and (kind, of) not in found and not any((other, of) in expected for other, _ in found):
            return f"says {others[0]!r} for {text!r}"
    return None


def _quantified(reading: Reading) -> dict[tuple[str, str], str]:
    """The words of each quantifier by its kind and by what it quantifies."""
    quantifiers = reading.lexicon.quantifiers
    found: dict[tuple[str, str], str] = {}
    for kind, match in quantifiers.find(reading.lowered) if quantifiers else ():
        # "any errors" are all of them, unless it is asked whether there are any.
        if match[0] == "any" and not _ANY_IN_CONDITION.search(reading.lowered, 0, match.start()):
            continue
        behind = [token for token in reading.tokens if token.start >= match.end()]
        of = next((token for token in behind[:_REACH] if _has_meaning(token, reading)), None)
        if of is not None:
            found.setdefault((kind, of.stem), reading.text[match.start() : of.end])
    return found


def _joined(naive: Reading, rewrite: Reading) -> str | None:
    """ "overdue and unpaid" where either is enough."""
    alternatives = [pair for pair in _around(naive, _OR) if _CONDITION.search(naive.lowered, 0, pair[0].start)]
    both = _stems(_around(rewrite, _AND))
    for one, other in alternatives:
        pair = frozenset([one.stem, other.stem])
        if pair in both and pair not in _stems(_around(rewrite, _OR)) and pair not in _stems(_around(naive, _AND)):
            return f"asks for both {one.text!r} and {other.text!r}"
    return None


def _around(reading: Reading, word: re.Pattern[str]) -> list[tuple[Token, Token]]:
    """The nearest words of meaning at both sides of a word."""
    pairs = []
    for match in word.finditer(reading.lowered):
        before = [token for token in reading.tokens if token.end <= match.start()][-_REACH:]
        behind = [token for token in reading.tokens if token.start >= match.end()][:_REACH]
        left = next((token for token in reversed(before) if _has_meaning(token, reading)), None)
        right = next((token for token in behind if _has_meaning(token, reading)), None)
        if left is not None and right is not None:
            pairs.append((left, right))
    return pairs


def _stems(pairs: Iterable[tuple[Token, Token]]) -> set[frozenset[str]]:
    return {frozenset([one.stem, other.stem]) for one, other in pairs}


def _purpose_instead(naive: Reading, rewrite: Reading) -> str | None:
    condition = _IF.search(naive.lowered)
    if condition is None or _SO_THAT.search(naive.lowered) or _CONDITIONAL.search(rewrite.lowered):
        return None
    purpose = _SO_THAT.search(rewrite.lowered)
    return f"says {purpose[0]!r} for 'if'" if purpose else None


def _has_meaning(token: Token, reading: Reading) -> bool:
    return token.is_content or (token.text not in reading.lexicon.function and not reading.lexicon.particles)
