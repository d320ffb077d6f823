"""Which failures are temporary: those of transport to a model, not those of the request. Pure."""

import re
from collections.abc import Iterator

from fipo_model.errors import ServerError
from fipo_model.search.shortening import shortened
from fipo_model.search.subject import Failed

_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_PASSING_NAME = re.compile(
    r"rate.?limit|timeout|timed.?out|connection|unavailable|overloaded|throttl|too.?many.?requests|internal.?server|"
    r"bad.?gateway|quota|resource.?exhausted|try again later|temporarily",
    re.IGNORECASE,
)
_PASSING_NUMBER = re.compile(r"(?<![\w.])(?:429|500|502|503|504|529)(?!\w|[.,]\d)")
_LONGEST = 500


def failure(error: BaseException) -> Failed:
    """What a run's exception means for its measurement."""
    return Failed(cause=describe(error), is_passing=is_passing(error))


def describe(error: BaseException) -> str:
    """An error's kind and message."""
    return shortened(f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode(), most=_LONGEST)


def is_passing(error: BaseException) -> bool:
    """Whether an error is one of transport: a rate limit, a time-out, a server that is down or has too much to do.

    Decided by its type, its status, or its words: clients have no common class for it, and wrap each other's errors.
    """
    return any(map(_is_passing_itself, _causes(error)))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_passing_itself(error: BaseException) -> bool:
    if isinstance(error, TimeoutError | ConnectionError | ServerError):
        return True
    for name in ("status_code", "status", "http_status", "code"):
        if getattr(error, name, None) in _STATUS:
            return True
    if _PASSING_NAME.search(type(error).__name__):
        return True
    # An error about a value quotes the value, which may say anything.
    if isinstance(error, ValueError | TypeError | LookupError | AttributeError | AssertionError):
        return False
    return bool(_PASSING_NAME.search(str(error)) or _PASSING_NUMBER.search(str(error)))
