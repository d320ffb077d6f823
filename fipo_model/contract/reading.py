"""A text as words, stems and sentences, in its language: what every extractor reads. Pure.

Scripts that are written without spaces (and Korean, whose words carry their particles) are read in pairs of
characters, so that a word is found wherever its neighbours leave it.
"""

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from fipo_model.contract.languages import Language, language_of, natural_text
from fipo_model.contract.letters import MARKS, RUNS
from fipo_model.contract.lexicon import Lexicon, lexicon_of
from fipo_model.contract.patterns import lazy
from fipo_model.contract.stemming import stems_of

_TOKEN = lazy(
    rf"[{RUNS}]+|(?:(?![{RUNS}_])[\w{MARKS}])+(?:['\u2019](?:t|s|re|ve|ll|d|m)(?![\w{MARKS}]))?"
)
_RUN = lazy(rf"[{RUNS}]")
_KANA_RUN = lazy(r"[\u3041-\u309f]+")
_ABBREVIATION = r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\bMr)(?<!\bDr)(?<!\bMrs)(?<!\bSt)(?<!\bNo)(?<!\bz\.B)"
_SENTENCE_END = lazy(
    rf"{_ABBREVIATION}[.!?\u061f]+[\"'\u201d\u2019\u00bb)*\]]*(?=\s)|[\u3002\uff01\uff1f\u0964]+|\n+|;\s"
)


@dataclass(frozen=True, slots=True)
class Token:
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
    """A text, read once; what has been worked out stays."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lowered(self) -> str:
        """In lower case, with plain apostrophes, and every position as in the text."""
        lowered = self.text.lower().replace("\u2019", "'")
        if len(lowered) == len(self.text):
            return lowered
        return "".join(low if len(low := each.lower()) == 1 else each for each in self.text).replace("\u2019", "'")

    @cached_property
    def language(self) -> Language:
        """The language that the text itself is in."""
        return language_of(natural_text(self.text))

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words of that language, or an empty lexicon."""
        return lexicon_of(self.language.code)

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """Sentences and lines, those without words left out."""
        found, start = [], 0
        for end in [*(match.end() for match in _SENTENCE_END.finditer(self.text)), len(self.text)]:
            piece = self.text[start:end]
            tokens = tuple(self._tokens(piece, start, len(found)))
            if tokens:
                found.append(Sentence(piece.strip(), start, tokens))
            start = end
        return tuple(found)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens of all sentences."""
        return tuple(token for sentence in self.sentences for token in sentence.tokens)

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

    def _tokens(self, piece: str, offset: int, sentence: int) -> list[Token]:
        spans = [(match[0], match.start()) for match in _TOKEN.finditer(piece)]
        spaced = [text.lower().replace("\u2019", "'") for text, _ in spans if not _RUN.match(text)]
        stems = dict(zip(spaced, stems_of(spaced, self.language.code), strict=True))
        tokens: list[Token] = []
        for text, at in spans:
            if _RUN.match(text):
                tokens += self._pairs(text, at + offset, sentence)
                continue
            word = text.lower().replace("\u2019", "'")
            is_content = self._is_content(word, piece[at + len(text) : at + len(text) + 1])
            tokens.append(Token(word, stems[word], at + offset, at + offset + len(text), sentence, is_content))
        return tokens

    def _is_content(self, word: str, following: str) -> bool:
        if word.isdigit():
            return following not in (".", ")", ":")  # not one that numbers a list
        common = self.lexicon.common
        bare = (word.removesuffix(ending) for ending in ("s", "ed", "ing", "d"))
        return len(word) > 1 and word not in common and not any(each in common for each in bare)

    def _pairs(self, run: str, start: int, sentence: int) -> list[Token]:
        tokens = []
        for index in range(max(1, len(run) - 1)):
            pair = run[index : index + 2]
            is_content = not (set(pair) & self.lexicon.particles) and not _KANA_RUN.search(pair)
            tokens.append(Token(pair, pair, start + index, start + index + len(pair), sentence, is_content))
        return tokens


@lru_cache(maxsize=2048)
def read(text: str) -> Reading:
    """The reading of a text; the last few thousand are remembered."""
    return Reading(text)
