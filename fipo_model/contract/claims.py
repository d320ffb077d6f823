"""What an addition says about the form of the output, checked against the right outputs in a request. Pure, English.

"Each on its own line" is true or false of outputs that a request shows; about others a rewriter would be guessing. Only
claims in common words are read. A claim that may be about the inputs instead is believed if it is true of one of these.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.shown import outputs_shown

_BRACKETS = "()[]{}<>"
_QUOTES = '"“”„«»'
SIGNS = {
    "comma": ",",
    "semicolon": ";",
    "colon": ":",
    "slash": "/",
    "slashe": "/",
    "hyphen": "-",
    "dash": "-–—",
    "dashe": "-–—",
    "pipe": "|",
    "bar": "|",
    "underscore": "_",
    "arrow": ">→",
    "plus": "+",
    "tab": "\t",
    "space": " ",
}


_COUNTS = ("none", "one", "two", "three", "four", "five", "six", "seven")
_ONE_OF = lazy(r"\b(?:one|name|label|word|category) of the (two|three|four|five|six|seven)\b")
_LEADING_ZERO = re.compile(r"(?<![\d.,])0\d")


@dataclass(frozen=True, slots=True)
class _Claim:
    said: re.Pattern[str]
    holds: Callable[[Sequence[str]], bool]
    may_be_of_inputs: bool = False


def _some(signs: str) -> Callable[[Sequence[str]], bool]:
    return lambda outputs: any(sign in output for output in outputs for sign in signs)


def _none(signs: str) -> Callable[[Sequence[str]], bool]:
    return lambda outputs: not _some(signs)(outputs)


_CLAIMS = (
    _Claim(
        lazy(
            r"\b(?:each|every|one|them)\b[^.;]{0,60}?\bon (?:its|their|a|one)(?: own| separate| new)* line\b"
            r"|\bit on (?:its own|a separate|a new) line\b"
            r"|\bone (?:\w+ ){0,2}(?:a|per) line\b|\bon (?:separate|different|several|their own) lines\b"
        ),
        _some("\n"),
    ),
    _Claim(
        lazy(
            # "Each item on one line" says the opposite.
            r"(?:^|[.;:!?])(?:(?!\b(?:each|every|one|two|several|any|per|never|not|don't)\b)[^.;:!?])*"
            r"\b(?:on|in|with) (?:one|a single|the same) line\b(?! of its)"
            r"|\b(?:without|no) (?:any )?(?:line ?breaks|newlines)\b"
        ),
        _none("\n"),
    ),
    _Claim(
        lazy(
            r"(?<!without )(?<!without a )(?<!no )\bline ?breaks? between\b|\bseparate[sd]? (?:\w+ ){0,3}(?:by|with) "
            r"(?:line ?breaks|newlines)\b|\ba new line for (?:each|every)\b"
        ),
        _some("\n"),
    ),
    _Claim(lazy(r"\b(?:without|no) (?:any )?(?:spaces?|blanks?)\b(?! (?:before|after|around|at|between))"), _none(" ")),
    _Claim(lazy(r"(?<!no )(?<!without )(?<!without a )\bspaces? between\b"), _some(" ")),
    _Claim(lazy(r"(?<!no )(?<!without )\bcommas?(?: and a space)? between\b"), _some(",")),
    _Claim(
        lazy(r"(?<!without )\b(?:in|with|between|inside|within|into) (?:double |single )?(?:quotation marks|quotes)\b"),
        _some(_QUOTES + "'"),
        may_be_of_inputs=True,
    ),
    _Claim(lazy(r"\b(?:without|no) (?:the |any )?(?:quotation marks|quotes)\b"), _none(_QUOTES)),
    _Claim(
        lazy(r"(?<!without )\b(?:in|with|between|inside|within|into) (?:\w+ )?brackets\b"),
        _some(_BRACKETS),
        may_be_of_inputs=True,
    ),
    _Claim(lazy(r"\b(?:without|no) (?:the |any )?(?:\w+ )?brackets\b"), _none(_BRACKETS)),
    _Claim(
        lazy(
            r"(?<!without )(?<!no )\ba (?:full stop|period) (?:after|at)\b|\bends? (?:in|with) a (?:full stop|period)\b"
        ),
        _some("."),
    ),
    _Claim(
        lazy(r"\b(?:without|no) (?:an? |the |any )?(?:full stop|period)\b"),
        lambda outputs: not any(output.endswith(".") for output in outputs),
    ),
    _Claim(lazy(r"\b(?:in|as|with) (?:plain )?(?:digits|figures)\b"), _some("0123456789")),
    _Claim(
        lazy(r"\b(?:without|no) (?:any |a |the )?leading zero(?:e?s)?\b"),
        lambda outputs: not any(_LEADING_ZERO.search(output) for output in outputs),
    ),
)
_SEPARATED = lazy(
    r"\bseparated (?:by|with) (?:an? |single |one )*(?:[\"'`“‘]([^\"'`”’]{1,4})[\"'`”’]|(\w+?)s?\b|([^\s\w\"'`“‘]))"
)
_DENIED = lazy(r"(?:\bnot|\bnever|n't|\brather than|\binstead of)(?: \w+){0,2} $")


def forms_contradicted(case: Case) -> str | None:
    """Claims about the output's form that are true of none of the outputs shown."""
    outputs = outputs_shown(case.request)
    if not outputs or not case.is_addition:
        return None
    added, naive = case.added.lowered, case.naive.lowered
    inputs = [example.input for example in case.request.examples]
    for claim in _CLAIMS:
        if claim.holds(outputs) or (claim.may_be_of_inputs and claim.holds(inputs)) or claim.said.search(naive):
            continue
        for found in claim.said.finditer(added):
            if not _DENIED.search(added[: found.start()]):
                return f"'{found[0]}' is not true of the outputs shown"
    return _separated_otherwise(added, outputs, inputs) or _too_few(added, outputs)


def _too_few(added: str, outputs: Sequence[str]) -> str | None:
    """ "One of the three labels", where four different outputs are shown."""
    different = {output.casefold() for output in outputs}
    for found in _ONE_OF.finditer(added):
        if len(different) > _COUNTS.index(found[1]):
            return f"'{found[0]}' is too few for the {len(different)} outputs shown"
    return None


def _separated_otherwise(added: str, outputs: Sequence[str], inputs: Sequence[str]) -> str | None:
    for found in _SEPARATED.finditer(added):
        quoted, named, sign = found.groups()
        signs = SIGNS.get(named) if named else quoted or sign
        if signs is None:
            continue
        between = [signs] if quoted else list(signs)
        if not any(each in text for each in between for text in (*outputs, *inputs)):
            return f"'{found[0]}' is not true of the outputs shown"
    return None
