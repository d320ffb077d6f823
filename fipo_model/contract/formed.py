"""Outputs whose form is fixed beside the prompt, by a type or a schema: no text may ask for another. Pure."""

import re

from fipo_model.contract.case import Case
from fipo_model.types import FixedForm

# A schema, or a parser's own instructions, where nobody has said that there are any.
_SCHEMA = re.compile(
    r'(?i)\{\s*\w*?(?:format|output|parser|schema)_?instructions?\s*\}|"properties"\s*:|\bJSON schema\b'
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


def fixed_form(case: Case) -> FixedForm | None:
    """Who gives the outputs their form: what the request says, or a schema in the prompt or its context."""
    return case.request.fixed_form or ("fields" if _SCHEMA.search(case.material) else None)


def forms_fixed_otherwise(case: Case) -> str | None:
    """What a rewrite says of the form of outputs that have one; nothing but what prompt and context say, too.

    Where an output has several fields, "nothing else" and "answer yes or no" are of its form.
    """
    if (form := fixed_form(case)) is None:
        return None
    known = case.material.lower()
    found = (
        each[0] for one in ((_FORM, _ALONE) if form == "fields" else (_FORM,)) for each in one.finditer(case.added.text)
    )
    said = next((each for each in found if each.lower() not in known), None)
    return None if said is None else f"says {said!r}, but types or a schema give the outputs their form"
