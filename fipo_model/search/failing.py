"""Which failures are temporary: those of transport to a model, not those of the request. Pure."""

import re
from collections.abc import Iterator

from fipo_model.errors import ServerError
from fipo_model.search.shortening import shortened
from fipo_model.search.subject import Failed

_PASSING_STATUS = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_PASSING_KIND = re.compile(
    r"rate.?limit|timeout|timed.?out|connection|transport|unavailable|overloaded|throttl|too.?many.?requests|"
    r"server.?error|bad.?gateway|quota|resource.?exhausted|gaierror",
    re.IGNORECASE,
)
# Errors of these kinds quote what was asked or replied, which may say anything.
_LASTING_KIND = re.compile(
    r"pars|validation|decod|context.?(?:window|length)|bad.?request|invalid|not.?found|unprocessable|"
    r"content.?(?:policy|filter)",
    re.IGNORECASE,
)
_PASSING_WORDS = re.compile(
    r"rate.?limit|time-?out|timed.?out|overloaded|throttl|too.?many.?requests|internal.?server|bad.?gateway|quota|"
    r"try again later|temporarily|(?:service|server|model|currently)(?: is)? unavailable|resource.?exhausted|"
    r"connection.?(?:error|failed|reset|refused|aborted|closed|lost|broken)|"
    r"(?:cannot|could not|failed to) connect\b|"
    r"network is unreachable|no route to host|name resolution|name or service not known|"
    r"(?:^|\bhttp\S* |\b(?:status|error|code|got|returned)\W{1,3})(?:429|500|502|503|504|529)\b(?![.,]\d)",
    re.IGNORECASE,
)
_LONGEST = 500


def failure(error: BaseException) -> Failed:
    """What a run's exception means for its measurement."""
    return Failed(cause=describe(error), is_passing=is_passing(error))


def describe(error: BaseException) -> str:
    """An error's kind and message."""
    return shortened(f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode(), most=_LONGEST)


def is_passing(error: BaseException) -> bool:
    """Whether an error is one of transport: a rate limit, a time-out, a server that is down or has too much to do.

    Clients have no common class for it, and wrap each other's errors. So the last error decides whose status or kind
    is known, and only where none is, what they say.
    """
    causes = list(_causes(error))
    known = (_is_of_a_passing_kind(one) for one in causes)
    decided = next((verdict for verdict in known if verdict is not None), None)
    return any(map(_says_that_it_passes, causes)) if decided is None else decided


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_of_a_passing_kind(error: BaseException) -> bool | None:
    """What an error's status or kind says; None if they say nothing."""
    if isinstance(error, TimeoutError | ConnectionError | ServerError):
        return True
    if (status := _status_of(error)) is not None:
        return status in _PASSING_STATUS
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if any(map(_LASTING_KIND.search, kinds)):
        return False
    return True if any(map(_PASSING_KIND.search, kinds)) else None


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that a client's error carries, itself or in its response."""
    response = getattr(error, "response", None)
    found = [getattr(error, name, None) for name in ("status_code", "status", "http_status", "code")]
    found.append(getattr(response, "status_code", None))
    return next((one for one in found if isinstance(one, int) and 400 <= one < 600), None)


def _says_that_it_passes(error: BaseException) -> bool:
    # An error about a value quotes the value.
    is_of_a_value = isinstance(error, ValueError | TypeError | LookupError | AttributeError | AssertionError)
    return not is_of_a_value and _PASSING_WORDS.search(str(error)) is not None
