"""Regular expressions that compile when they are first used, so that importing FIPO stays cheap. Pure."""

import re
from collections.abc import Iterator
from typing import Any, cast


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


class Form:
    """A pattern, with a sign that every match of it has: most texts have none, and need no closer look."""

    def __init__(self, pattern: str, *, sign: str, flags: int = 0) -> None:
        self._pattern = lazy(pattern, flags)
        self._sign = lazy(sign)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """All matches in a text."""
        return self._pattern.finditer(text) if self._sign.search(text) else iter(())

    def match(self, text: str) -> re.Match[str] | None:
        """The match at the beginning of a text."""
        return self._pattern.match(text)

    def blank(self, text: str) -> str:
        """The text with blanks in the place of all matches."""
        if self._sign.search(text) is None:
            return text
        return self._pattern.sub(lambda match: " " * len(match[0]), text)
