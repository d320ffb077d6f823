"""The alternatives that a text has its reader choose from: "bug, billing or question?", lists of labels. Pure."""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from fipo_model.contract.commitments import Commitment
from fipo_model.contract.labels import is_asked_for, is_closed_question, is_of_a_choice, mentions_choosing
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, Sentence
from fipo_model.contract.variables import without_variables

FEWEST = 3  # of two alternatives one cannot be missing from a choice among several
CONJUNCTIONS = {
    "en": ("or", "and"),
    "de": ("oder", "und"),
    "fr": ("ou", "et"),
    "es": ("o|u", "y|e"),
    "pt": ("ou", "e"),
    "it": ("o|oppure", "e|ed"),
    "nl": ("of", "en"),
    "ru": ("или", "и"),
}
"""The words for "or" and "and" of languages that write spaces around them, as patterns."""
_HASTY = 12  # words of a sentence that hardly says more than its list
_LONGEST_ITEM = 3  # words
_NEAR = 200  # characters
_THIRDS = frozenset("neutral mixed both none neither other unknown unsure unclear maybe".split())
_ANSWERS = frozenset(
    "yes no true false y n right wrong good bad ja nein oui non s\u00ed si no sim n\u00e3o nee".split()
)
_DENYING = frozenset("not no non nicht kein keine pas niet geen n\u00e3o \u043d\u0435".split())
_ARTICLES = frozenset("a an the ein eine einen un une uno una el la le il lo o os as um uma de het een".split())
_NO_CHOICE = frozenset("and or he she his her him an the s er their i.e e.g".split())
_NEGATING = ("un", "in", "im", "ir", "il", "non", "non-", "dis", "not ")
_BOUND = lazy(r"[:([\u2013\u2014][\s\"'\u201c\u2018`*]*$")
END = lazy(r"[\"'\u201d\u2019`*)\]\s]*(?:[.?!;:,\n]|$)")
"""What a list ends before."""
_List = dict[str, tuple[int, int]]
"""Alternatives in their order, and where to look for each."""
_LINE = lazy(r"(?m)^[ \t]*(?:[-*\u2022]|\d+[.)])[ \t]+([^\n:.()\u2013\u2014]{1,40})")


def alternatives(reading: Reading) -> tuple[tuple[str, ...], ...]:
    """Three or more alternatives that a text has its reader choose from, list by list."""
    return tuple(dict.fromkeys(tuple(items) for items in _lists(reading)))


def listed_labels(reading: Reading) -> list[Commitment]:
    """The same with the place of each."""
    return [label for items in _lists(reading) for label in _placed(items, reading)]


def introduced_labels(reading: Reading) -> list[Commitment]:
    """Those of lists after a colon, where the words before it ask to choose: "classify it: spam, ham, unsure"."""
    return [
        label
        for items in _lists(reading)
        if _is_introduced(reading.text[: next(iter(items.values()))[0]])
        for label in _placed(items, reading)
    ]


def _is_introduced(before: str) -> bool:
    line = before.rstrip(" \t\n\"'\u201c\u2018`*\u2022-1.)").rpartition("\n")[2]
    return line.endswith(":") and mentions_choosing(line)


def _placed(items: _List, reading: Reading) -> Iterator[Commitment]:
    at = 0
    for item, (start, end) in items.items():
        # They are in the order of the text, and a short one may recur in what stands between them.
        place = re.compile(rf"(?<!\w){re.escape(item)}(?!\w)").search(reading.lowered, max(start, at), end)
        if place is not None:
            start, at = place.span()
            yield Commitment("label", reading.text[start:at], (start, at), item.replace("-", " "))


def begins_with_choices(reading: Reading, at: int) -> bool:
    """Whether what follows a place of a text is a list of alternatives, which the text before it asks to choose from.

    "Classify this sentence: I like cats, dogs or birds." goes on with a sentence, which has words of grammar.
    """
    if reading.lexicon.code not in CONJUNCTIONS or not mentions_choosing(reading.text[:at]):
        return False
    if _lines(reading) and _LINE.match(reading.text, reading.text.rfind("\n", 0, at) + 1):
        return True
    either, both = CONJUNCTIONS[reading.lexicon.code]
    match = _series(reading.lexicon.code, either).match(reading.text, at)
    if match is None or END.match(reading.text, match.end()) is None:
        return False
    items = re.split(separator(f"{either}|{both}"), match[0], flags=re.IGNORECASE)
    is_several = len(items) >= FEWEST or is_joined_by(either).search(match[0]) is not None
    return is_several and all(_is_phrase(item, reading.lexicon.function) for item in items)


def _is_phrase(item: str, function: frozenset[str]) -> bool:
    """Whether an item is a single word, or words of meaning with at most an article or a negation before them."""
    first, *others = item.strip("\"'\u201c\u201d\u2018\u2019`* ").lower().split()
    if first in _THIRDS or (first, *others) == ("something", "else"):
        return True
    is_open = not others or first not in function or first in _ARTICLES or first in _DENYING
    return is_open and function.isdisjoint(others)


@lru_cache(maxsize=64)
def _lists(reading: Reading) -> list[_List]:
    code = reading.lexicon.code
    if code not in CONJUNCTIONS:
        return []
    found = []
    for sentence, match in _series_of(reading, code):
        span = (sentence.start + match.start(), sentence.start + match.end())
        found.append(dict.fromkeys(_items(reading, match), span))
    return [items for items in (*found, _lines(reading)) if len(items) >= FEWEST]


def _series_of(reading: Reading, code: str) -> Iterator[tuple[Sentence, re.Match[str]]]:
    """Lists of short items to choose from, with the sentences that they are in."""
    either, both = CONJUNCTIONS[code]
    for sentence in reading.sentences:
        text = without_variables(sentence.text)
        is_choice = is_of_a_choice(text)
        is_open = is_choice or is_closed_question(text) or len(sentence.tokens) <= _HASTY
        for match in _series(code, either).finditer(text):
            has_or = is_joined_by(either).search(match[0]) is not None
            # "2, 4, 6, 8" is a sequence.
            is_list = _BOUND.search(_before(match)) is not None and re.search(r"[^\W\d_]", match[0]) is not None
            if (has_or and is_asked_for(text, match, is_choosing=is_choice)) or ((has_or or is_list) and is_open):
                yield sentence, match
        for match in _series(code, both).finditer(text) if is_choice else ():
            yield sentence, match


@cache
def _series(code: str, conjunction: str) -> re.Pattern[str]:
    """Items with commas or slashes between them, or with a conjunction before the last or before each."""
    # Of bounded length and never given back, so that a long run of letters takes no longer than its length.
    word = rf"(?!(?:{'|'.join(CONJUNCTIONS[code])})\b)[^\W_][\w'-]{{0,60}}+"
    mark, closing = r"[\"'\u201c\u2018`*]{0,2}", r"[\"'\u201d\u2019`*]{0,2}"
    item = rf"{mark}{word}(?: {word}){{0,{_LONGEST_ITEM - 1}}}{closing}"
    joined = rf",? (?:{conjunction}) {item}"
    return re.compile(
        rf"{item}(?:(?:, ?{item})+(?:{joined})?|(?:{joined})+|(?: ?/ ?{item})+|(?: ?\| ?{item})+)", re.IGNORECASE
    )


def separator(conjunction: str) -> str:
    """What stands between two items of a list, as a pattern."""
    return rf"(?:,? (?:{conjunction}) |, ?| ?/ ?| ?\| ?)"


@cache
def is_joined_by(conjunction: str) -> re.Pattern[str]:
    """Finds a conjunction, or a slash in its place."""
    return re.compile(rf"(?i)\b(?:{conjunction})\b|[/|]")


def _before(match: re.Match[str]) -> str:
    """What stands before a list, as far as it matters; all of it would make a long text's time grow as its square."""
    return match.string[max(0, match.start() - _NEAR) : match.start()]


def _items(reading: Reading, match: re.Match[str]) -> tuple[str, ...]:
    """The items of a list, without what stands before the first and behind the last."""
    before, function = _before(match), reading.lexicon.function
    between = separator("|".join(CONJUNCTIONS[reading.lexicon.code or "en"]))
    first, *middle, last = re.split(between, match[0], flags=re.IGNORECASE)
    others = [_bare(item, function) for item in middle]
    others.append(_cut(_bare(last, function), function, is_whole=END.match(match.string, match.end()) is not None))
    # "bug report, feature request or question?"
    is_bound = _BOUND.search(before) is not None or (not before.strip() and any(" " in other for other in others))
    item = _bare(first if is_bound else first.split()[-1], function)
    may_be_topic = not is_bound and match[0].startswith(f"{first},") and item not in _THIRDS and not item.isdigit()
    if may_be_topic and (_are_opposite(others, reading) or _ends_a_clause(before + first, function)):
        return tuple(dict.fromkeys(others))
    return () if _NO_CHOICE.intersection((item, *others)) else tuple(dict.fromkeys((item, *others)))


def _cut(item: str, function: frozenset[str], *, is_whole: bool) -> str:
    """A list's last item, without what goes on behind it: "question" of "question about us"."""
    words = item.split()
    length = next((index for index, word in enumerate(words) if index and word in function), len(words))
    return " ".join(words[: length if is_whole or length < len(words) else 1])


def _ends_a_clause(text: str, function: frozenset[str]) -> bool:
    """Whether what stands before a list's first comma is more than an item: "what has wings here, bird or insect"."""
    *before, _ = text.split()
    return bool(before) and before[-1].lower() not in function and not is_of_a_choice(before[-1])


def _are_opposite(items: Sequence[str], reading: Reading) -> bool:
    """Whether these are all there is, so that what stands before them is no third: "tweet, positive or negative?"."""
    if len(items) != 2:
        return False
    short, long = sorted(items, key=len)
    if set(items) <= _ANSWERS or "not" in items or any(long == f"{prefix}{short}" for prefix in _NEGATING):
        return True
    opposites = reading.lexicon.opposites
    sides = {side for side, _ in opposites.find(" ".join(items))} if opposites else set()
    return any(f"{side[:-1]}-" in sides for side in sides if side.endswith("+"))


def _bare(item: str, function: frozenset[str]) -> str:
    """An item in lower case, without an article or other words of grammar before it, if it is more than those.

    "not sure" is the opposite of "sure".
    """
    words = item.strip("\"'\u201c\u201d\u2018\u2019`* ").lower().split()
    start = next((index for index, word in enumerate(words) if word not in function or word in _DENYING), 0)
    return " ".join(words[start:])


def _lines(reading: Reading) -> _List:
    """The items of a list in lines, where a sentence before it is about choosing."""
    lines = list(_LINE.finditer(reading.text))
    if len(lines) < FEWEST or not is_of_a_choice(reading.text[: lines[0].start()]):
        return {}
    items = {_bare(line[1], reading.lexicon.function): line.span(1) for line in lines}
    return items if all(len(item.split()) <= _LONGEST_ITEM for item in items) else {}
