"""Regular expressions that compile when they are first used, so that importing FIPO stays cheap. Pure."""

import re
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
