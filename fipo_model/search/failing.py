"""Which failures are temporary: those of transport to a model, not those of the request. Pure."""

import re
from collections.abc import Iterator

from fipo_model.addresses import hide_in
from fipo_model.errors import ServerError
from fipo_model.search.shortening import shortened
from fipo_model.search.subject import Failed

_PASSING_STATUS = {408, 409, 425, 429, *range(500, 600)} - {501, 505}  # what a server does not do, it never will
# Names of classes, as words.
_PASSING_KIND = re.compile(
    r"\b(?:rate limit|time ?out|timed out|connection|transport|disconnected|unavailable|overloaded|throttl\w+|"
    r"too many requests|server error|bad gateway|quota|resource exhausted|incomplete read|client payload|"
    r"ssleof|gaierror)\b"
)
# Errors of these kinds quote what was asked or replied, or tell of what ran, which may say anything.
_LASTING_KIND = re.compile(
    r"\b(?:pars\w+|validation|\w*decod\w+|context (?:window|length)|bad request|invalid|not found|unprocessable|"
    r"unsupported|content (?:policy|filter)|interpreter|subprocess|local protocol)\b"
)
_LOOKED_UP = (LookupError, AttributeError, FileNotFoundError, StopIteration)
"""What is missed in a cache says nothing of the error that comes when it is asked for elsewhere."""
_ABOUT_VALUES = (ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, NameError)
# Only whole phrases, because anyone's error may be about a column "quota" or code that "timed out".
_PASSING_WORDS = re.compile(
    r"\brate[ -]limit(?:ed|ing)\b|\brate[ _-]?limit[ _]?(?:was |has been |is )?(?:exceeded|reached|hit|error)\b|"
    r"\b(?:hit|exceeded|reached) (?:the |your )?(?:\w+ )?rate[ -]limit\b|\btoo many requests\b|"
    r"\b(?:serviceunavailable|toomanyrequests|throttling)\w*(?:exception|error)\b|"
    r"\bquota (?:was |has been )?exceeded\b|\bexceeded (?:\w+ ){0,3}quota\b|\bresource(?:_| has been | )exhausted\b|"
    r"^time(?:d |-)?out\b|\b(?:request|response|connection|connect|read|server|upstream|gateway|model|api)\b"
    r"(?:.{0,40}?\btimed[ -]out\b|(?: \w+)? time-?out\b(?! (?:set|must|is|of)\b))|"
    r"(?<!method is )(?<!function is )(?<!operator is )\boverloaded\b|\bthrottl(?:ed|ing)|"
    r"\binternal server error\b|\bbad gateway\b|"
    r"\btry again later\b|\btemporarily unavailable\b|\b(?:service|server|model|currently)(?: is)? unavailable\b|"
    r"\bconnection (?:error|failed|reset|refused|aborted|closed|lost|broken)\b|"
    r"\b(?:cannot|can't|could not|couldn't|failed to|upstream) connect\b|\bserver disconnected\b|"
    r"\b(?:peer|end|server) closed (?:the )?connection\b|"
    r"\bhad an error while processing your request\b|\bdeadline[ _]exceeded\b|"
    r"\bnetwork is unreachable\b|\bno route to host\b|\bname resolution\b|\bname or service not known\b|"
    r"\bstatuscode\.(?:unavailable|resource_exhausted|deadline_exceeded)\b|"  # as gRPC says it
    r"(?:\bhttp\S* |\breceived )(?:429|500|502|503|504|529)\b(?![.,]\d| ?[!=])|"
    r"(?:\bstatus(?:_code)?|\berror|(?<!invalid )\bcode)[ :=(]{1,3}(?:429|500|502|503|504|529)\b"
    r"(?=\s*(?:$|[-:;)\]}]|[.,](?!\d)|too |internal |bad |service |server |gateway ))|"
    r"^(?:429|500|502|503|504|529)(?=$|[:.]?$|:? (?:too|internal|bad|service|server|gateway|unavailable|client)\b)",
    re.IGNORECASE,
)
_NAME_IN_QUOTES = re.compile(r"""(["'`])[\w./:@-]{1,60}\1""")
_QUOTATION = re.compile(r"""["`“‘«]|(?<!\w)'|\b\w+(?:Error|Exception):""")
_LONGEST = 500


def failure(error: BaseException) -> Failed:
    """What a run's exception means for its measurement."""
    return Failed(cause=describe(error), is_passing=is_passing(error))


def describe(error: BaseException) -> str:
    """An error's kind and message, without any key in an address."""
    said = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()
    return shortened(hide_in(said), most=_LONGEST)


def is_passing(error: BaseException) -> bool:
    """Whether an error is one of transport: a rate limit, a time-out, a server that is down or has too much to do.

    Clients have no common class for it, and wrap each other's errors. So the last error decides whose kind or status is
    known, and only where none is, what they say.
    """
    causes = list(_causes(error))
    known = (_is_known_to_pass(one) for one in causes)
    decided = next((verdict for verdict in known if verdict is not None), None)
    return any(map(_says_that_it_passes, causes)) if decided is None else decided


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        # An error about a value is not due to the one that was handled meanwhile, unless it was raised from it.
        is_its_own = error.__suppress_context__ or _quotes(error) or isinstance(error.__context__, _LOOKED_UP)
        error = error.__cause__ or (None if is_its_own else error.__context__)


def _is_known_to_pass(error: BaseException) -> bool | None:
    """What an error's kind or status says; None if they say nothing."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_passing, error.exceptions))
    if isinstance(error, TimeoutError | ConnectionError | ServerError):
        return True
    if _quotes(error):
        return None if error.__cause__ is not None else False
    if (status := _status_of(error)) is not None:
        return status in _PASSING_STATUS
    return True if _is_of(_PASSING_KIND, error) else None


def _quotes(error: BaseException) -> bool:
    """Whether an error is about a value, a reply or the like, and so may quote it."""
    return isinstance(error, _ABOUT_VALUES) or _is_of(_LASTING_KIND, error)


def _is_of(kinds: re.Pattern[str], error: BaseException) -> bool:
    return any(kinds.search(_in_words(kind.__name__)) for kind in type(error).__mro__)


def _in_words(name: str) -> str:
    """A class's name as words: of a `QuotationError`, no part is a quota, and an `APITimeoutError` is a time-out."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", name).lower()


def _status_of(error: BaseException) -> int | None:
    """The HTTP status that a client's error carries, itself or in its response."""
    response = getattr(error, "response", None)
    found = [getattr(error, name, None) for name in ("status_code", "status", "http_status", "code")]
    found.append(getattr(response, "status_code", None))
    if isinstance(response, dict) and isinstance(told := response.get("ResponseMetadata"), dict):  # botocore's
        found.append(told.get("HTTPStatusCode"))
    numbers = (int(one) if isinstance(one, str) and one.isdecimal() else one for one in found)
    return next((one for one in numbers if isinstance(one, int) and 400 <= one < 600), None)


def _says_that_it_passes(error: BaseException) -> bool:
    """Whether an error says so in its own words, which end where it quotes something or names another error."""
    if _quotes(error):
        return False
    said = _NAME_IN_QUOTES.sub("it", str(error))
    quotation = _QUOTATION.search(said)
    return _PASSING_WORDS.search(said[: quotation.end()] if quotation else said) is not None
