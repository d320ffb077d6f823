"""A number that contradicts the list beside it: "one of the three categories: network, hardware, account or billing".

Only lists whose items can be counted for sure: short ones, with one conjunction before the last. Pure.
"""

import re
from functools import cache

from fipo_model.contract.alternatives import CONJUNCTIONS, is_joined_by
from fipo_model.contract.numbers import Number, numbers, unit_of
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading

_NOUN = lazy(r"(?: [\w-]+){0,2} (?P<noun>[^\W\d_]{3,})(?P<mark>\s*[:(\[]|\s+[\u2013\u2014-]\s)\s*")
_BULLET = lazy(r"(?m)^([ \t]*)(?:[-*\u2022]|\d+[.)])[ \t]+\S")
# What has parts to be named. Of other things a text may say what they are like: "three ideas: short and cheap".
_HAVING_NAMES = lazy(
    r"(?i)(?:categor|kategori|class|klass|label|etiquet|\u00e9tiquet|parts?$|partes?$|teile?n?$|section|secc|abschnitt"
    r"|group|grup|gruppe|column|spalte|colonne|field|feld|champ|type|typ|tipo|kind|option|key|level|niveau|nivel"
    r"|heading|value|answer|antwort|r\u00e9ponse|respuesta|criteri|aspect|dimension|element|language|status|priorit)"
)
_THE = (
    r"(?:the|these|those|following|one of|each of|diese[nr]?|die|der|les|ces|l'une? des|las|los|estas|estos"
    r"|una de|queste|questi|estes|deze)"
)
_DEFINITE = lazy(rf"(?i)\b{_THE}(?: (?:following|folgenden|suivante?s|siguientes))? $")
_THESE = lazy(r"(?i)\b(?:these|those|following|one of the|diese[nr]?|ces|estas|estos|queste|questi|deze) $")
# How many to choose, or a bound: no count of the list.
_OF_A_CHOICE = lazy(
    r"(?i)\b(?:at least|at most|up to|no more than|more than|fewer than|less than|minimum of|maximum of|exactly|any"
    r"|choose|pick|select|only|first|last|next|other|another|remaining|further|additional|more|about|or|to|and"
    r"|between|top|best|main|name|list|suggest)(?: the)? $|[-\u2013]$"
)
# Lists that are not whole, and parts in whole phrases.
_UNCOUNTABLE = lazy(
    r"(?i)\b(?:etc|and so on|such as|like|e\.g|for (?:example|instance)|among others?|others)\b|\.\.\.|\u2026"
    r"|^(?:first|one|then)\b|\b(?:first|second|next|then|finally) (?:the|an?)\b"
)
# Parts that are no items but about the list: "without any explanation".
_ABOUT_THE_LIST = lazy(
    r"(?i)\W*(?:without|with|in|as|but|not|nothing|then|exactly|only|alone|each|which|whichever|depending|whatever"
    r"|where|if|that|based|according|so|no \w+|for|by|using|written|whose|reply|answer|write|give|use|keep)\b"
)
_END = lazy(r"[.!?](?=\s|$)|\n|$")
_BRACKETED = lazy(r"\([^()]*\)|\[[^\[\]]*\]")
_DASH = lazy(r"\s[\u2013\u2014-]\s|[.!?](?=\s|$)|\n|$")
_CLOSING = {"(": lazy(r"\)"), "[": lazy(r"\]"), **dict.fromkeys("-\u2013\u2014", _DASH)}
_ORDINAL = lazy(r"\d(?:st|nd|rd|th)\b")
_LONGEST_ITEM = 4  # words
_MANY = 4  # parts, the last of which may be a single one: "politics, sports, business, science and technology"


def miscounted(reading: Reading) -> str | None:
    """Which number a list beside it contradicts, in words: "says three, lists 4"."""
    if reading.lexicon.code not in CONJUNCTIONS or not any(mark in reading.text for mark in ":([-\u2013\u2014"):
        return None
    for number in numbers(reading):
        listed = _listed(number, reading)
        if listed is not None and number.value.isdigit() and int(number.value) not in listed:
            return f"says {_bare(number)}, lists {_in_words(listed[0], reading)}"
    return None


def _listed(number: Number, reading: Reading) -> range | None:
    """How many items the list behind a number's noun may have; None where there is none, or it is not counted."""
    # A unit is part of a number's text: "two words".
    noun = _NOUN.match(reading.text, number.span[0] + len(_bare(number)))
    before = reading.lowered[: number.span[0]]
    if noun is None or _ORDINAL.search(number.text) or _OF_A_CHOICE.search(before):
        return None
    if not reading.lexicon.function.isdisjoint(noun[0].lower().split()):
        return None  # "two of the following: ..."
    is_definite = _DEFINITE.search(before) is not None
    if unit_of(noun["noun"]) is not None and _THESE.search(before) is None:
        return None  # "in two sentences: ..." says what they are about
    if not is_definite and _HAVING_NAMES.match(noun["noun"]) is None:
        return None
    listed = _lines(reading.text, noun.end())
    return listed if listed is not None else _items(reading, noun, is_definite=is_definite)


def _in_words(count: int, reading: Reading) -> str:
    return next((word for word, value in reading.lexicon.numbers.items() if value == count), str(count))


def _bare(number: Number) -> str:
    """The number without its unit."""
    words = number.text.split()
    return " ".join(words[:-1]) if len(words) > 1 and unit_of(words[-1]) is not None else number.text


def _lines(text: str, start: int) -> range | None:
    """The lines of a list that begins here, without those inside of one of them."""
    bullets = list(_BULLET.finditer(text, max(0, text.rfind("\n", 0, start))))
    if not bullets or text[start : bullets[0].start(1)].strip() or "\n" not in text[start - 2 : bullets[0].end()]:
        return None
    end = re.compile(r"\n[ \t]*\n").search(text, start + 1)
    own = [each for each in bullets if each[1] == bullets[0][1] and (end is None or each.start() < end.start())]
    return range(len(own), len(own) + 1) if len(own) > 1 else None


def _items(reading: Reading, noun: re.Match[str], *, is_definite: bool) -> range | None:
    body = _body(reading.text, noun)
    if _UNCOUNTABLE.search(body) or ":" in body:
        return None
    first, *more = body.split(";")
    is_described = not is_definite and "," not in first and "/" not in first  # "three options: short and cheap"
    if is_described or (more and "," not in first):
        return None
    return _counted(first.strip(), *CONJUNCTIONS[reading.lexicon.code or "en"])


def _body(text: str, noun: re.Match[str]) -> str:
    """What stands behind a colon or between brackets or dashes, in this sentence, without brackets in it."""
    start, mark = noun.end(), noun["mark"].strip()
    found = (_CLOSING.get(mark) or _END).search(text, start)
    return _BRACKETED.sub("", text[start : found.start()]).strip() if found else ""


def _counted(body: str, either: str, both: str) -> range | None:
    """How many items a list may have: several numbers where a conjunction may belong to an item or end the list."""
    conjunction = f"{either}|{both}"
    if "," not in body and re.search(r"\w ?[/|] ?\w", body):
        slashed = re.split(r"[/|]", body)
        return range(len(slashed), len(slashed) + 1) if all(map(_is_short, slashed)) else None
    parts = [part.strip() for part in body.split(",")]
    joined = next((i for i, part in enumerate(parts) if is_joined_by(conjunction).search(part)), None)
    own = parts[:joined]
    if not all(map(_is_short, own)):
        return None
    about = sum(_ABOUT_THE_LIST.match(part) is not None for part in own)
    if joined is None:
        return range(len(own) - about, len(own) + 1) if len(own) - about > 1 else None
    halves = [half for half in _between(conjunction).split(f" {parts[joined]} ") if half.strip()]
    if len(halves) > 2 or "/" in parts[joined] or not all(map(_is_short, halves)):
        return None
    # What follows goes on about the list, or the conjunction was part of an item.
    goes_on = joined < len(parts) - 1
    most = 2 * len(parts) if goes_on else joined + len(halves)
    may_be_one = len(parts) >= _MANY and not is_joined_by(either).search(parts[joined])
    return range(joined + (1 if may_be_one else len(halves)) - about, most + 1) if most > 1 else None


@cache
def _between(conjunction: str) -> re.Pattern[str]:
    return re.compile(rf"(?i) (?:{conjunction}) ")


def _is_short(item: str) -> bool:
    return 0 < len(item.split()) <= _LONGEST_ITEM
