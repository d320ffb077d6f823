"""Schemas that a prompt or its context gives the reply, told from those that it is about. Pure."""

import re

_SPACE = r"\s{1,4}"
# A variable whose name says what will stand there.
_VARIABLE = (
    r"\{\s{0,4}\w{0,30}?(?:(?:format|output|parser|schema)_?instructions?"
    r"|(?:output|response|reply|answer)_?(?:format|schema|structure))\s{0,4}\}"
)
# What replies are asked for with: "Return", "Then answer", "The output should".
_BEGIN = rf"(?:(?:^|[.!?:;,])\W{{0,12}}|\b(?:and|then|please|must|should|always){_SPACE})"
_REPLY = r"(?:output|repl(?:y|ies)|responses?|answers?|results?)"
_ASKING = (
    rf"(?:(?:reply|respond|answer|return|output|write|give|produce|generate|emit|provide)"
    rf"|format (?:your|the) {_REPLY}"
    rf"|(?:(?:your|the|each|every|final){_SPACE}){{0,2}}{_REPLY}{_SPACE}"
    r"(?:must|should|shall|(?:has|have|needs?) to|is|are|will))"
)
# Nothing else may stand between that and the schema: "Reply yes if the config matches the schema" has none.
_REST = (
    rf"(?:{_SPACE}(?:only|just|strictly|always|exactly|with|in|as|using|by|an?|the|one|this|that|which|your|me|us|it|be"
    r"|is|must|should|to|of|and|nothing|else|valid|single|raw|plain|well-formed|JSON|XML|YAML|object|value|instance"
    rf"|array|list|document|data|record|text|{_REPLY}|formatted|structured|markdown|code|snippet|block|format|form"
    r"|structure|following|given|below|exact)\b){0,12}?"
)
_BY = (
    r"(?:conform(?:s|ing)? (?:to|with)|validat(?:es?|ing) (?:against|by|with)|match(?:es|ing)?|follow(?:s|ing)?"
    r"|according to|adher(?:es?|ing) to|compl(?:y|ies|ying) with|satisf(?:y|ies|ying)|fit(?:s|ting)?|by|per|in|with"
    r"|using)"
)
_OF_THE = (
    rf"(?:{_SPACE}(?:this|the|an?|that|your|following|given|provided|exact|same|JSON|XML|output|response)\b){{0,5}}"
)
_KEYS = (
    rf"JSON(?: (?:object|array|list|document|value))?{_SPACE}(?:with|having|containing|that has)"
    r"(?: \w{1,20}){0,3}? (?:keys?|fields?|properties|attributes)\b"
)
_SHOWN = r"(?:format|form|structure|shape|template)\s?:?\s{0,4}(?:```\w{0,8}\s{0,4})?\{{1,2}\s{0,8}[\"']"
_GIVEN = re.compile(
    rf"{_VARIABLE}|{_BEGIN}{_ASKING}{_REST}{_SPACE}"
    rf"(?:{_BY}{_OF_THE}{_SPACE}(?:schema\b|\{{{{0,2}}\w{{0,30}}schema\}})"
    rf"|{_KEYS}|{_SHOWN})",
    re.IGNORECASE | re.MULTILINE,
)
_ON_ITS_LINE = re.compile(r"^[^\S\n]{0,8}[{$]{0,3}\{json_?schema\}{1,2}[^\S\n]{0,8}$", re.IGNORECASE | re.MULTILINE)


def has_schema(text: str) -> bool:
    """Whether a text says that replies have the fields of a schema.

    A schema that stands alone as a variable is one for the reply only where the text does not speak of schemas.
    """
    if _GIVEN.search(text):
        return True
    rest, found = _ON_ITS_LINE.subn("", text)
    return bool(found) and "schema" not in rest.lower()
