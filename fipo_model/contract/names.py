"""Names: capitals inside a sentence, abbreviations, words with digits; and languages by their names. Pure."""

import json
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

from fipo_model.contract.blanking import blanked
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.languages import CASED
from fipo_model.contract.lexicon import lexicon_of
from fipo_model.contract.numbers import numbers
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, Token
from fipo_model.contract.stemming import stems_of

_OPENING = lazy(r"[:|\n\"'\u201c\u2018\u00ab(\[*_>#\u2022-]\s*$|^\s*$")  # after which a capital says nothing
_ROMAN = {"i": "1", "v": "5", "ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
_LONG_ABBREVIATION = 4
_NO_LATIN = lazy(r"\bpig[ -]$")
_LATIN_SCRIPT = lazy(r" (?:alphabet|letters?|characters?|script|names?)\b")
# Languages that capitalize every noun, so that a capital does not show a name.
_CAPITAL_NOUNS = frozenset({"de", "lb", "als", "bar"})
# Names of languages by the language that they are in, from CLDR (https://cldr.unicode.org, Unicode License v3).
_FILE = Path(__file__).parent / "language_names.json"


@lru_cache(maxsize=128)
def names(reading: Reading, *, with_headings: bool = True) -> list[Commitment]:
    """Names, as far as capitals, abbreviations and digits show them.

    In a heading every word has a capital. Such words may not be lost, but they show little of what is new.
    """
    if reading.language.script not in (*CASED, None):
        return _foreign_names(reading)
    text = blanked(reading)
    found = []
    dated = {place for number in numbers(reading) if " " in number.value for place in range(*number.span)}
    for sentence in reading.sentences:
        words = [(token, reading.text[token.start : token.end]) for token in sentence.tokens]
        # A word in small letters is not a name.
        candidates = [
            (token, word)
            for token, word in words
            if word != token.text and text[token.start] != " " and token.start not in dated
        ]
        if candidates and not with_headings and _is_title(sentence.text, [word for _, word in words]):
            continue
        for token, word in candidates:
            if _is_name(token, word, reading, is_first=token is sentence.tokens[0]):
                found.append(Commitment("name", word, (token.start, token.end), token.stem))
    return found


def _foreign_names(reading: Reading) -> list[Commitment]:
    """In a script without capitals: words in Latin letters."""
    text = blanked(reading)
    return [
        Commitment("name", reading.text[token.start : token.end], (token.start, token.end), token.stem)
        for token in reading.tokens
        if token.text.isascii() and token.text.isalnum() and not token.text.isdigit() and len(token.text) > 1
        if text[token.start] != " "
    ]


def _is_title(sentence: str, words: list[str]) -> bool:
    """Whether a line has capitals because it is a heading or shouted; not "Write it in Python."."""
    if sentence.endswith(".") and not sentence.isupper() and len(words) - sum(word[0].isupper() for word in words) > 1:
        return False
    long = [word for word in words if word[0].isalpha() and len(word) > 3]
    return len(long) > 1 and all(word[0].isupper() for word in long)


def _is_name(token: Token, word: str, reading: Reading, *, is_first: bool) -> bool:
    if not word[0].isalnum() or len(word) < 2 or word.isdigit():
        return False
    letters = [character for character in word.removesuffix("s") if character.isalpha()]
    is_abbreviation = len(letters) > 1 and sum(map(str.isupper, letters)) > 1
    if any(map(str.isdigit, word)):
        return word[0].isalpha() and word[0].isupper()
    if token.text in reading.lexicon.common or "'" in token.text:
        return False
    if is_abbreviation:
        return True
    if len(word) < _LONG_ABBREVIATION and reading.text[token.end : token.end + 2] in (". ", ".\n"):
        return False  # "Mt. Everest", "Dr. Who"
    if is_first or not word[0].isupper() or reading.language.likely in _CAPITAL_NOUNS:
        return False
    return not _OPENING.search(reading.text[max(0, token.start - 4) : token.start])


def is_heading(name: Commitment, reading: Reading) -> bool:
    """Whether a name stands in the heading of a line: "1. Profile Picture: ..."."""
    line = reading.text[: name.span[0]].rpartition("\n")[2]
    rest = reading.text[name.span[1] :].partition("\n")[0]
    return (len(line.split()) < 5 and ":" in rest[:40] and ":" not in line) or bool(
        re.match(r"^\W*+(?:\d+[.)]\W*+)?\w* ?$", line) and len(rest.split()) < 3
    )


def missing_names(expected: Sequence[Commitment], rewrite: Reading) -> list[Commitment]:
    """Names that a text lacks, even spelled out or abbreviated."""
    absent = [name for name in expected if name.key not in rewrite.stems and not _is_spelled_out(name, rewrite)]
    if not absent:
        return []
    heard = {_sound(token.text) for token in rewrite.tokens}
    absent = [name for name in absent if _sound(name.text.lower()) not in heard]
    short = abbreviated(list(expected), rewrite)
    return [name for name in absent if name.key not in short]


def _sound(word: str) -> str:
    """A name by its sound rather than its spelling: Dekkan and Deccan are one."""
    return re.sub(r"(.)\1", r"\1", re.sub("ck|c(?![eiyh])|q(?!u)", "k", word.replace("ph", "f")))


def _is_spelled_out(name: Commitment, rewrite: Reading) -> bool:
    """Whether consecutive words of a text begin with an abbreviation's letters: WW2 and "World War II"."""
    letters = name.text.lower()
    wanted = letters.removesuffix("s") if name.text.endswith("s") and len(letters) > 2 else letters
    if len(wanted) < 2 or not name.text[:2].isupper():
        return False
    initials = "".join(_ROMAN.get(token.text, token.text[0]) for token in rewrite.tokens)
    return wanted in initials


def abbreviated(found: Sequence[Commitment], rewrite: Reading) -> frozenset[str]:
    """The keys of names that a text abbreviates: "World War II" where it has WW2 or WWII."""
    short = {t.text for t in rewrite.tokens if len(t.text) > 1 and rewrite.text[t.start : t.start + 2].isupper()}
    kept: set[str] = set()
    for start in range(len(found)):
        run = [found[start]]
        for name in found[start + 1 : start + 6]:
            if name.span[0] - run[-1].span[1] > 5:
                break
            run.append(name)
            initials = ("".join(part(each.text.lower()) for each in run) for part in (_initial, _numeral))
            if any(each in short for each in initials):
                kept |= {each.key for each in run}
    return frozenset(kept)


def _initial(word: str) -> str:
    return word if word in _ROMAN else word[0]


def _numeral(word: str) -> str:
    return _ROMAN.get(word, word[0])


@lru_cache(maxsize=64)
def named_languages(reading: Reading) -> list[Commitment]:
    """Languages that a text names, in its own language or in English, by their ISO 639 codes."""
    known = _language_names(reading.lexicon.code)
    found = []
    if reading.lexicon.code in ("zh", "ja", "ko"):
        for name, code in known.items():
            at = reading.text.find(name)
            if at >= 0:
                found.append(Commitment("language", name, (at, at + len(name)), code))
    for token in reading.tokens:
        named = known.get(token.text) or known.get(token.stem)
        if named is not None and not _is_other_word(token, reading):
            found.append(Commitment("language", token.text, (token.start, token.end), named))
    return found


def _is_other_word(token: Token, reading: Reading) -> bool:
    """Whether a word does not mean the language: "polish the text" (no capital), Pig Latin, Latin letters."""
    word = reading.text[token.start : token.end]
    if token.text == "latin" and (
        _NO_LATIN.search(reading.lowered[: token.start]) or _LATIN_SCRIPT.match(reading.lowered, token.end)
    ):
        return True
    return word in ("polish", "pole", "no", "la", "is", "even", "latin")


@cache
def _language_names(code: str | None) -> dict[str, str]:
    """Names of languages to their codes, as words and as stems."""
    named: dict[str, dict[str, str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    names: dict[str, str] = {}
    for locale in dict.fromkeys(("en", code or "en")):
        spelled = {name: each for each, name in named.get(locale, {}).items()}
        spelled |= lexicon_of(locale).language_names
        single = {word: each for word, each in spelled.items() if " " not in word}
        names |= single
        if locale not in ("zh", "ja", "ko"):
            stems = stems_of(list(single), locale)
            names |= {stem: each for stem, each in zip(stems, single.values(), strict=True) if len(stem) > 3}
    return names
