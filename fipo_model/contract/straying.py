"""Whether an addition strays from its task, as far as wordings and examples of the task tell. Pure, for English.

Likelihood alone rewards wordings that bring about the form of an output, whatever they say. A metric rewards those
after which a small model happens to answer well. So this check comes before either decides, in a search or a ranking.
It is stricter than the contract, because a user with examples knows more than a prompt says, and has other rewrites to
choose from.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from fipo_model.contract.asking import asks
from fipo_model.contract.blanking import blanked
from fipo_model.contract.commitments import listed
from fipo_model.contract.reading import Reading, read
from fipo_model.contract.shown import differing_forms
from fipo_model.contract.stemming import stems_of
from fipo_model.contract.wording import synonyms
from fipo_model.contract.words import formats

_PREFIX, _LEAST_PREFIX = 4, 3
# Shorter ones that ask are hasty, too: "what is it about". Of the hasty wordings of 160 tasks, 5 % are longer and ask.
_WHOLE_REQUEST = 5  # words
# The share of an addition's content words that may be new where the task's good wordings are known, and where only a
# hasty one is. Of the good wordings of 70 made tasks, two thirds pass the second; of other tasks' wordings, one in
# twenty does.
_MOST_NEW, _MOST_NEW_TO_HASTY = 0.34, 0.67
# What any instruction may say about its input and output.
_ORDINARY = """
write reply answer output give say return provide respond find decide determine identify only word words text input
single exactly given following sentence correct result new line order same one each every without other appears change
copy keep form example name list
"""
# Words in wordings of many different tasks; they do not turn a proper request into another one.
_USUAL = """
whether classify item value two three alone message whole full separate put between number first last second stand
before after occur part place check compare otherwise content base statement belong end begin letter mark meet element
option term phrase type choose pick select written read position question directly remain left leave rest
"""
# Words about how to work on any task; where a metric scores the answers, they may make these right.
_GUIDANCE = """
think step reason consider careful carefully accurate accurately precise precisely attention detail explain analyze
before finally final brief briefly concise concisely thorough thoroughly sure instruction follow
"""
# Parts of a text; an instruction may speak of them only if some input or output has them.
_PARTS: Mapping[str, str] = {
    "digit digits": r"\d",
    "number numbers numeral numerals": r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|half|zero)\b",
    "comma commas": ",",
    "colon colons": ":",
    "semicolon semicolons": ";",
    "hyphen hyphens": r"[-\u2010\u2011]",
    "bracket brackets parenthesis parentheses": r"[][(){}<>]",
    "space spaces": r"\S \S",
    "letter letters": r"[^\W\d_]",
    "capital capitals uppercase": "[A-Z]",
}
_DENIED = re.compile(r"\b(?:without|no|not|nor|never|any)\W+(?:\w+\W+)?$")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What is known of a task when an addition to a prompt is judged."""

    wordings: str
    """The prompt and its context; or the wordings that the task has, the good ones included."""
    is_well_worded: bool
    """Whether the good wordings are known. Else what is only related to a hasty one belongs to it, too."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Right ones."""
    is_answered: bool = False
    """Whether models answer and a metric scores: it sees the form itself, and how to work may be what they need."""

    @cached_property
    def own(self) -> frozenset[str]:
        """The stems of the wordings."""
        reading = read(self.wordings, "en")
        return frozenset(token.stem for token in reading.tokens if token.text not in reading.lexicon.function)

    @cached_property
    def is_hasty(self) -> bool:
        """Whether no wording of the task is a whole request, so that an addition to it has to make the request."""
        reading = read(self.wordings, "en")
        return not self.is_well_worded and not (asks(reading) and len(reading.tokens) >= _WHOLE_REQUEST)

    @cached_property
    def examples(self) -> Reading:
        """All inputs and outputs."""
        return read("\n".join((*self.inputs, *self.outputs)), "en")

    @cached_property
    def labels(self) -> frozenset[str]:
        """The stems of outputs that recur, as labels do."""
        recurring = [output for output, times in Counter(self.outputs).items() if times > 1]
        return read("\n".join(recurring), "en").stems

    def near(self, stems: Iterable[str]) -> frozenset[str]:
        """The stems that the wordings have, or that are related to one in a hasty wording."""
        if self.is_well_worded:
            return self.own.intersection(stems)
        return frozenset(stem for stem in stems if stem in self.own or self._is_related(stem))

    def _is_related(self, stem: str) -> bool:
        groups = synonyms("en").get(stem, frozenset()) | synonyms("en", related=True).get(stem, frozenset())
        return not self.own.isdisjoint(groups) or any(_are_akin(stem, one) for one in self.own)


def strays(addition: str, ground: Ground) -> str | None:
    """In words, why an addition asks for something else; None where it does not, or is not in English.

    It speaks of what no example has, asks for a form that the right outputs do not have, has no word of the task, or
    too many that are not the task's: neither in its wordings nor in its inputs and outputs.
    """
    added = read(addition, "en")
    if added.language.code not in (None, "en"):
        return None
    if (part := _absent_part(added, ground)) is not None:
        return f"mentions {part!r}, which no example has"
    if not ground.is_answered and (form := differing_forms(added, read(ground.wordings, "en"), ground.outputs)):
        return f"asks for {listed(form)}, but right outputs have another form"
    if not ground.is_well_worded and not ground.is_hasty:
        return None  # an addition to a whole request is guidance, which may be about anything; the contract reads it
    content = _prose(added) - _stems(_ORDINARY)
    if _is_unrelated(added, content, ground):
        return "shares no content word with any wording of the task"
    if ground.is_answered:
        return None  # new words: the metric knows what they bring about
    new = content - ground.near(content) - ground.examples.stems
    if not ground.is_well_worded:
        new -= _stems(_USUAL) | _parts().keys()  # the remaining parts of a text are in the examples
        content -= _stems(_USUAL)
    most = _MOST_NEW * len(content) if ground.is_well_worded else max(1, _MOST_NEW_TO_HASTY * len(content))
    return f"has words new to the task: {', '.join(sorted(new))}" if len(new) > most else None


def _may_help(content: frozenset[str], ground: Ground) -> bool:
    """Whether an addition says how to work, or gives the task in words of the examples, or has only unknown words."""
    if content & _stems(_GUIDANCE) and content <= _stems(_GUIDANCE) | _stems(_USUAL):
        return True
    known = synonyms("en", related=True)
    return not content.isdisjoint(ground.examples.stems - _stems(_USUAL)) or known.keys().isdisjoint(ground.own)


def _is_unrelated(added: Reading, content: frozenset[str], ground: Ground) -> bool:
    if ground.is_well_worded:
        return bool(content) and not ground.near(content)
    if ground.is_answered and _may_help(content, ground):
        return False
    spoken = {token.stem for token in added.tokens if token.text not in added.lexicon.function}
    if not ground.own or ground.near(spoken) or not ground.labels.isdisjoint(spoken):
        return False
    return not formats(added)  # the remaining forms are those of the right outputs


def _absent_part(added: Reading, ground: Ground) -> str | None:
    """The first part of a text that is mentioned, not denied, and in no example, unless the wordings mention it."""
    for token in added.tokens:
        form = _parts().get(token.stem)
        if form is None or token.stem in ground.own or form.search(ground.examples.text):
            continue
        if not _DENIED.search(added.lowered[: token.start]):
            return token.text
    return None


def _prose(reading: Reading) -> frozenset[str]:
    """The content words outside of addresses and code."""
    prose = blanked(reading)
    words = (token for token in reading.tokens if token.is_content and not prose[token.start].isspace())
    return frozenset(token.stem for token in words if not token.text.isdigit())


def _are_akin(stem: str, other: str) -> bool:
    """Whether one word may be made from the other: "lower" and "lowercase", "caps" and "capital"."""
    short, long = sorted((stem, other), key=len)
    return len(short) >= _LEAST_PREFIX and long.startswith(short[:_PREFIX])


@cache
def _stems(words: str) -> frozenset[str]:
    return frozenset(stems_of(words.split(), "en"))


@cache
def _parts() -> Mapping[str, re.Pattern[str]]:
    return {stem: re.compile(form) for words, form in _PARTS.items() for stem in stems_of(words.split(), "en")}
