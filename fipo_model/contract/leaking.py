"""Wordings that give away what they were made from: right outputs, or details of the inputs that were shown. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
# Numbers with two digits or more, addresses, and names: capitals inside a sentence.
_DETAILS = re.compile(r"\S+@\w\S*|https?://\S+|(?<![\w.])\d[\d.,:/-]*\d(?!\w)|(?<=[a-z,;] )[A-Z]\w+")
# A run of that many words is quoted, not there by chance.
_COPIED_WORDS = 4
# An input of that few words is named by all of them.
_SHORT_INPUT = 3
# Words that any instruction may use, although they are also somebody's output or input.
_ORDINARY = frozenset(
    "a about all an and are as at be but by can do each for from has have if in is it its no none not of on one only or"
    " other s that the there they this to true false was what when which who will with yes you"
    " write say give find name answer output reply read copy word number text".split()
)
_MISSING = re.compile(r"(?i)n/?a|none|null|unknown|not (?:given|stated|specified|available|known|found)|[-–—]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An input that was shown, and its right outputs."""

    input: str
    outputs: tuple[str, ...] = ()


def given_away(wording: str, before: str, shown: Sequence[Use], labels: frozenset[str] = frozenset()) -> str | None:
    """What a wording gives away, unlike the one it replaces: a right output, or a detail of an input shown.

    `labels` are what all outputs are chosen from. They are not secret as long as all of them are named, because that is
    how a good wording says what the labels are. Nor is anything that all inputs have. One letter or digit counts as
    given away only in quotation marks. None if there is nothing.
    """
    known = _words(before)
    named = labels if all(_occurs(label, wording) for label in labels) else frozenset()
    for use in shown:
        for output in use.outputs:
            is_secret = output not in named and not is_missing(output)
            if is_secret and _says(wording, output) and not _says(before, output):
                return f"gives away a right output, {output!r}"
        for detail in (*_named_details(use.input, wording), *_runs(use.input, known)):
            if (
                _says(wording, detail)
                and not _says(before, detail)
                and detail not in named
                and not _is_in_all(detail, shown)
            ):
                return f"names a detail of an input, {detail!r}"
    return None


def is_missing(output: str) -> bool:
    """Whether it says that something is not known, such as "N/A", which is part of the form and no input's own."""
    return _MISSING.fullmatch(output) is not None


def _is_in_all(detail: str, shown: Sequence[Use]) -> bool:
    return len(shown) > 1 and all(_says(use.input, detail) for use in shown)


def _named_details(text: str, wording: str) -> list[str]:
    """Numbers, addresses and names that a wording has as they are written."""
    return [detail for detail in _DETAILS.findall(text) if detail in wording and _whole(detail).search(wording)]


def _runs(text: str, known: frozenset[str]) -> Iterator[str]:
    """Words in a row that are quoted rather than there by chance, or all words of a short input."""
    words = [match.span() for match in _WORD.finditer(text)]
    size = len(words) if len(words) <= _SHORT_INPUT else _COPIED_WORDS
    for first in range(len(words) - size + 1):
        run = text[words[first][0] : words[first + size - 1][1]] if size else ""
        if _words(run) - known - _ORDINARY:
            yield run


def _says(text: str, part: str) -> bool:
    part = part.strip().casefold()
    if len(part) == 1:
        return re.search(rf"[\"'`“‘]{re.escape(part)}[\"'`”’]", text.casefold()) is not None
    return part not in _ORDINARY and _occurs(part, text)


def _occurs(part: str, text: str) -> bool:
    part, text = part.casefold(), text.casefold()
    # Building a pattern takes far longer than looking for the part, and there is one for each run of each input.
    return part in text and _whole(part).search(text) is not None


def _whole(part: str) -> re.Pattern[str]:
    """Matches a text that is not part of a longer word or number."""
    return re.compile(rf"(?<!\w)(?<!\d[.,]){re.escape(part)}(?!\w|[.,]\d)")


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
