"""Whether an instruction asks for the inputs that a program fills in. Pure.

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


def _words_of(names: Sequence[str]) -> frozenset[str]:
    """The words that names are made of, in the singular."""
    words = _WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", " ".join(names)).lower())
    return frozenset(form for word in words for form in (word, word.removesuffix("s")))
