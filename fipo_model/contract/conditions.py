"""How many a statement is about, and on which conditions: all or some, either or both, if or so that. Pure."""

import re
from collections.abc import Iterable

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.places import before, behind, has_meaning, is_much_longer
from fipo_model.contract.reading import Reading, Token

_REACH = 5  # words
_FAR = 200  # characters
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
    naive, rewrite = case.naive, case.rewrite
    is_english, is_close = naive.lexicon.code == "en", not is_much_longer(rewrite, naive)
    return (
        (_quantifier_changed(naive, rewrite) if is_close else None)
        or (_joined(naive, rewrite) if is_close and is_english else None)
        or (_purpose_instead(naive, rewrite) if is_english else None)
    )


def _quantifier_changed(naive: Reading, rewrite: Reading) -> str | None:
    expected, found = _quantified(naive), _quantified(rewrite)
    for (kind, of), text in expected.items():
        others = [other for (other_kind, other_of), other in found.items() if other_of == of and other_kind != kind]
        if others and (kind, of) not in found and not any((other, of) in expected for other, _ in found):
            return f"says {others[0]!r} instead of {text!r}"
    return None


def _quantified(reading: Reading) -> dict[tuple[str, str], str]:
    """The words of each quantifier, by its kind and by what it quantifies."""
    quantifiers, is_paired = reading.lexicon.quantifiers, reading.lexicon.directions is not None
    found: dict[tuple[str, str], str] = {}
    for kind, match in quantifiers.find(reading.lowered) if quantifiers else ():
        # "any errors" means all of them, unless the question is whether there are any.
        start = match.start()
        if match[0] == "any" and not _ANY_IN_CONDITION.search(reading.lowered, max(0, start - _FAR), start):
            continue
        words = (token for token in behind(reading, match.end(), _REACH) if is_paired or has_meaning(token, reading))
        if (of := next(words, None)) is not None:
            found.setdefault((kind, of.stem), reading.text[match.start() : of.end])
    return found


def _joined(naive: Reading, rewrite: Reading) -> str | None:
    """ "overdue and unpaid" where either is enough."""
    alternatives = [pair for pair in _around(naive, _OR) if _is_conditional(naive, pair[0])]
    new = _stems(_around(rewrite, _AND)) - _stems(_around(rewrite, _OR)) - _stems(_around(naive, _AND))
    for one, other in alternatives:
        if frozenset([one.stem, other.stem]) in new:
            return f"asks for both {one.text!r} and {other.text!r}"
    return None


def _is_conditional(reading: Reading, token: Token) -> bool:
    """Whether a word belongs to a condition, or to a clause that says which one is meant."""
    sentence = next(each for each in reading.sentences if each.tokens[0].sentence == token.sentence)
    is_question = sentence.text.endswith("?")  # "is what follows true or false?" has labels
    return not is_question and _CONDITION.search(reading.lowered, sentence.start, token.start) is not None


def _around(reading: Reading, word: re.Pattern[str]) -> list[tuple[Token, Token]]:
    """The nearest words of meaning on both sides of a word."""
    pairs = []
    for match in word.finditer(reading.lowered):
        tokens = before(reading, match.start(), _REACH)
        left = next((token for token in reversed(tokens) if has_meaning(token, reading)), None)
        right = next((token for token in behind(reading, match.end(), _REACH) if has_meaning(token, reading)), None)
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
    return f"says {purpose[0]!r} instead of 'if'" if purpose else None
