"""Whether an instruction asks for what a program settles itself: its inputs, or the form of its outputs. Pure.

`fipo_model.contract` knows how assistants ask for "the text" in general; here the names of the fields are known, too.
"""

import re
from collections.abc import Sequence

_BEGINNING = r"(?:^|(?<=[.!?:;\n,])|\b(?:and|then|also|first)\s)\s*(?:[-*\d.)]+\s*)?(?:(?:first|then|also)\s+)?"
_POLITE = r"(?:please|kindly|(?:could|can|would|will) you(?: please)?|let us have|let me have)\s+"
_THING = r"(?:with\s+)?(?:the|your|a|an|any|all(?: the)?|some|more)\s+(?P<what>(?:[\w'’-]+\s*){1,5})"
_HANDING = r"(?:provide|supply|share|upload|attach|paste|submit|insert|enter)"
_SAYING = r"(?:provide|supply|share|upload|attach|paste|submit|insert|enter|send|specify|type(?: in)?|give|tell|show)"
# After "please" or "give me" any verb of giving asks for the input; elsewhere only a verb of handing over does.
_HANDED = re.compile(rf"{_BEGINNING}{_HANDING}\s+{_THING}", re.IGNORECASE)
_ASKED = re.compile(rf"\b{_POLITE}{_SAYING}\s+(?:(?:me|us)\s+)?{_THING}", re.IGNORECASE)
_ASKED_FOR_ME = re.compile(rf"{_BEGINNING}{_SAYING}\s+(?:me|us)\s+{_THING}", re.IGNORECASE)
# Where the thing itself ends and a description of it begins.
_AFTER = re.compile(
    r"(?i)\b(?:of|for|from|in|on|about|to|that|which|who|as|with|by|based|using|and|or|so|if|when|you|at|into|only)\b"
)
_MATERIAL = frozenset("text input inputs document passage article image picture photo transcript".split())
_PARTICULARS = frozenset(
    "file files email message content data details information material context question code".split()
)
_OF = re.compile(r"(?i)\W*of\b")
_WORD = re.compile(r"[a-z]+")
_FORM = re.compile(
    r"(?i)\b(?:commas?|(?:semi)?colons?|slash(?:es)?|hyphens?|dash(?:es)?|pipes?|underscores?|brackets|parentheses"
    r"|quotation marks|full stops?|bullet(?:s| points?)|(?:a|one|no|without|single) spaces?|(?:capital|small) letters"
    r"|(?:upper|lower)[ -]?case|bold|italics|markdown|html|xml|json|yaml|csv"
    r"|(?:on|in|one|thing|word|item|entry) (?:(?:its|their|a|one|per|own|new|single|separate) ){1,3}lines?)\b"
)
_ALONE = re.compile(
    r"(?i)\b(?:nothing (?:else|more|besides)|no other \w+|no more than that|alone|only (?:that|this|it|the)"
    r"|just (?:that|this|the)|everything else)\b"
)


def wants_inputs(rewrite: str, task: str, inputs: Sequence[str], outputs: Sequence[str]) -> str | None:
    """Where a rewrite, unlike the task, asks its reader for what the program fills in; None if nowhere.

    "Please provide the ticket number" asks for it, "Provide the topic of the ticket" asks for the answer. Where a
    program's fields are not known, the answer is None.
    """
    if not inputs:
        return None
    own, given = _words_of(outputs), _words_of(inputs) | _MATERIAL
    for pattern in (_HANDED, _ASKED, _ASKED_FOR_ME):
        asked_for = given if pattern is _HANDED else given | _PARTICULARS
        for match in pattern.finditer(rewrite):
            said = match["what"]
            thing = _AFTER.split(said, maxsplit=1)[0]
            about = _words_of([said]) if _OF.match(said[len(thing) :]) else _words_of([thing])
            if _words_of([thing]) & (asked_for - own) and not about & own and match[0].lower() not in task.lower():
                return " ".join(match[0].removesuffix(said[len(thing) :]).split()).strip(" .,:;-")
    return None


def form_demanded(rewrite: str, *, known: str, fields: int) -> str | None:
    """What a rewrite says of the form of an output that DSPy gives its form; None if nothing but what is `known`.

    Where the output has several `fields`, "nothing else" is such a demand, too.
    """
    patterns = (_FORM, _ALONE) if fields > 1 else (_FORM,)
    found = (each[0] for pattern in patterns for each in pattern.finditer(rewrite))
    return next((each for each in found if each.lower() not in known.lower()), None)


def _words_of(names: Sequence[str]) -> frozenset[str]:
    """The words that names are made of, in the singular."""
    words = _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", " ".join(names)).lower())
    return frozenset(form for word in words for form in (word, word.removesuffix("s")))
