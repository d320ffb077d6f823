"""Words: one of two, how many, in which case, or a sentence. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Any

_FEWEST = 3  # outputs; of two, letter case and number of words may be alike by chance
_MANY = 4  # times the same output
_COMMONEST = 2  # pairs
_FEW_WORDS = 4
_PAIRS = (
    ("yes", "no"),
    ("true", "false"),
    ("on", "off"),
    ("pass", "fail"),
    ("correct", "incorrect"),
    ("valid", "invalid"),
    ("y", "n"),
    ("t", "f"),
    ("ja", "nein"),
    ("oui", "non"),
    ("sí", "no"),
    ("sì", "no"),
    ("sim", "não"),
)
_WORD = re.compile(r"[^\W\d_]+(?:['’_-][^\W\d_]+)*")
_SENTENCE = re.compile(r"[^\W_a-z][^\n.!?]*(?:[.,]\d[^\n.!?]*)* [^\n.!?]*(?:[.,]\d[^\n.!?]*)*[.!?]")
_ARTICLE = re.compile(r"(?i)the|an?")
# Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def read_choice(outputs: Sequence[str], *, count: int) -> str | None:
    """One of two words, both of which are there; of the commonest pairs, one that comes `count` times is enough."""
    for number, pair in enumerate(_PAIRS):
        for change in (str, str.capitalize, str.upper):
            one, other = map(change, pair)
            is_enough = number < _COMMONEST and count >= _MANY and {one, other} >= set(outputs)
            if is_enough or {one, other} == set(outputs):
                return f'"{one}" or "{other}"'
    return None


def read_words(outputs: Sequence[str], *, count: int) -> str | None:
    """How many words, and in which case, told from `count` outputs, these and their repetitions."""
    if count < (_FEWEST if len(outputs) > 1 else _MANY) or any(_UNSPACED.search(output) for output in outputs):
        return None
    if all(output.endswith((".", "!", "?")) for output in outputs):
        return _sentence(outputs) or _with_full_stop(outputs, count)
    by_output = [output.split() for output in outputs]
    if not all(_WORD.fullmatch(word) for own in by_output for word in own) or has_frame(by_output):
        return None
    if all(len(output) == 1 for output in outputs):
        return f"one {_case(outputs, _OF_LETTERS)}letter"
    case, counts = _case(outputs, _OF_WORDS), {len(own) for own in by_output}
    if counts == {1}:
        return f"one word{case}"
    if max(counts) > _FEW_WORDS:
        return None
    return f"a short phrase{case}" if min(counts) > 1 else f"a word or a short phrase{case}"


def _sentence(outputs: Sequence[str]) -> str | None:
    if not all(map(_SENTENCE.fullmatch, outputs)) or has_frame([output.split() for output in outputs], words=2):
        return None
    return "one question" if all(output.endswith("?") for output in outputs) else "one sentence"


def _with_full_stop(outputs: Sequence[str], count: int) -> str | None:
    form = read_words([output[:-1] for output in outputs], count=count)
    is_phrase = form is not None and all(output.endswith(".") and output[0].islower() for output in outputs)
    return f"{form} with a full stop at the end" if is_phrase else None


def has_frame(by_output: Sequence[Sequence[str]], *, words: int = 1) -> bool:
    """Whether all of several outputs begin or end with the same words, which "nothing else" would forbid."""
    if len(by_output) < _FEWEST:
        return False
    begun, ended = {tuple(own[:words]) for own in by_output}, {tuple(own[-words:]) for own in by_output}
    by_chance = words == 1 and _ARTICLE.fullmatch(by_output[0][0])
    return len(ended) == 1 or (len(begun) == 1 and not by_chance)


_Names = Sequence[tuple[str, Callable[[str], Any]]]
_OF_LETTERS: _Names = (("lower-case ", str.islower), ("capital ", str.isupper))
_OF_WORDS: _Names = (
    (" in lower case", lambda text: text.islower() and not re.search("[_-]", text)),
    (" in capital letters", lambda text: text.isupper() and "_" not in text),
)
# A word of one part fits as well.
_JOINED = (
    (" in snake_case", re.compile(r"[a-z]+(?:_[a-z]+)*"), "_"),
    (" in lower case with hyphens", re.compile(r"[a-z]+(?:-[a-z]+)*"), "-"),
    (" in capital letters with underscores", re.compile(r"[A-Z]+(?:_[A-Z]+)*"), "_"),
)
_HUMPS = (
    (" in camelCase", re.compile(r"[a-z]+(?:[A-Z][a-z]*)+")),
    (" in PascalCase", re.compile(r"(?:[A-Z][a-z]+){2,}")),
)


def _case(outputs: Sequence[str], names: _Names) -> str:
    if names is _OF_WORDS:
        for name, pattern, sign in _JOINED:
            joined = sum(sign in output for output in outputs)
            if 2 * joined >= len(outputs) and all(map(pattern.fullmatch, outputs)):
                return name
        for name, pattern in _HUMPS:
            if all(map(pattern.fullmatch, outputs)):
                return name
    return next((name for name, has_it in names if all(map(has_it, outputs))), "")
