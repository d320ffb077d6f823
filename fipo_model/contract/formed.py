"""Outputs whose form is fixed beside the prompt, by a type or a schema: no text may ask for another. Pure."""

import re
from collections.abc import Iterator

from fipo_model.contract.case import Case
from fipo_model.types import FixedForm

# A schema, or a parser's own instructions, where nobody has said that there are any.
_SCHEMA = re.compile(
    r'(?i)\{\s*\w{0,30}?(?:format|output|parser|schema)_?instructions?\s*\}|"properties"\s*:\s*\{\s*"[^"]{1,80}"\s*:\s*\{'
    r"|\b(?:conforms? to|by|follow(?:s|ing)?|match(?:es|ing)?|according to) "
    r"(?:this |the |a )?(?:following )?JSON schema\b"
)
_FORM = re.compile(
    r"(?i)\b(?:commas?|(?:semi)?colons?|slash(?:es)?|hyphens?|dash(?:es)?|pipes?|underscores?|brackets|parentheses"
    r"|quotation marks|full stops?|bullet(?:s| points?)|(?:a|one|no|without|single) spaces?|(?:capital|small) letters"
    r"|(?:upper|lower)[ -]?case|bold|italics|markdown|html|xml|json|yaml|csv"
    r"|(?:on|in|one|thing|word|item|entry) (?:(?:its|their|a|one|per|own|new|single|separate) ){1,3}lines?"
    r"|as (?:(?:a|an|plain) )?(?:strings?|numbers?|integers?|floats?|booleans?|lists?|arrays?)|titles?)\b"
)
_ALONE = re.compile(
    r"(?i)\b(?:nothing (?:else|more|besides)|no other \w+|no more than that|alone|only (?:that|this|it|the)"
    r"|just (?:that|this|the)|everything else"
    r"|(?:give|write|state|name|output|return|reply with|answer with) (?:just|only)"
    r"|(?:answer|reply|respond)(?: with| by)?(?: just| only| either)? (?:yes|no|true|false)"
    r"|(?:answer|reply|respond) with (?:the|this|that|its|their))\b"
)
# What can be taken from a sentence without the rest: "and nothing else", ", and reply with the verdict".
_EMPHASIS = re.compile(r"(?i)(?:,|,? and|,? but) nothing (?:else|more)\b[^.!?\n]*|(?<=\w),? alone\b")
_CLAUSE = re.compile(
    r"(?i),?(?: and| then|;) (?:then )?(?:reply|answer|respond|give|write|state|name|output|return|put|omit)\b"
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


def fixed_form(case: Case) -> FixedForm | None:
    """Who gives the outputs their form: what the request says, or a schema in the prompt or its context."""
    return case.request.fixed_form or ("fields" if _SCHEMA.search(case.material) else None)


def forms_fixed_otherwise(case: Case) -> str | None:
    """What a rewrite says of the form of outputs that have one; nothing but what prompt and context say, too.

    Where an output has several fields, "nothing else" and "answer yes or no" are of its form.
    """
    if (form := fixed_form(case)) is None:
        return None
    said = next(_said(case.added.text, form, case.material.lower()), None)
    return None if said is None else f"says {said!r}, but types or a schema give the outputs their form"


def without_form(case: Case) -> str | None:
    """An addition without what it says of a form that is fixed otherwise; None if nothing is left, or it is none."""
    form, prompt = fixed_form(case), case.request.instruction.strip()
    if form is None or not case.is_addition:
        return None
    before, _, after = case.rewrite_text.partition(prompt)
    known = case.material.lower()
    before, after = (_SENTENCE.sub(lambda one: _trimmed(one[0], form, known), part) for part in (before, after))
    shorter = f"{before}{prompt}{after.rstrip()}".strip()
    return shorter if re.search(r"\w", f"{before}{after}") and shorter != case.rewrite_text.strip() else None


def _trimmed(sentence: str, form: FixedForm, known: str) -> str:
    """A sentence without what it says of the form; nothing if what is left still speaks of it."""
    left = _EMPHASIS.sub(lambda one: one[0] if _is_known(one[0], form, known) else "", sentence)
    if not _is_known(left, form, known):
        starts = [
            clause.start() for clause in _CLAUSE.finditer(left) if not _is_known(left[clause.start() :], form, known)
        ]
        left = f"{left[: starts[-1]]}." if starts else ""
    return left if _is_known(left, form, known) else ""


def _is_known(text: str, form: FixedForm, known: str) -> bool:
    return next(_said(text, form, known), None) is None


def _said(text: str, form: FixedForm, known: str) -> Iterator[str]:
    """The words for a form in a text, without those that are known."""
    patterns = (_FORM, _ALONE) if form == "fields" else (_FORM,)
    found = (each[0] for one in patterns for each in one.finditer(text))
    return (each for each in found if each.lower() not in known)
