"""Labels to choose from, lines that a parser expects, and words in capitals. Pure."""

import re
from collections.abc import Iterator
from functools import lru_cache

from fipo_model.contract.commitments import Commitment
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading

# Longer words, and longer lists, would be read anew from each of their letters and items.
_ITEM = r"[\"'\u201c\u2018`*]{0,2}([^\W\d_][\w-]{0,99})[\"'\u201d\u2019`*]{0,2}"
_AROUND = "\"'\u201c\u201d\u2018\u2019`* "  # what an item may have around it
_OR = r"(?:or|oder|ou|o|of|или|أو|या|或|または|또는)"
_LIST = lazy(rf"(?:{_ITEM}(?:, | / |/|, {_OR} | {_OR} | \| ?))+{_ITEM}", re.IGNORECASE)
_CHOICE = lazy(
    r"(?i)classif|categor|label|whether|either|choose|pick|select|answer|respond|repl(?:y|ies)|sentiment|one of|decide"
    r"|output|klassifi|einordn|antwort|class(?:e|ez|er)|répond|clasific|etique|respond|classific|rispond|antwoord|классиф|ответ"
    r"|صنف|أجب|वर्गीकृत|उत्तर|分类|回答|判断|分類|答え|분류|답"
)
_CHOOSING = lazy(r"(?i)classif|categor|label|whether|either|sentiment|one of|klassifi|классиф|分类|分類|분류|صنف")
_SPLIT = lazy(rf",? {_OR} |, ?| ?/ ?| ?\| ?", re.IGNORECASE)
_ALTERNATIVE = lazy(rf"(?i) {_OR} |[/|]")
_LINE_LABEL = lazy(r"^[ \t>*#-]*((?:[A-Z][\w-]*)(?: [A-Za-z][\w-]*){0,3}):(?=\s|\*|$)", re.MULTILINE)
_PROTOCOL = frozenset(
    "thought action input observation final answer question context human assistant system user output response query "
    "reasoning instructions example task".split()
)
_CAPITALS = lazy(r"(?<![\w/.@#${<\[-])[A-Z][A-Z_]+(?![\w}>\]/-])")
_ANSWERS = frozenset(
    {"yes", "no", "none", "other", "good", "best", "simple", "specific", "unknown", "question", "answer"}
)
_AND = r"(?:and|und|et|y|e|en|и|و|और)"
_ENUMERATION = lazy(
    rf"(?:{_ITEM}, ){{0,99}}{_ITEM}(?:,? (?:{_OR}|{_AND}) | ?[/|] ?){_ITEM}(?: ?[/|] ?{_ITEM})*", re.IGNORECASE
)
_SPLIT_ANY = lazy(rf",? (?:{_OR}|{_AND}) |, ?| ?/ ?| ?\| ?", re.IGNORECASE)
_QUESTION = lazy(r"[?\u061f]\s*$")
_CLOSED = lazy(
    r"(?i)\W*(?:is|are|was|were|does|do|did|has|have|ist|sind|war|est-ce|est|es|son|è|sono|é|são|is het|zijn)\b"
)
_LISTS = lazy(r"(?i)\b(?:between|among|of|answer|say|write|reply|whether|either|choose|pick|entre|zwischen|ob)\W+$")
_HASTY = 8  # words
SHORTEST_ABBREVIATION = 3  # letters
_NOT_A_CHOICE = frozenset("and or he she his her him a an the s er their i.e e.g".split())


def choices(reading: Reading) -> list[Commitment]:
    """The labels of an enumeration with "or" or slashes, where a sentence asks to choose."""
    return [label for labels in choices_by_list(reading) for label in labels]


@lru_cache(maxsize=64)
def choices_by_list(reading: Reading) -> list[list[Commitment]]:
    """The same, list by list."""
    found = []
    for sentence in reading.sentences:
        if not _ALTERNATIVE.search(sentence.text) or not _CHOICE.search(sentence.text):
            continue
        is_choosing = is_of_a_choice(sentence.text)
        for match in _LIST.finditer(sentence.text):
            if not _ALTERNATIVE.search(match[0]) or not is_asked_for(sentence.text, match, is_choosing=is_choosing):
                continue
            labels = [_label(item, sentence.start + match.start() + at) for item, at in _parts(match[0])]
            labels = [each for each in labels if not _is_function_word(each.text.lower(), reading)]
            if len(labels) > 1 and not _NOT_A_CHOICE & {each.text.lower() for each in labels}:
                found.append([each for each in labels if f" {each.key} " in reading.words])
    return found


def _parts(enumeration: str) -> Iterator[tuple[str, int]]:
    """The items of an enumeration, and where each begins in it."""
    start = 0
    for separator in (*_SPLIT.finditer(enumeration), None):
        item = enumeration[start : None if separator is None else separator.start()]
        bare = item.strip(_AROUND)
        yield bare, start + item.find(bare)
        start = len(enumeration) if separator is None else separator.end()


def _label(item: str, at: int) -> Commitment:
    return Commitment("label", item, (at, at + len(item)), item.lower().replace("-", " "))


def _is_function_word(item: str, reading: Reading) -> bool:
    return reading.lexicon.has_common(item) and item not in _ANSWERS


def beyond_the_named(naive: Reading, added: Reading) -> list[Commitment]:
    """What an addition puts beside the labels of a question or a hasty line ("spam or ham?"), which are complete."""
    wanted = [item for sentence in naive.sentences for item in _named(sentence.text, naive)]
    found = []
    for match in _ENUMERATION.finditer(added.text) if wanted else ():
        items = _items(match[0], added)
        if not items:
            continue
        if not _LISTS.search(added.text[: match.start()]) and not any(_is_the_same(items[0], each) for each in wanted):
            items = items[1:]  # "give one word, spam or ham"
        new = [item for item in items if not any(_is_the_same(item, label) for label in wanted)]
        if len(items) - len(new) > 1:
            known = naive.stems
            stems = {token.text: token.stem for token in added.tokens}
            found += [item for item in new if stems.get(item, item) not in known]
    return [Commitment("label", item, (0, 0), item) for item in found]


def _named(sentence: str, reading: Reading) -> list[str]:
    is_open = is_closed_question(sentence) or len(reading.tokens) <= _HASTY
    matches = (match[0] for match in _ENUMERATION.finditer(sentence)) if is_open and ":" not in sentence else ()
    return [item for match in matches if _ALTERNATIVE.search(match) for item in _items(match, reading)]


def _items(enumeration: str, reading: Reading) -> list[str]:
    items = (item.strip(_AROUND).lower() for item in _SPLIT_ANY.split(enumeration))
    return [item for item in items if not _is_function_word(item, reading)]


def _is_the_same(item: str, label: str) -> bool:
    """Whether they are the same label, which the prompt may abbreviate ("pos/neg")."""
    return item == label or (len(label) >= SHORTEST_ABBREVIATION and item.startswith(label))


def is_asked_for(sentence: str, match: re.Match[str], *, is_choosing: bool) -> bool:
    """Whether the sentence is about choosing, or the list comes right after a word for it ("answer yes or no")."""
    start, end = match.span()
    if sentence.startswith((" question", "-question"), end):
        return False
    return is_choosing or _CHOICE.search(sentence[max(0, start - 40) : start]) is not None


def is_of_a_choice(text: str) -> bool:
    """Whether a text is about choosing one of several: to classify, whether, one of."""
    return _CHOOSING.search(text) is not None


def mentions_choosing(text: str) -> bool:
    """Whether a text has a word for choosing or for an answer."""
    return _CHOICE.search(text) is not None


def is_closed_question(sentence: str) -> bool:
    """Whether a sentence ends with a question mark, or begins as a question that is answered by yes or no does."""
    return bool(_QUESTION.search(sentence) or _CLOSED.match(sentence))


def line_labels(text: str) -> list[Commitment]:
    """Headings of lines that a parser expects or a template fills in: `Action Input:`, `Q:`.

    A single one counts only if it is a word of such protocols; "Budget: 3,000" is a sentence.
    """
    found = [Commitment("label", f"{match[1]}:", match.span(1), f"{match[1]}:") for match in _LINE_LABEL.finditer(text)]
    if len(found) > 1:
        return found
    return [each for each in found if set(each.text.rstrip(":").lower().split()) <= _PROTOCOL]


def capitals(reading: Reading) -> list[Commitment]:
    """Words in capitals, which a parser may expect; not those of a text all in capitals."""
    found = [Commitment("label", m[0], m.span(), m[0]) for m in _CAPITALS.finditer(reading.text)]
    is_shouted = len(found) > 0.5 * len(reading.tokens)
    return [] if is_shouted else found
