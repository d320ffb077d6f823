"""Does a text ask for something or state something? That distinguishes a prompt from an answer to it. Pure."""

import re

from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, read

# A word and a determiner at the beginning of a sentence make an imperative: "Chronicle the life of bees".
_IMPERATIVE = lazy(
    r"(?:^|[.!:;\n,])[*_#>\s-]{0,99}+(?:\w+ly,? |then |also |first,? |next,? )?"
    r"(?!it\b|this\b|that\b|and\b|or\b|but\b|of\b|for\b|in\b|on\b|at\b|to\b|by\b|with\b"
    r"|from\b|as\b|than\b|if\b|because\b|like\b|not\b|so\b|into\b|over\b|about\b|all\b|here\b|there\b|both\b|while\b|when\b"
    r"|is\b|are\b|was\b|were\b|has\b|have\b|had\b|also\b|then\b|after\b|before\b|during\b|through\b|under\b|without\b"
    r"|using\b|given\b|since\b|among\b|between\b|within\b|across\b|despite\b|what\b|who\b|which\b|why\b|how\b|upon\b|until\b"
    r"|only\b|even\b|just\b|half\b|such\b|many\b|sure\b|yes\b|no\b|where\b|though\b|although\b|unless\b|per\b|via\b"
    r"|[a-z]+(?:ing|ed|s)\b)"
    r"[a-z]{2,} (?:the|a|an|each|all|every|your|my|this|these|those|any|concise|brief|short|clear|on|it|them|me|us)\b",
)
_PRONOUNS = frozenset({"it", "them"})
_ARTICLES = frozenset("a an the one two three four five some".split())
_PREPOSITIONS = frozenset("about of for on in with to from and or between".split())


def asks(text: str | Reading) -> bool:
    """Whether `text` contains a question, an imperative or another form of request, as far as its form shows.

    A bare topic is not recognised, nor is a text in a language without a lexicon. So compare it with the prompt it came
    from before drawing a conclusion.
    """
    reading = _as_reading(text)
    plain = reading.lowered
    pattern = reading.lexicon.asking
    if pattern is None:
        return "?" in plain
    if pattern.search(plain) is not None:
        return True
    return reading.lexicon.code == "en" and _IMPERATIVE.search(plain) is not None


def asks_to_say(reading: Reading) -> bool:
    """Whether it asks for words: a question, or a request to explain, list or write; not "Cool it under water"."""
    pattern, plain = reading.lexicon.saying, reading.lowered
    if pattern is None or pattern.search(plain) is not None:
        return True
    imperatives = _IMPERATIVE.finditer(plain) if reading.lexicon.code == "en" else ()
    verbs_and_objects = (match[0].split()[-2:] for match in imperatives)
    return any(verb not in reading.lexicon.doing and what not in _PRONOUNS for verb, what in verbs_and_objects)


def states(text: str | Reading) -> bool:
    """Whether the form of `text` is that of a statement; False for languages without a lexicon."""
    reading = _as_reading(text)
    pattern = reading.lexicon.stating
    return pattern is not None and pattern.search(reading.lowered) is not None


def names_the_same(naive: Reading, rewrite: Reading) -> bool:
    """Whether the rewrite is a noun phrase for what the naive prompt wants: "A poem about the sea"."""
    if states(rewrite) or not rewrite.sentences:
        return False
    tokens = rewrite.sentences[0].tokens
    opens_like_one = tokens[0].text in _ARTICLES or any(token.text in _PREPOSITIONS for token in tokens[1:2])
    first = [token.stem for token in tokens[:5] if token.is_content]
    return opens_like_one and bool(first) and bool(set(first) & naive.content)


def wants_input(reading: Reading) -> re.Match[str] | None:
    """Where a text asks its reader for the material, as an assistant does when it was given none."""
    words = reading.lexicon.wanting_input
    return next((match for _, match in words.find(reading.lowered)), None) if words else None


def _as_reading(text: str | Reading) -> Reading:
    return read(text) if isinstance(text, str) else text


def asks_in(reading: Reading, start: int, end: int) -> bool:
    """Whether a part of a text asks for something, in the language of the whole."""
    return asks(reading.part(reading.text[start:end]))
