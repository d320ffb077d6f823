"""Parts of an input that nobody spoke of: "the language named in the question", where there is none. Pure, English.

What holds of every input ("the text", "the message") is no such part. Where inputs or a context are shown, a rewriter
could see what they have.
"""

import re
from collections.abc import Mapping

from fipo_model.contract.case import Case
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


def absent_part(case: Case) -> str | None:
    """The part that the rewrite points to, though nothing is shown, and the prompt does not have it or hint at it."""
    if case.request.examples or case.request.context or case.added.lexicon.code != "en":
        return None
    for match in _POINTS.finditer(case.added.lowered):
        is_absent = _is_of_a_variable if match["part"] == _QUESTION else _is_not_hinted_at
        if match["part"] not in case.naive.lowered and is_absent(match, case.naive):
            return f"speaks of 'the {match['part']}', which your prompt does not have"
    return None


def _is_of_a_variable(match: re.Match[str], naive: Reading) -> bool:
    """Whether a variable of the prompt stands for what is said to be named in the question."""
    named = (re.findall(r"[^\W_]+", each.key.lower()) for each in variables(naive.text))
    return any(match["what"] in words for words in named)


def _is_not_hinted_at(match: re.Match[str], naive: Reading) -> bool:
    """Whether the prompt lacks the words that go with a part."""
    return _HINTS[match["part"]].search(naive.lowered) is None
