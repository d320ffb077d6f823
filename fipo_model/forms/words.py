"""Words: one of two, how many, in which case, or a sentence. Pure."""

from collections.abc import Sequence

from fipo_model.contract.patterns import lazy
from fipo_model.forms.numbers import spelled

_FEWEST = 3  # outputs; of two, letter case and number of words may be alike by chance
_MANY = 4  # times the same output, or different ones of the same length
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
_WORD = lazy(r"[^\W\d_]+(?:['’_-][^\W\d_]+)*")
# Words with a capital letter at the beginning and a mark at the end that is not that of an initial ("Lopez, M.").
_SENTENCE = lazy(r"(?!.*\b[A-Z]\.$)[^\W_a-z](?:[^\n.!?]|\.(?=\d))+[.!?]")
_CAPITALS = lazy(r"[A-Z]+")
_ARTICLE = lazy(r"(?i)the|an?")
# Chinese, Japanese, Thai, Lao, Khmer and Burmese put no spaces between words.
_UNSPACED = lazy(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


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
    if not all(_WORD.fullmatch(word) for own in by_output for word in own) or _has_frame(by_output):
        return None
    if all(len(output) == 1 for output in outputs):
        return _letter(outputs)
    case, counts = _case(outputs), {len(own) for own in by_output}
    if counts == {1}:
        return _short_code(outputs) or f"one word{case}"
    if max(counts) > _FEW_WORDS:
        return None
    return f"a few words{case}" if min(counts) > 1 else f"a word or a few{case}"


def _sentence(outputs: Sequence[str]) -> str | None:
    by_output = [output.split() for output in outputs]
    if not all(map(_SENTENCE.fullmatch, outputs)) or min(map(len, by_output)) < 2 or _has_frame(by_output, words=2):
        return None
    return "one question" if all(output.endswith("?") for output in outputs) else "one sentence"


def _with_full_stop(outputs: Sequence[str], count: int) -> str | None:
    form = read_words([output[:-1] for output in outputs], count=count)
    is_phrase = form is not None and all(output.endswith(".") and output[0].islower() for output in outputs)
    return f"{form} with a full stop at the end" if is_phrase else None


def _has_frame(by_output: Sequence[Sequence[str]], *, words: int = 1) -> bool:
    """Whether all of several outputs begin or end with the same words, which "nothing else" would forbid."""
    if len(by_output) < _FEWEST:
        return False
    begun, ended = {tuple(own[:words]) for own in by_output}, {tuple(own[-words:]) for own in by_output}
    by_chance = words == 1 and _ARTICLE.fullmatch(by_output[0][0])
    return len(ended) == 1 or (len(begun) == 1 and not by_chance)


# What it looks like, and the sign that at least half of the words have: one of a single part fits as well.
_JOINED = tuple(
    (name, lazy(pattern), sign)
    for name, pattern, sign in (
        (" in snake_case", r"[a-z]+(?:_[a-z]+)*", "_"),
        (" in lower case with hyphens", r"[a-z]+(?:-[a-z]+)*", "-"),
        (" in capital letters with underscores", r"[A-Z]+(?:_[A-Z]+)*", "_"),
        (" in capital letters with hyphens", r"[A-Z]+(?:-[A-Z]+)*", "-"),
        (" in camelCase", r"[a-z]+(?:[A-Z][a-z]*)+", ""),
        (" in PascalCase", r"(?:[A-Z][a-z]+){2,}", ""),
    )
)


def _case(outputs: Sequence[str]) -> str:
    for name, pattern, sign in _JOINED:
        joined = sum(sign in output for output in outputs)
        if 2 * joined >= len(outputs) and all(map(pattern.fullmatch, outputs)):
            return name
    if any("_" in output for output in outputs):
        return ""
    if all(map(str.islower, outputs)):
        return " in lower case"
    return " in capital letters" if all(map(str.isupper, outputs)) else ""


def _short_code(outputs: Sequence[str]) -> str | None:
    """Two or three capital letters, such as EUR or DE. Fewer different ones may be words that are as long by chance."""
    lengths = set(map(len, outputs))
    if len(outputs) < _MANY or lengths not in ({2}, {3}) or not all(map(_CAPITALS.fullmatch, outputs)):
        return None
    return f"{spelled(lengths.pop())} capital letters"


def _letter(outputs: Sequence[str]) -> str:
    if all(map(str.islower, outputs)):
        return "one lower-case letter"
    return "one capital letter" if all(map(str.isupper, outputs)) else "one letter"
