"""Parts of an input that nobody spoke of: "the language named in the question", where there is none. Pure, English.

What holds of every input ("the text", "the message") is no such part. Where inputs or a context are shown, a rewriter
could see what they have; it must not point to a sign, a line or several words that none of them has.
"""

import re
from collections.abc import Mapping

from fipo_model.contract.case import Case
from fipo_model.contract.claims import SIGNS
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading
from fipo_model.contract.variables import variables

# Parts, and what else in a prompt hints at them.
_PARTS: Mapping[str, str] = {
    "title": r"headline|article|book|film|movie|paper|novel|song|subject|heading|call|page|issue",
    "headline": r"title|article|news|heading",
    "heading": r"title|header|section|chapter|headline",
    "header": r"mail|title|heading|column|request|http|file|csv|table",
    "caption": r"image|picture|photo|figure|chart|video",
    "table": r"csv|column|row|cell|sheet|sql|data|tab\b|schema|record|field|stock|price",
    "chart": r"graph|plot|diagram|figure|data",
    "subject line": r"mail|subject",
    "footnote": r"note|reference|cit(?:e|ation)",
    "attachment": r"attach|mail|file",
}
# Any input may be a question. But what fills a variable stands there, and not in the question.
_QUESTION = "question"
_POINTS = lazy(
    r"\b(?P<what>\w+) (?:named|given|mentioned|stated|listed|specified|asked(?: for| about)?|indicated|requested|shown"
    r"|described|provided|defined|written|found|contained|set)(?: \w+ly)? (?:in|by|at|under|on) the (?:\w+ )?"
    rf"(?P<part>{'|'.join((_QUESTION, *_PARTS))})s?\b"
)
_HINTS = {part: lazy(rf"\b(?:{words})") for part, words in _PARTS.items()}

_AT_A_SIGN = lazy(
    r"\b(?:before|after|behind|left of|right of|(?:left|right)(?:-hand)? side of) the (?:first |last |second )?"
    rf"(?P<sign>{'|'.join(SIGNS)})s?\b"
)
# What goes with a sign without having it in its name: the minutes stand behind a colon.
_SIGN_HINTS: Mapping[str, str] = {
    "colon": r"time|hour|minute|clock|ratio|scor",
    "slash": r"fraction|numerator|denominator|date",
    "comma": r"decimal|whole|name|address|csv|list|clause",
    **dict.fromkeys(("hyphen", "dash"), r"code|phone|range|number|compound|date|span"),
    **dict.fromkeys(
        ("point", "dot", "period", "full stop"), r"decimal|whole|cent|file|extension|version|sentence|domain"
    ),
}
_OF_ANY_SIGN = lazy(r"\b(?:spac|punctuat|typo|format|clean|tidy|sign|symbol|separat|delimit|split)")
_LINE = lazy(r"\b(?:first|second|third|last|next|top|bottom|upper|lower) lines?\b")
_SEVERAL = lazy(
    r"(?<!of )\b(?:(?:the|these|those) two|both) (?:words|numbers|sentences|strings|lists|items|names|dates|texts)\b"
)

# What an input may be, and what else in a prompt is a word for it. "In the list" is said of all that is several.
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(("e-mail", "email", "mail"), r"e-?mail|mail|message|inbox"),
    **{kind: kind for kind in ("letter", "tweet", "speech")},
    **dict.fromkeys(("invoice", "receipt"), r"invoice|receipt|bill"),
    "contract": r"contract|agreement|nda|clause|lease|terms",
    "recipe": r"recipe|dish|ingredient|cook",
    "poem": r"poem|verse|sonnet|haiku|rhyme|stanza",
    "article": r"article|news|story|press|post|blog",
    "review": r"review|feedback|comment|opinion|complaint",
    "ticket": r"ticket|issue|request|complaint|message",
    "report": r"report|note|summary|minutes|log",
    "resume": r"resume|cv|candidate|applica",
    "list": r"list|\w+s\b|csv|row|array|item",
    "conversation": r"conversation|chat|dialog|transcript|messages|history|call",
}
_IN_A_KIND = lazy(rf"\b(?:from|in) the (?P<kind>{'|'.join(_KINDS)})\b")
_NAMES_NO_KIND = frozenset(
    "text texts input inputs content document documents doc docs data body question query context prompt x user human"
    " value request message history example material source passage page".split()
)


def absent_part(case: Case) -> str | None:
    """The part that the rewrite points to, though neither the prompt nor anything shown has it or hints at it."""
    if case.added.lexicon.code != "en":
        return None
    part = (
        _absent_kind(case)
        or _absent_sign(case)
        or (_absent_in_inputs(case) if case.request.examples else _unhinted(case))
    )
    return f"speaks of {part!r}, which {_owner(case)} not have" if part else None


def _owner(case: Case) -> str:
    return "your prompt and the inputs shown do" if case.request.examples else "your prompt does"


def _unhinted(case: Case) -> str | None:
    """A title, a table or the like, where nothing is shown and nothing in the prompt goes with it."""
    if case.request.context:
        return None
    for match in _POINTS.finditer(case.added.lowered):
        is_absent = _is_of_a_variable if match["part"] == _QUESTION else _is_not_hinted_at
        if match["part"] not in case.naive.lowered and is_absent(match, case.naive):
            return f"the {match['part']}"
    return None


def _absent_kind(case: Case) -> str | None:
    """ "From the e-mail", where what fills the prompt is called a letter."""
    names = [set(re.findall(r"[^\W_]+", each.key.lower())) for each in variables(case.material)]
    if not names or any(name <= _NAMES_NO_KIND for name in names):
        return None
    material = case.material.lower()
    kinds = (match["kind"] for match in _IN_A_KIND.finditer(case.added.lowered))
    absent = (kind for kind in kinds if re.search(rf"(?<![^\W_])(?:{_KINDS[kind]})", material) is None)
    return next((f"the {kind}" for kind in absent), None)


def _absent_sign(case: Case) -> str | None:
    """ "What stands before the colon", where nobody wrote a colon or spoke of one."""
    for match in _AT_A_SIGN.finditer(case.added.lowered):
        is_written = any(sign in case.given.text for sign in SIGNS[match["sign"]])
        if not is_written and match["sign"] not in case.given.lowered and not _is_hinted_at(match["sign"], case):
            return f"the {match['sign']}"
    return None


def _is_hinted_at(sign: str, case: Case) -> bool:
    """Whether the prompt is about signs, or about what has this one; inputs that are shown would have it."""
    if case.request.examples:
        return False
    hints = _SIGN_HINTS.get(sign)
    is_of_its = hints is not None and re.search(rf"\b(?:{hints})", case.naive.lowered) is not None
    return is_of_its or _OF_ANY_SIGN.search(case.naive.lowered) is not None


def _absent_in_inputs(case: Case) -> str | None:
    """ "The last line" of inputs that have one, or "the two words" of inputs of a single one."""
    inputs = [example.input.strip() for example in case.request.examples]
    line = _LINE.search(case.added.lowered)
    shown = [*inputs, *(example.output or "" for example in case.request.examples)]
    if line is not None and not any("\n" in each for each in shown) and "line" not in case.naive.stems:
        return f"the {line[0]}"
    several = _SEVERAL.search(case.added.lowered)
    if several is not None and all(len(re.findall(r"\w+", each)) == 1 for each in inputs):
        return several[0]
    return None


def _is_of_a_variable(match: re.Match[str], naive: Reading) -> bool:
    """Whether a variable of the prompt stands for what is said to be named in the question."""
    named = (re.findall(r"[^\W_]+", each.key.lower()) for each in variables(naive.text))
    return any(match["what"] in words for words in named)


def _is_not_hinted_at(match: re.Match[str], naive: Reading) -> bool:
    """Whether the prompt lacks the words that go with a part."""
    return _HINTS[match["part"]].search(naive.lowered) is None
