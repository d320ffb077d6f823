"""The words of a language that extractors look for, from one file a language in `lexicons/`. Pure."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fipo_model.contract.letters import LETTER, MARKS
from fipo_model.contract.lookup import Classes
from fipo_model.contract.patterns import lazy

_FOLDER = Path(__file__).parent / "lexicons"
_EDGE = rf"\w{MARKS}"
_WITH_MARKS = frozenset({"ar", "hi"})
_PAIRED = frozenset({"zh", "ja", "ko"})
# Before a number: "max 25 words", "<= 25 words". In "5 min 30 s" they are minutes.
_SHORT_BOUNDS = {
    "least": [r"(?<!\d)(?<!\d )min\.?(?= ?\d)", r"(?:>=|≥)(?= ?\d)"],
    "most": [r"max\.?(?= ?\d)", r"(?:<=|≤)(?= ?\d)"],
}
# Where a request begins: at the beginning of a sentence or a clause, after list and emphasis marks. Not any number of
# these, since most of them begin a clause themselves: a line of dashes would be read once for each dash.
_CLAUSE = (
    r"(?:^|[.!:;,\n>)\]\u2022*#\u3002\uff0c\uff1a\uff01\u060c\u2013\u2014-]|\d[.)])[\s*_\"'`#>\u201c\u00ab(-]{0,99}+"
)
QUESTION = r"[?\u061f\uff1f\u037e]|\u0964?\?"
Patterns = Mapping[str, re.Pattern[str]]


@dataclass(frozen=True)
class Lexicon:
    """The words and phrases of a language; empty for a language that has no file."""

    code: str | None = None
    function: frozenset[str] = frozenset()
    """Articles, pronouns, auxiliaries, prepositions, conjunctions."""
    common: frozenset[str] = frozenset()
    """Those, and words that every prompt has ("write", "please")."""
    particles: frozenset[str] = frozenset()
    """Characters of a script read in pairs that are no part of a content word."""
    markers: Classes | None = None
    """Negations and bounds by class ("not", "least", "only", ...)."""
    equivalents: Patterns = field(default_factory=dict)
    """What may stand for a marker of a class without being one."""
    predicates: frozenset[str] = frozenset()
    """Words behind a negation that make it concern what stands before it: "is not *needed*"."""
    scope_before: bool = False
    """Whether what a marker concerns stands before it, as in Japanese."""
    asking: re.Pattern[str] | None = None
    doing: frozenset[str] = frozenset()
    """Verbs of requests to do something: no request for words ("Put the egg in water")."""
    saying: re.Pattern[str] | None = None
    """Requests to say something, as opposed to do something."""
    stating: re.Pattern[str] | None = None
    """Signs of a statement, such as a copula."""
    wanting_input: Classes | None = None
    opposites: Classes | None = None
    """Words that turn a request around, one in the place of the other; a pair is of the classes "3+" and "3-"."""
    leading_to: re.Pattern[str] | None = None
    """What stands between two ends: "from the oldest *to* the newest"."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    formats: Classes | None = None
    manners: Classes | None = None
    tasks: Classes | None = None
    """What is done to a text that is given, by its own word."""
    task_words: Patterns = field(default_factory=dict)
    """What else may say so."""
    weightless: frozenset[str] = frozenset()
    """Words that a request may go without, though they are no function words."""
    synonyms: tuple[str, ...] = ()
    """Words that often stand for one another in requests, a group in each."""
    operations: frozenset[str] = frozenset()
    """Verbs that begin a task of its own."""
    loose_operations: frozenset[str] = frozenset()
    """Verbs that do so where hardly anything was asked before, and else say how to do it ("explain", "write")."""
    output: frozenset[str] = frozenset()
    """What every task has: an answer, its steps, its reader."""
    related: tuple[str, ...] = ()
    """Words that belong to one task, a group in each: a prompt hints at it with one, and a request says another."""
    short_for: Mapping[str, str] = field(default_factory=dict)
    """What somebody in a hurry types for the names of notations and nations."""
    connectors: Classes | None = None
    """Words whose two sides are not the same: "to", "than", "instead of"."""
    turns: Classes | None = None
    """Words between two clauses whose order counts: "otherwise", "then"."""
    directions: re.Pattern[str] | None = None
    """Both of these where there are no spaces between words."""
    by: re.Pattern[str] | None = None
    """What stands before the key of an order."""
    quantifiers: Classes | None = None
    """Of how many something is said: of all, of some, of most."""
    language_names: Mapping[str, str] = field(default_factory=dict)
    """Names of languages that CLDR does not have, to their codes."""

    @cached_property
    def _known_common(self) -> dict[str, bool]:
        return dict.fromkeys(self.common, True)

    def has_common(self, word: str) -> bool:
        """Whether a word, or the word that it is a form of, is common."""
        known = self._known_common
        if word not in known:
            known[word] = any(word.removesuffix(ending) in self.common for ending in ("s", "ed", "ing", "d"))
        return known[word]

    @property
    def is_known(self) -> bool:
        """Whether there is a file for the language."""
        return self.code is not None


@cache
def lexicon_of(code: str | None) -> Lexicon:
    """The lexicon of a language; the English one where the language is not known, as in "TCP vs UDP"."""
    path = _FOLDER / f"{code or 'en'}.toml"
    if not path.exists():
        return Lexicon()
    return _lexicon(path.stem, tomllib.loads(path.read_text(encoding="utf-8")))


def _lexicon(code: str, words: dict[str, Any]) -> Lexicon:
    function = frozenset(words["function"].split())
    common = function | frozenset(words["common"].split())
    asking = words["asking"]
    doing = set(asking.get("doing", "").split())
    verbs = asking["verbs"].split()
    speaking = [verb for verb in verbs if verb not in doing]
    return Lexicon(
        code=code,
        function=function,
        common=common,
        particles=frozenset(words.get("particles", "")),
        markers=_classes(_most_particular_first(words["markers"]), code),
        equivalents=_all_compiled(words.get("equivalents", {}), code),
        predicates=frozenset(words.get("predicates", "").split()),
        scope_before=words.get("scope_before", False),
        doing=frozenset(doing),
        asking=_asking(verbs, [*asking["phrases"], *asking.get("openings", ())], code),
        saying=_asking(speaking, asking["phrases"], code),
        stating=_compiled(words["stating"], code),
        wanting_input=_classes({"input": words["wanting_input"]}, code),
        opposites=_classes(_by_side(words["opposites"]), code),
        leading_to=_compiled([words["leading_to"]], code),
        numbers=words.get("numbers", {}),
        formats=_classes(words.get("formats", {}), code),
        manners=_classes(words.get("manners", {}), code),
        tasks=_classes(words.get("tasks", {}), code),
        task_words=_all_compiled(words.get("task_words", {}), code),
        weightless=frozenset(words.get("weightless", "").split()),
        synonyms=tuple(words.get("synonyms", ())),
        operations=frozenset(words.get("operations", "").split()),
        loose_operations=frozenset(words.get("loose_operations", "").split()),
        output=frozenset(words.get("output", "").split()),
        related=tuple(words.get("related", ())),
        short_for=words.get("short_for", {}),
        connectors=_classes(words.get("connectors", {}), code),
        turns=_classes(words.get("turns", {}), code),
        directions=_compiled(words["directions"], code) if "directions" in words else None,
        by=_compiled(words["by"], code) if "by" in words else None,
        quantifiers=_classes(words.get("quantifiers", {}), code),
        language_names=words.get("language_names", {}),
    )


def _asking(verbs: Iterable[str], phrases: Iterable[str], code: str) -> re.Pattern[str]:
    # Verbs ask where a clause begins; phrases and question marks wherever they are.
    boundary = "" if code in _PAIRED else rf"(?!{LETTER})"
    adverb = r"(?:\w+ly,? |ever |just |then |also |first,? |next,? ){0,2}" if code == "en" else ""
    at_clause = rf"(?:{_CLAUSE}){adverb}(?:{'|'.join(verbs)}){boundary}"
    return lazy(rf"{QUESTION}|{at_clause}|{_joined(phrases, code)}", re.MULTILINE)


def _classes(table: Mapping[str, Sequence[str]], code: str) -> Classes | None:
    return Classes(table, _edge(code)) if table else None


def _by_side(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    return {f"{place}{side}": [pair["+-".index(side)]] for place, pair in enumerate(pairs) for side in "+-"}


def _most_particular_first(markers: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Negations after bounds, because "never exceed" is one bound; the bounds that are short in every language, too."""
    known = {kind: [*patterns, *_SHORT_BOUNDS.get(kind, ())] for kind, patterns in markers.items()}
    return {kind: known[kind] for kind in sorted(known, key="not".__eq__)}


def _all_compiled(table: Mapping[str, Iterable[str]], code: str) -> dict[str, re.Pattern[str]]:
    return {name: _compiled(patterns, code) for name, patterns in table.items()}


def _compiled(patterns: Iterable[str], code: str) -> re.Pattern[str]:
    return lazy(_joined(patterns, code))


def _joined(patterns: Iterable[str], code: str) -> str:
    """One pattern for many, for text in lower case. It matches whole words where words have spaces between them."""
    joined, edge = "|".join(patterns), _edge(code)
    return rf"(?<!{edge})(?:{joined})(?!{edge})" if edge else joined


def _edge(code: str) -> str:
    """What may not be next to a word."""
    if code in _PAIRED:
        return ""
    return rf"[{_EDGE}]" if code in _WITH_MARKS else r"\w"
