"""Regular expressions that compile when they are first used, so that importing FIPO stays cheap. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

_REMEMBERED = 64  # texts


class _Lazy:
    def __init__(self, pattern: str, flags: int) -> None:
        self._source = (pattern, flags)

    def __getattr__(self, name: str) -> Any:
        compiled = re.compile(*self._source)
        # From now on every method is the compiled pattern's own.
        for method in ("finditer", "findall", "search", "match", "fullmatch", "sub", "split", "pattern"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def lazy(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """A pattern that `re.compile` sees only when it is used."""
    return cast(re.Pattern[str], _Lazy(pattern, flags))


def blanked_at(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with blanks in these places."""
    if not spans:
        return text
    characters = list(text)
    for start, end in spans:
        characters[start:end] = " " * (end - start)
    return "".join(characters)


class Form:
    """A pattern, and a sign that every match of it has. Most texts lack the sign, and need no closer look."""

    def __init__(self, pattern: str, *, sign: str, flags: int = 0) -> None:
        self._pattern = lazy(pattern, flags)
        self._sign = lazy(sign)
        self._known: dict[str, tuple[re.Match[str], ...]] = {}

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All matches in a text."""
        return iter(self._found(text))

    def match(self, text: str) -> re.Match[str] | None:
        """The match at the beginning of a text."""
        return self._pattern.match(text)

    def blank(self, text: str) -> str:
        """The text with blanks in the place of all matches."""
        return blanked_at(text, [match.span() for match in self._found(text)])

    def _found(self, text: str) -> tuple[re.Match[str], ...]:
        """All matches, remembered for the last few texts, because several kinds of commitment use the same ones."""
        found = self._known.get(text)
        if found is None:
            found = tuple(self._matches(text))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = found
        return found

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        return self._pattern.finditer(text) if self._sign.search(text) else iter(())


class Paired(Form):
    """A pattern for texts between marks that open and marks that close, all on one line.

    Where nothing closes a mark, no more marks of its kind are tried on that line: each would be read to its end.
    """

    def __init__(self, pattern: str, *, opening: str, closing: Mapping[str, str]) -> None:
        """`opening` are all characters with which a match may begin; `closing` has what ends those of several kinds."""
        super().__init__(pattern, sign=f"[{re.escape(opening)}]")
        self._closing = closing

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        end = 0
        hopeless: dict[str, int] = {}
        for place in self._sign.finditer(text):
            start, mark = place.start(), place[0]
            if start < max(end, hopeless.get(mark, 0)):
                continue
            match = self._pattern.match(text, start)
            if match is not None:
                end = match.end()
                yield match
            elif text[start + 1 : start + 2] not in self._closing.get(mark, text):
                hopeless[mark] = len(text) if (line_end := text.find("\n", start)) < 0 else line_end


class Forms(Form):
    """Several patterns, each with a sign of its own: only those are looked for whose sign a text has."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        super().__init__("|".join(patterns.values()), sign="")
        self._signs = [(lazy(sign), pattern) for sign, pattern in patterns.items()]
        self._joined: dict[tuple[str, ...], re.Pattern[str]] = {}

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        patterns = tuple(pattern for sign, pattern in self._signs if sign.search(text))
        if not patterns:
            return iter(())
        if patterns not in self._joined:
            self._joined[patterns] = re.compile("|".join(patterns))
        return self._joined[patterns].finditer(text)
