"""The variables of a template's text: what a rewriter is shown, and the proof that a rewrite still has them all.

A rewrite is put back only if it names every variable exactly as often as the original did, and in the same order where
mustache's sections nest. Whatever else a model writes, braces included, becomes plain text.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter
from typing import Literal

from langchain_core.utils import mustache

from fipo_integrations.langchain.layout import Layout, has_only_labels, lay_out
from fipo_model.errors import InputError

TemplateFormat = Literal["f-string", "mustache", "jinja2"]

_WORD = re.compile(r"[^\W\d_]{2}")
_MUSTACHE_TAG = re.compile(r"\{\{.*?\}\}\}?", re.DOTALL)


_COLONS = (":", "\uff1a")


class VariablesChangedError(ValueError):
    """A rewrite that cannot take a template's place, and why."""


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A template's text taken apart: the instruction that is rewritten, and what stays around it, word for word.

    The instruction may have variables in it. It ends where the data begin to which it is applied (paper, section 3.1:
    the context). White space at both ends of the text stays.
    """

    original: str
    format: TemplateFormat | None
    """None: static text, in which braces mean nothing."""
    before: str
    instruction: str
    """As a rewriter sees it: variables as they are written, other braces as they will read."""
    lead_in: int
    """Where in the instruction that begins which only leads over to the data; there an addition goes."""
    after: str
    fields: tuple[str, ...] = ()
    """The variables of an f-string's instruction, as they are written."""
    has_only_labels: bool = False
    """Whether the text is no instruction, but the form that something is put into, such as a document."""

    @property
    def has_words(self) -> bool:
        """Whether the instruction says anything besides its variables."""
        pattern = _MUSTACHE_TAG if self.format == "mustache" else _any_of(self.fields)
        return _WORD.search(pattern.sub(" ", self.instruction)) is not None

    @property
    def context(self) -> str | None:
        """What follows the instruction, as it is written in the template."""
        return self.after.strip() or None

    def rewritten(self, instruction: str) -> str:
        """The template's text with another instruction, or with an addition in the right place.

        Raises `VariablesChangedError` unless it has the variables of the original, each exactly as often.
        """
        text, added = instruction.strip(), ""
        if text.startswith(self.instruction) and text[len(self.instruction) :][:1].isspace():
            added = text[len(self.instruction) :]
        after = self.after
        if added and self.lead_in < len(self.instruction):
            text = self._before_lead_in(added)
        elif not text.endswith(_COLONS):
            after = _apart(added, after)
        if self.format == "f-string":
            text = _escaped(text, self.fields)
        new = f"{self.before}{text}{after}"
        if self.format is not None:
            _compare(_variables(new, self.format), _variables(self.original, self.format))
        if self.format == "mustache" and new.count("{{") != self.original.count("{{"):
            # A comment, or braces at the end that are never closed, would vanish with what follows them.
            raise VariablesChangedError("the rewrite has double braces of its own")
        return new

    def _before_lead_in(self, added: str) -> str:
        """The instruction with an addition before the lead-in to the data."""
        head = self.instruction[: self.lead_in].rstrip()
        if not head:
            return f"{added.strip()}\n\n{self.instruction}"
        return f"{head}{added}{_apart(added, self.instruction[len(head) :])}"


def _apart(added: str, after: str) -> str:
    """The text after an addition, never glued to it, and an empty line away from one that is a paragraph."""
    rest = after.lstrip()
    gap = after[: len(after) - len(rest)]
    if not rest or "\n\n" in gap:
        return after
    is_glued = "\n" not in gap
    return f"\n\n{rest}" if is_glued or "\n\n" in added else after


@lru_cache(maxsize=1024)
def take_apart(text: str, template_format: TemplateFormat | None) -> TemplateText:
    """A template's text, ready to be rewritten; raises `InputError` where that could not be done safely."""
    if template_format == "jinja2":
        raise InputError(
            "a jinja2 template can run code, so FIPO does not write into it. Use an f-string or mustache template, "
            "or rewrite the rendered prompt with FIPORunnable"
        )
    core = text.strip()
    if any(variable.startswith("{{=") for variable in _variables(core, template_format)):
        raise InputError("it changes mustache's delimiters, which FIPO does not follow")
    layout = _layout(core, template_format)
    is_form = template_format is not None and has_only_labels(core, list(_spans(core, template_format)))
    instruction = core[: layout.data].rstrip()
    lead_in = min(layout.lead_in, len(instruction))
    start = text.find(core)
    before, after = text[:start], text[start + len(instruction) :]
    if template_format != "f-string":
        return TemplateText(text, template_format, before, instruction, lead_in, after, has_only_labels=is_form)
    fields = tuple(_variables(instruction, template_format))
    head, rest = _as_read(instruction[:lead_in]), _as_read(instruction[lead_in:])
    if len(_any_of(fields).findall(head + rest)) != len(fields):
        raise InputError("it has literal braces that read like one of its variables")
    return TemplateText(text, template_format, before, head + rest, len(head), after, fields, is_form)


def _layout(core: str, template_format: TemplateFormat | None) -> Layout:
    layout = lay_out(core, list(_spans(core, template_format)))
    try:
        _variables(core[: layout.data], template_format)
        _variables(core[: layout.lead_in], template_format)
    except VariablesChangedError:  # a mustache section begins in one part and ends in the other
        return Layout(0, len(core))
    return layout


def _spans(text: str, template_format: TemplateFormat | None) -> Iterator[tuple[int, int]]:
    """Where the variables of a text stand."""
    if template_format == "mustache":
        yield from (tag.span() for tag in _MUSTACHE_TAG.finditer(text))
    if template_format != "f-string":
        return
    place = 0
    while (place := text.find("{", place)) >= 0:
        if text.startswith("{{", place):
            place += 2
            continue
        start, depth = place, 1
        while depth and (place := place + 1) < len(text):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
        yield start, place + 1
        place += 1


def _as_read(text: str) -> str:
    """A part of an f-string with its variables as they are written, and other braces as they will read."""
    return "".join(
        literal + (field_of(name, spec, conversion) if name is not None else "")
        for literal, name, spec, conversion in Formatter().parse(text)
    )


# How mustache writes the kinds that its tokenizer names; an ampersand means the same as three braces.
_SIGILS = {
    "section": "#",
    "inverted section": "^",
    "end": "/",
    "partial": ">",
    "no escape": "&",
    "no escape?": "{",  # opened with three braces and closed with two: renders as nothing
    "set delimiter": "=",
}


def _variables(text: str, template_format: TemplateFormat | None) -> list[str]:
    """The variables of a template in order, mustache's sections and partials among them, written in one way."""
    if template_format is None:
        return []
    try:
        if template_format == "mustache":
            tags = [tag for tag in mustache.tokenize(text) if tag[0] not in {"literal", "comment"}]
            return [f"{{{{{_SIGILS.get(kind, '')}{key}}}}}" for kind, key in tags]
        parsed = list(Formatter().parse(text))
    except (mustache.ChevronError, ValueError) as error:
        raise VariablesChangedError(f"it is no longer a template: {error}") from error
    return [field_of(name, spec, conversion) for _, name, spec, conversion in parsed if name is not None]


def field_of(name: str, spec: str | None, conversion: str | None) -> str:
    """A variable of an f-string as it is written."""
    return f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"


def _any_of(fields: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, fields)) or r"(?!)")


def _escaped(text: str, fields: tuple[str, ...]) -> str:
    """Braces doubled wherever they do not mark a variable."""
    pattern, end, made = _any_of(fields), 0, []
    for match in pattern.finditer(text):
        made += [doubled(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*made, doubled(text[end:])])


def doubled(text: str) -> str:
    """The text as a template has it: its braces mark no variables."""
    return text.replace("{", "{{").replace("}", "}}")


def _compare(found: list[str], expected: list[str]) -> None:
    lost, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    if lost or extra:
        wrong = [f"lacks {name}" for name in lost] + [f"has {name} once too often" for name in extra]
        raise VariablesChangedError(f"the rewrite {' and '.join(wrong)}")
    if found != expected and any(name[2:3] in {"#", "^"} for name in expected):
        raise VariablesChangedError("the rewrite changes the order of variables and sections")
