"""A text as words, stems and sentences, in its language: what every extractor reads. Pure.

Scripts that are written without spaces (and Korean, whose words carry their particles) are read in pairs of
characters, so that a word is found whatever its neighbours are.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import NamedTuple

from fipo_model.contract.languages import Language, language_of, natural_text
from fipo_model.contract.letters import MARKS, RUNS, in_lower_case
from fipo_model.contract.lexicon import Lexicon, lexicon_of
from fipo_model.contract.patterns import lazy
from fipo_model.contract.stemming import stems_of

_TOKEN = lazy(rf"[{RUNS}]+|(?:(?![{RUNS}_])[\w{MARKS}])+(?:['\u2019](?:t|s|re|ve|ll|d|m)(?![\w{MARKS}]))?")
# The same for texts without other letters, which is far faster.
_ASCII_TOKEN = lazy(r"[^\W_]+(?:'(?:t|s|re|ve|ll|d|m)(?!\w))?", re.ASCII)
_RUN = lazy(rf"[{RUNS}]")
_KANA_RUN = lazy(r"[\u3041-\u309f]+")
# It begins with a set of characters, for which the engine has a fast search.
_SENTENCE_END = lazy(
    r"[.!?\u061f\u3002\uff01\uff1f\u0964\n;]"
    # Only from the first of several such signs on, or a row of them would be read once for each of them.
    r"(?:(?<=[.!?\u061f])(?<![.!?\u061f]{2})[.!?\u061f]*+[\"'\u201d\u2019\u00bb)*\]]*+(?=\s)"
    r"|(?<=[\u3002\uff01\uff1f\u0964])[\u3002\uff01\uff1f\u0964]*|(?<=\n)\n*|(?<=;)\s)"
)
# A full stop after one of these does not end a sentence.
_ABBREVIATIONS = frozenset(
    "e.g i.e vs mr mrs ms dr st no mt ft sr jr cf ca prof fig approx max min z.b d.h bzw u.a p.ej".split()
)


class Token(NamedTuple):
    """A word, or a pair of characters of a script that is read in pairs."""

    text: str
    """In lower case."""
    stem: str
    start: int
    end: int
    sentence: int
    is_content: bool
    """Whether it carries meaning of its own: it is no function word, and none that every prompt has."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or a line, with its tokens."""

    text: str
    start: int
    tokens: tuple[Token, ...]

    @property
    def content(self) -> frozenset[str]:
        """The stems that carry meaning."""
        return frozenset(token.stem for token in self.tokens if token.is_content)


class Reading:
    """A text, read once; results are kept."""

    def __init__(self, text: str, assumed: str | None = None, whole: "Reading | None" = None) -> None:
        self.text = text
        self._assumed = assumed
        self._whole = whole

    def part(self, text: str) -> "Reading":
        """The reading of a part of the text, taken to be in the language of the whole."""
        return self if text == self.text else Reading(text, whole=self)

    @cached_property
    def lowered(self) -> str:
        """In lower case, with plain apostrophes, and every position as in the text."""
        return in_lower_case(self.text)

    @cached_property
    def language(self) -> Language:
        """The language that the text itself is in; where its form does not show it, the one that was assumed."""
        if self._whole is not None:
            return self._whole.language
        found = language_of(natural_text(self.text))
        return found if found.code is not None else Language(None, found.script, self._assumed or found.likely)

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words of that language, or an empty lexicon."""
        return lexicon_of(self.language.likely)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The words, or pairs of characters, in the order of the text."""
        is_ascii = self.text.isascii()
        matches = list((_ASCII_TOKEN if is_ascii else _TOKEN).finditer(self.lowered))
        words = [match[0] for match in matches]
        known = self._known(words)
        ends = self._ends
        tokens: list[Token] = []
        sentence = 0
        for match, word in zip(matches, words, strict=True):
            start, end = match.span()
            while start >= ends[sentence]:
                sentence += 1
            if not is_ascii and _RUN.match(word):
                tokens += self._pairs(word, start, sentence)
                continue
            stem, is_content, is_digits = known[word]
            if is_digits:
                is_first = not tokens or tokens[-1].sentence != sentence
                is_content = not is_first or self.text[end : end + 1] not in (".", ")")  # not one that numbers a list
            tokens.append(Token(word, stem, start, end, sentence, is_content))
        return tuple(tokens)

    def _known(self, words: list[str]) -> dict[str, tuple[str, bool, bool]]:
        """For each word its stem, whether it carries meaning, and whether it is a number."""
        different = list(dict.fromkeys(words))
        stems = stems_of(different, self.language.likely)
        has_common = self.lexicon.has_common
        return {
            word: (stem, len(word) > 1 and not has_common(word), word.isdigit())
            for word, stem in zip(different, stems, strict=True)
        }

    @property
    def _ends(self) -> list[int]:
        """Where sentences and lines end."""
        ends = []
        for match in _SENTENCE_END.finditer(self.text):
            before = self.text[max(0, match.start() - 8) : match.start()].split()[-1:] if match[0] == "." else []
            if not before or before[0].lstrip("(").lower() not in _ABBREVIATIONS:
                ends.append(match.end())
        return [*ends, len(self.text)]

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """Sentences and lines, except those without words."""
        found = []
        for _, group in groupby(self.tokens, key=lambda token: token.sentence):
            tokens = tuple(group)
            start, end = tokens[0].start, tokens[-1].end
            found.append(Sentence(self.text[start : _closing(self.text, end)], start, tokens))
        return tuple(found)

    @cached_property
    def stems(self) -> frozenset[str]:
        """All stems, those of function words too."""
        return frozenset(token.stem for token in self.tokens)

    @cached_property
    def content(self) -> frozenset[str]:
        """The stems that carry meaning."""
        return frozenset(token.stem for token in self.tokens if token.is_content)

    @cached_property
    def words(self) -> str:
        """All words in lower case between single spaces, with one at either end: for finding phrases."""
        return f" {' '.join(token.text for token in self.tokens)} "

    def _pairs(self, run: str, start: int, sentence: int) -> list[Token]:
        tokens = []
        for index in range(max(1, len(run) - 1)):
            pair = run[index : index + 2]
            is_content = not (set(pair) & self.lexicon.particles) and not _KANA_RUN.search(pair)
            tokens.append(Token(pair, pair, start + index, start + index + len(pair), sentence, is_content))
        return tokens


def _closing(text: str, end: int) -> int:
    """Where a sentence ends whose last word ends at `end`: after its punctuation."""
    while end < len(text) and text[end] in ".!?\u061f\u3002\uff01\uff1f\u0964\"')\u201d":
        end += 1
    return end


@lru_cache(maxsize=128)
def read(text: str, assumed: str | None = None) -> Reading:
    """The reading of a text, the last hundred or so of which are remembered; `assumed` is its likely language."""
    return Reading(text, assumed)
