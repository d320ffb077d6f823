"""Words of a prompt that a rewrite has neither kept nor said in another word. Pure, for languages with synonyms.

A rewrite about as long as its prompt has one word where the prompt has one: "nominated for" became "won", "a soft
texture" a smooth one. A longer one may say the same in many words, and is not checked.
"""

import difflib
from collections.abc import Mapping
from functools import cache

from fipo_model.contract.commitments import Commitment, listed
from fipo_model.contract.coverage import covered, said_otherwise
from fipo_model.contract.lexicon import lexicon_of
from fipo_model.contract.markers import markers
from fipo_model.contract.names import names
from fipo_model.contract.reading import Reading, Token
from fipo_model.contract.stemming import stems_of

_LONGER = 1.5
_ALIKE = 0.6
_WORDS_FOR_ONE_LOST = 8  # of meaning, of which one may go
_PREFIX = 4
_SPARE = 2
_LONGEST = 6


def lost_words(naive: Reading, rewrite: Reading) -> list[Commitment]:
    """Words with a meaning of their own and no counterpart, where there are too many to ignore."""
    if not naive.lexicon.synonyms or len(rewrite.tokens) > _LONGER * len(naive.tokens) + 3:
        return []
    kept = rewrite.stems | said_otherwise(naive, rewrite)
    missing = {token.stem: token for token in naive.tokens if token.is_content and token.stem not in kept}
    lost = [each for each in missing.values() if _has_weight(each, naive) and not _is_said_otherwise(each, rewrite)]
    if lost:
        lost = [token for token in lost if token in _in_their_places(naive, rewrite)]
    if len(lost) <= len(naive.content) // _WORDS_FOR_ONE_LOST:
        return []
    return [Commitment("sentence", naive.text[t.start : t.end], (t.start, t.end), t.stem) for t in lost]


def reworded(naive: Reading, rewrite: Reading) -> str | None:
    """In words, which words of meaning a rewrite lacks, wherever the prompt has them, or brings in.

    One new word in eight is let through, and one in any case.
    """
    if not naive.lexicon.synonyms:
        return None
    if lost := _without_counterpart(naive, rewrite):
        return f"has no word for {listed(lost)}"
    new = _without_counterpart(rewrite, naive)
    return f"adds {listed(new)}" if len(new) > max(1, len(naive.content) // _WORDS_FOR_ONE_LOST) else None


def _without_counterpart(one: Reading, other: Reading) -> list[str]:
    kept = other.stems | said_otherwise(one, other)
    missing = {token.stem: token for token in one.tokens if token.is_content and token.stem not in kept}
    return [each.text for each in missing.values() if _has_weight(each, one) and not _is_said_otherwise(each, other)]


def _has_weight(token: Token, naive: Reading) -> bool:
    """Whether a word has a meaning that no other rule checks, unlike names, numbers and bounds."""
    if not token.text.isalpha() or token.text in naive.lexicon.weightless:
        return False
    spans = [*(name.span for name in names(naive)), *(marker.span for marker in markers(naive))]
    return not any(start <= token.start < end for start, end in spans)


def _in_their_places(naive: Reading, rewrite: Reading) -> set[Token]:
    """Words that were replaced or dropped, between words that both texts have in the same order."""
    before, after = ([token.stem for token in reading.tokens] for reading in (naive, rewrite))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    replaced: set[Token] = set()
    if matcher.ratio() < _ALIKE:
        return replaced
    for change, start, end, new_start, new_end in matcher.get_opcodes():
        if change in ("replace", "delete") and new_end - new_start <= end - start + _SPARE and end - start <= _LONGEST:
            replaced |= set(naive.tokens[start:end])
    return replaced


def _is_said_otherwise(token: Token, rewrite: Reading) -> bool:
    """Whether the rewrite has a synonym, another spelling, or a compound with the word."""
    code = rewrite.lexicon.code or "en"
    if not synonyms(code).get(token.stem, frozenset()).isdisjoint(rewrite.stems):
        return True
    start = token.text[:_PREFIX]
    if len(start) == _PREFIX and any(other.text.startswith(start) for other in rewrite.tokens):
        return True
    return bool(covered(frozenset([token.stem]), rewrite.stems))


def has_synonym(word: str, text: Reading) -> bool:
    """Whether an English text has a word or a synonym of it."""
    stem = stems_of([word], "en")[0]
    return stem in text.stems or not synonyms("en").get(stem, frozenset()).isdisjoint(text.stems)


@cache
def synonyms(code: str, *, related: bool = False) -> Mapping[str, frozenset[str]]:
    """For each stem, the stems of its synonyms and of words that only belong to the same task."""
    lexicon = lexicon_of(code)
    found: dict[str, set[str]] = {}
    for group in lexicon.related if related else lexicon.synonyms:
        stems = set(stems_of(group.split(), code))
        for stem in stems:
            found.setdefault(stem, set()).update(stems)
    return {stem: frozenset(others) for stem, others in found.items()}
