"""Runs of words that a text copies from another one, or repeats. Pure."""

from collections import Counter

from fipo_model.contract.patterns import lazy
from fipo_model.types import count_words

_WORDS = lazy(r"\w+")
_LEAST_DISTINCT_TRIGRAMS = 0.6
_SHORTEST_REPETITION = 30
_SAME_LINES = 3
_SAME_LINES_SHARE = 0.3


def words_of(text: str) -> list[str]:
    """The words in lower case, numbers among them."""
    return _WORDS.findall(text.lower())


def first_copy(text: str, source: str, allowed: str, length: int) -> str | None:
    """The first run that `copies` finds."""
    return next(iter(copies(text, source, allowed, length)), None)


def copies(text: str, source: str, allowed: str, length: int) -> list[str]:
    """The runs of `length` words that `text` takes from `source` and that `allowed` does not have."""
    if not source:
        return []

    def runs(of: str) -> dict[tuple[str, ...], str]:
        words = words_of(of)
        return {tuple(words[i : i + length]): " ".join(words[i : i + length]) for i in range(len(words) - length + 1)}

    legitimate = runs(allowed)
    taken = runs(source)
    return [run for key, run in runs(text).items() if key in taken and key not in legitimate]


def is_repetitive(text: str, own: str = "") -> bool:
    """Whether a text goes round in circles; it may repeat something as often as `own` does."""
    lines, own_lines = _long_lines(text), _long_lines(own)
    again = [times for line, times in lines.items() if times > own_lines[line]]
    if again and max(again) >= max(_SAME_LINES, _SAME_LINES_SHARE * lines.total()):
        return True
    runs, known = _trigrams(text), _trigrams(own)
    if runs.total() < _SHORTEST_REPETITION - 2:
        return False
    repeats = sum(times - max(1, min(times, known[run])) for run, times in runs.items())
    return repeats > (1 - _LEAST_DISTINCT_TRIGRAMS) * runs.total()


def _long_lines(text: str) -> Counter[str]:
    return Counter(line.strip() for line in text.splitlines() if count_words(line) > 2)


def _trigrams(text: str) -> Counter[tuple[str, ...]]:
    words = words_of(text)
    return Counter(zip(words, words[1:], words[2:], strict=False))
