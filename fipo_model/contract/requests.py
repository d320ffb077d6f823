"""What a request is for, in ways that its words alone do not show: an idea or the thing itself, you or I. English.

A rewrite may keep nearly all words of its prompt and still ask for something else: "Give an idea for a garden" becomes
"Create a garden", "You should tell the story" becomes "I should tell the story".
"""

import re
from collections.abc import Iterator

from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading
from fipo_model.contract.wording import has_synonym

# What is asked for, where it is not the thing itself.
_ITEM = lazy(
    r"\b(?:give|provide|come up with|suggest|list|write|generate|make|create|think of|name|offer)\b(?: me| us)?"
    r"(?: (?:an?|some|the|\d+|two|three|four|five|ten|several|a few|a list of))?(?: [\w'-]+){0,3}?"
    r" (?P<item>ideas?|questions?|quer(?:y|ies)|titles?|names?|topics?|reasons?|slogans?|headlines?|captions?|tips"
    r"|suggestions|recommendations|facts|quotes|jokes|riddles|excuses|hints?|arguments)\b"
)
_WORK = lazy(
    r"\b(?:write|create|make|draft|compose|generate|prepare|give|develop|produce|provide)\b(?: me| us)?"
    r"(?: (?:an?|the|some))?(?: [\w'-]+){0,3}? (?P<item>guide|tutorial|article|essay|poem|story|e-?mail|letter"
    r"|speech|script|song|review|report|summary|plan|outline|dialogue|conversation|code|program|recipe|haiku|limerick|tweet|slide"
    r"|resume|description|proposal|joke|quiz|template)\b"
)
# A superlative about one thing may not move to another.
_SUPERLATIVE = lazy(
    r"(?<!at )\b(?:(?:most|least) [a-z]+|best|worst"
    r"|(?!(?:int|sugg|requ|for|hon|lat|harv|cont|inv|mod|prot|dig|arr|gu)est)[a-z]{3,}est)\b"
)
_HIGHEST = lazy(r"\b(?:most|least|best|worst|top|leading|max\w*|min\w*|main|key|chief|primary|[a-z]{3,}est|highly)\b")
_MODAL = lazy(
    r"\b(?P<who>i|you|he|she|they|we)"
    r" (?P<what>(?:should|must|will|would|(?:need|have|am going|are going) to) (?:be able to )?[a-z]+)\b"
)
_OPEN = lazy(
    r"^\W*(?:(?:can|could) you )?(?:please )?"
    r"(?:tell (?:me|us) (?:more )?about|what (?:is|are)|explain|describe|discuss)\b"
)
_MAKING = lazy(r"^\W*(?:please )?(?:design|build|develop|implement|craft|invent|construct|perform|play)\b")
_NEAR = 2  # words
_LONGEST = 120  # words of a prompt that is one request
_HOW_COME = lazy(r"\bhow come\b")
_WHY = lazy(r"\b(?:why|how come|reasons?|causes?|explain|because|makes?)\b")
_SOUGHT = lazy(r"\b(?:how (?:can|do|should|could|to)|solutions?|ways? (?:to|of))\b")
_BY_DOING = lazy(r"\bby (?!default\b|using\b)(?:\w+ly )?\w+ing\b")
_SHOWN = lazy(
    r"\b(?:response|answer|output|reply) (?:should|would|might|could|will|must) (?:look like|be like|read)(?: this)?\W"
)
_VERSUS = lazy(r"\b(?:vs|versus)\b")
_COMPARING = lazy(
    r"\b(?:vs|versus|compar\w+|contrast\w*|differ\w*|distin\w+|better|between|against|over|advantages?|relat\w+|or)\b"
)
_ALTERNATIVES = lazy(
    r"^\W*(?:is|are|was|were|do|does|did|should|can|will|would)\b[^.?!\n]*?"
    r"(?<![a-z])(?P<one>[a-z]++),? or (?:just |simply |only |merely )?(?:an? |the )?(?P<other>[a-z]+)\b[^.!\n]{0,25}\?"
)


def request_lost(naive: Reading, rewrite: Reading) -> str | None:
    """What is lost of a request, in words. Long prompts are not checked, because they ask for several things."""
    if naive.lexicon.code != "en" or len(naive.tokens) > _LONGEST:
        return None
    return next(_losses(naive, rewrite), None)


def _losses(naive: Reading, rewrite: Reading) -> Iterator[str]:
    yield from _items_lost(naive, rewrite)
    if (lost := _superlative_lost(naive, rewrite)) is not None:
        yield f"lost {lost!r}"
    if (changed := _person_changed(naive, rewrite)) is not None:
        yield changed
    if _OPEN.search(naive.lowered) and _MAKING.search(rewrite.lowered) and not _MAKING.search(naive.lowered):
        yield "asks to make what your prompt asks about"
    if _HOW_COME.search(naive.lowered) and not _WHY.search(rewrite.lowered):
        yield "does not ask why"
    if _VERSUS.search(naive.lowered) and not _COMPARING.search(rewrite.lowered):
        yield "does not compare"
    for word in _alternatives(naive):
        if not has_synonym(word, rewrite):
            yield f"lost the alternative {word!r}"


def _items_lost(naive: Reading, rewrite: Reading) -> Iterator[str]:
    asked = _ITEM.search(naive.lowered)
    if asked is not None and "?" not in rewrite.text and not has_synonym(asked["item"], rewrite):
        yield f"does not ask for {asked['item']!r}"
    work = _WORK.search(naive.lowered)
    if work is not None and not has_synonym(work["item"], rewrite):
        yield f"does not ask for {work['item']!r}"


def _person_changed(naive: Reading, rewrite: Reading) -> str | None:
    now = {(match["what"], match["who"]) for match in _MODAL.finditer(rewrite.lowered)}
    for said in _MODAL.finditer(naive.lowered):
        others = {who for what, who in now if what == said["what"]}
        if others and said["who"] not in others:
            return f"says {min(others)!r} in {said[0]!r}"
    return None


def _alternatives(naive: Reading) -> list[str]:
    """The choices of a closed question."""
    found = _ALTERNATIVES.search(naive.lowered)
    words = (found["one"], found["other"]) if found is not None else ()
    return [word for word in words if word not in naive.lexicon.function]


def _superlative_lost(naive: Reading, rewrite: Reading) -> str | None:
    """A superlative with the noun behind it, where the rewrite has none, or none of that noun."""
    for said in _SUPERLATIVE.finditer(naive.lowered):
        noun = next((token for token in naive.tokens if token.start >= said.end()), None)
        if _HIGHEST.search(rewrite.lowered) is None:
            return said[0]
        if noun is None or not noun.is_content or not noun.text.isalpha():
            continue
        near = [_next_words(rewrite, found.end()) for found in _HIGHEST.finditer(rewrite.lowered)]
        if has_synonym(noun.text, rewrite) and not any(has_synonym(noun.text, part) for part in near):
            return naive.text[said.start() : noun.end]
    return None


def _next_words(reading: Reading, place: int) -> Reading:
    behind = [token for token in reading.tokens if token.start >= place][:_NEAR]
    return reading.part(reading.text[behind[0].start : behind[-1].end]) if behind else reading.part("")


def answer_built_in(naive: Reading, added: Reading) -> str | None:
    """Where a rewrite itself says how to do the thing in question, or shows what the answer looks like."""
    if naive.lexicon.code != "en" or len(naive.tokens) > _LONGEST:
        return None
    if (shown := _SHOWN.search(added.lowered)) is not None and not _SHOWN.search(naive.lowered):
        return shown[0]
    is_sought = _SOUGHT.search(naive.lowered) is not None
    done = _BY_DOING.search(added.lowered) if is_sought else None
    return done[0] if done is not None and re.search(r"\bby\b", naive.lowered) is None else None
