"""Alternatives that a rewrite or an addition leaves out: "a bug or a question" for "bug, billing or question?". Pure.

The alternatives are those that the prompt lists, or the right outputs shown. Naming none of them is fine, and so is
saying more about some. Only a choice among several that lacks others is none of the user's.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache

from fipo_model.contract.alternatives import CONJUNCTIONS, END, FEWEST, alternatives, is_joined_by, separator
from fipo_model.contract.case import Case
from fipo_model.contract.commitments import listed
from fipo_model.contract.labels import SHORTEST_ABBREVIATION, is_of_a_choice
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, Token
from fipo_model.contract.shown import choices_shown
from fipo_model.contract.stemming import stems_of

# What makes an enumeration in a request one to choose from.
_CHOOSES = lazy(
    r"\b(?:whether|either|choos\w+|pick\w*|select\w*|answer\w*|respond\w*|repl(?:y|ies)|return\w*|give|output\w*"
    r"|write|print|put|say|state|tell|decid\w+|determin\w+|judg\w+|name|indicat\w+|identif\w+|check|assess\w*|assign\w*"
    r"|sort|mark|tag|mean|one of|between|among|which|is (?:it|this|that|the)|are (?:they|these|those|the)"
    r"|ob|entweder|zwischen|antwort\w*|nenn\w*|schreib\w*|gib|entscheid\w*|sag\w*|wähl\w*"
    r"|entre|soit|répond\w*|écri\w*|choisi\w*|indiqu\w*|dis|respond\w*|escrib\w*|elig\w*|escrev\w*|escolh\w*"
    r"|rispond\w*|scriv\w*|scegli\w*|antwoord\w*|schrijf|kies|ответ\w*|выбер\w*)\b"
)
_BARE = lazy(r"(?:^|[:([])[\s\"'\u201c\u2018`*]*(?:an? |the )?$")
_OPENED = lazy(
    r"(?:\b(?:one of|between|among)(?: the \w+)?\b[^.]{0,20}"
    r"|\b(?:categories|classes|groups|kinds|labels|options|choices|alternatives|tags|teams|topics|types)\b[^.]{0,12}"
    r"|[:(]\s*[\"'\u201c\u2018`*]*)$"
)
# "Decide if it is a bug" is no condition.
_IF_IS_WHETHER = lazy(
    r"\b(?:decid\w+|judg\w+|determin\w+|check\w*|tell|say|see|state|find out|identify|assess|answer|indicate|ask)"
    r"(?: me| us)? if\b"
)
# A condition, a rule for ties, or some of the labels as an illustration.
_ON_CONDITION = lazy(
    r"\b(?:if|when\w*|where\w*|unless|in case|in doubt|unsure|unclear|not sure|otherwise|both|even|regardless|no matter"
    r"|irrespective|ignor\w+|rather|prefer\w*|instead|such as|like|e\.g|for (?:example|instance)|as in|examples?"
    r"|wenn|falls|sonst|sinon|etwa|cuando)\b|^\W*for\b|\bsi\b"
)
_ON_CONDITION_BEHIND = lazy(r"^[^.,;:?!\n]*\b(?:if|when|unless|in case|rather|wenn|falls)\b")
_DENIED = lazy(r"(?:\b(?:not|never|no|without|nor|neither|except|than)|n't)\b(?: [\w-]+){0,4}\W*$")

_Group = tuple[frozenset[str], ...]
"""Alternatives, each by the words that tell it from the others."""


def narrowed(case: Case) -> str | None:
    """The alternatives that a choice in the rewrite lacks, in words."""
    for named in (*alternatives(case.naive), *_of_examples(case)):
        group = _told_apart(named, case.naive)
        if _lacking(group, case.naive):
            continue  # the prompt itself is about these only, in a place
        if lacking := _lacking(group, case.added):
            missing = [name for name, words in zip(named, group, strict=True) if words in lacking]
            are = "is" if len(missing) == 1 else "are"
            left = len(named) - len(missing)
            return f"offers only {left} of the {len(named)} choices: {listed(missing)} {are} missing"
    return None


def _of_examples(case: Case) -> Iterator[tuple[str, ...]]:
    """What the outputs shown are chosen from, unless the prompt names some and not all of it."""
    shown = choices_shown(case.request)
    if len(shown) < FEWEST or any(" " in each for each in shown):  # a part of a longer one may be an ordinary word
        return
    said = {index for _, index in _mentions(_told_apart(shown, case.naive), case.naive.tokens, case.naive)}
    if not 1 < len(said) < len(shown):
        yield shown


def _told_apart(named: Sequence[str], reading: Reading) -> _Group:
    """Each alternative's words, without those that another has as well and those of grammar, if there are others."""
    words = [frozenset(re.findall(r"\w+", name.lower())) for name in named]
    own = []
    for index, each in enumerate(words):
        others = frozenset().union(*words[:index], *words[index + 1 :])
        own.append((each - others - reading.lexicon.function) or (each - others) or each)
    return tuple(own)


def _lacking(group: _Group, reading: Reading) -> set[frozenset[str]]:
    """The alternatives that a choice of several lacks, and that no sentence names but those that name all."""
    mentions = _mentions(group, reading.tokens, reading)
    by_sentence: dict[int, list[tuple[Token, int]]] = {}
    for token, index in mentions:
        by_sentence.setdefault(token.sentence, []).append((token, index))
    partial = {place: found for place, found in by_sentence.items() if len({i for _, i in found}) < len(group)}
    if not any(_is_chosen_from(run, reading) for found in partial.values() for run in _runs(found, reading)):
        return set()
    named = {index for found in partial.values() for _, index in found}
    return {words for index, words in enumerate(group) if index not in named}


def _mentions(group: _Group, tokens: Iterable[Token], reading: Reading) -> list[tuple[Token, int]]:
    """The words that name an alternative, with its number."""
    found = []
    for token in tokens:
        exact = (index for index, words in enumerate(group) if token.text in words)
        alike = (index for index, words in enumerate(group) if any(_is_form(token, word, reading) for word in words))
        if (index := next(exact, next(alike, None))) is not None:
            found.append((token, index))
    return found


def _is_form(token: Token, word: str, reading: Reading) -> bool:
    """Whether a token is a form of a word, or one abbreviates the other ("pos/neg")."""
    if token.text in reading.lexicon.function:
        return False
    short, long = sorted((word, token.text), key=len)
    is_form = token.stem == _stem(word, reading.language.likely)
    return is_form or (len(short) >= SHORTEST_ABBREVIATION and long.startswith(short))


@lru_cache(maxsize=256)
def _stem(word: str, language: str | None) -> str:
    return stems_of([word], language)[0]


def _runs(mentions: Sequence[tuple[Token, int]], reading: Reading) -> Iterator[list[tuple[Token, int]]]:
    """Mentions of different alternatives with hardly more than a comma or an "or" between them."""
    gap = _gap(reading.lexicon.code or "en")
    run: list[tuple[Token, int]] = []
    for token, index in mentions:
        is_next = bool(run) and gap.fullmatch(reading.lowered, run[-1][0].end, token.start) is not None
        if run and not is_next and run[-1][1] != index:
            yield run
            run = []
        run.append((token, index))
    yield run


@cache
def _gap(code: str) -> re.Pattern[str]:
    """What may stand between two alternatives: the rest of one, a separator, and words before the other."""
    conjunction = "|".join(CONJUNCTIONS.get(code, CONJUNCTIONS["en"]))
    word, mark = rf"(?!(?:{conjunction})\b)[\w'-]+", r"[\"'\u201c\u201d\u2018\u2019`*()]{0,3}"
    return re.compile(rf"(?: {word}){{0,3}}{mark}{separator(conjunction)}{mark}(?:{word} ){{0,4}}{mark}")


def _is_chosen_from(run: Sequence[tuple[Token, int]], reading: Reading) -> bool:
    """Whether two or more alternatives are those that the reader is to choose from."""
    if len({index for _, index in run}) < 2:
        return False
    start, end = run[0][0].start, run[-1][0].end
    sentence = next(each for each in reading.sentences if each.start <= start < each.start + len(each.text))
    before = _IF_IS_WHETHER.sub("whether", reading.lowered[sentence.start : start])
    behind = reading.lowered[end : sentence.start + len(sentence.text)]
    if _ON_CONDITION.search(before) or _ON_CONDITION_BEHIND.search(behind) or _DENIED.search(before):
        return False
    either, _ = CONJUNCTIONS.get(reading.lexicon.code or "en", CONJUNCTIONS["en"])
    # "a bug, a question or something else"
    if is_joined_by(either).search(reading.lowered, start, end) or re.match(rf",? (?:{either}) ", behind):
        is_whole = _BARE.search(before) is not None and END.match(behind) is not None
        return is_whole or _CHOOSES.search(before) is not None or is_of_a_choice(before)
    return _OPENED.search(before) is not None
