"""The variables of a template's text: what a rewriter is shown, and the proof that a rewrite still has them all.

A rewrite is put back only if it names every variable exactly as often as the original did, and in the same order where
mustache's sections nest. Whatever else a model writes, braces included, becomes plain text.
"""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import takewhile
from string import Formatter
from typing import Literal

from langchain_core.utils import mustache

from fipo_model.errors import InputError

TemplateFormat = Literal["f-string", "mustache", "jinja2"]

_WORD = re.compile(r"[^\W\d_]{2}")
_FEWEST_WORDS = 3  # of leading lines that are an instruction by themselves
_BLANK_LINES = re.compile(r"(\n\s*\n)")
# A line that begins with up to three words and a colon; the second group is empty where nothing stands behind it.
_LABEL = re.compile(r"^[^\w\n]*(\w+(?: \w+){0,2})(?::(?!\S)|\uff1a)[ \t]*(\S?)", re.MULTILINE)
_MUSTACHE_TAG = re.compile(r"\{\{.*?\}\}\}?", re.DOTALL)
_FIRST_FIELD = re.compile(r"(?<!\{)(?:\{\{)*\{(?!\{)")  # an odd number of braces: the last one is not a literal


class VariablesChangedError(ValueError):
    """A rewrite that cannot take a template's place, and why."""


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A template's text taken apart: the instruction that is rewritten, and what stays around it.

    Where the lines before the first variable say enough, they are the instruction, and the rest is the context it is
    applied to (paper, section 3.1), which stays word for word. White space at both ends stays as well.
    """

    original: str
    format: TemplateFormat | None
    """None: static text, in which braces mean nothing."""
    before: str
    instruction: str
    """As a rewriter sees it: variables as they are written, other braces as they will read."""
    after: str
    fields: tuple[str, ...] = ()
    """The variables of an f-string's instruction, as they are written."""

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
        """The template's text with another instruction.

        Raises `VariablesChangedError` unless it has the variables of the original, each exactly as often.
        """
        text = instruction.strip()
        if self.format == "f-string":
            text = _escaped(text, self.fields)
        new = f"{self.before}{text}{self.after}"
        if self.format is not None:
            _compare(_variables(new, self.format), _variables(self.original, self.format))
        if self.format == "mustache" and new.count("{{") != self.original.count("{{"):
            # A comment, or braces at the end that are never closed, would vanish with what follows them.
            raise VariablesChangedError("the rewrite has double braces of its own")
        return new


def take_apart(text: str, template_format: TemplateFormat | None) -> TemplateText:
    """A template's text, ready to be rewritten; raises `InputError` where that could not be done safely."""
    if template_format == "jinja2":
        raise InputError(
            "a jinja2 template can run code, so no model's words may go into it. Use an f-string or mustache template, "
            "or rewrite the rendered prompt with FIPORunnable"
        )
    core = text.strip()
    variables = _variables(core, template_format) if template_format else []
    if any(variable.startswith("{{=") for variable in variables):
        raise InputError("it changes mustache's delimiters, which FIPO does not follow")
    instruction = _leading_lines(core, template_format) if variables else core
    start = text.find(core)
    before, after = text[:start], text[start + len(instruction) :]
    if template_format != "f-string":
        return TemplateText(text, template_format, before, instruction, after)
    fields = tuple(variables) if instruction == core else ()
    shown = "".join(
        literal + (_field(name, spec, conversion) if name is not None else "")
        for literal, name, spec, conversion in Formatter().parse(instruction)
    )
    if len(_any_of(fields).findall(shown)) != len(fields):
        raise InputError("it has literal braces that read like one of its variables")
    return TemplateText(text, template_format, before, shown, after, fields)


def _leading_lines(core: str, template_format: TemplateFormat | None) -> str:
    """The lines before the first variable if they can be an instruction, else everything.

    Whole paragraphs where there are several, up to the first with an example (`Review: ...`). What leads over to the
    variable or the example (its paragraph's beginning, a heading, an opening tag, a line that ends in a colon) stays
    with it.
    """
    first = (_MUSTACHE_TAG if template_format == "mustache" else _FIRST_FIELD).search(core)
    if first is None:
        return core
    labels = list(_LABEL.finditer(core))
    used = Counter(label[1] for label in labels)
    # A label that comes again is that of an example, or of what the examples are for.
    end = min([first.start(), *(label.start() for label in labels if used[label[1]] > 1)])
    head = core[: core.rfind("\n", 0, end) + 1]
    parts = _BLANK_LINES.split(head)
    paragraphs = [text + gap for text, gap in zip(parts[::2], parts[1::2], strict=False)]
    start, *others = paragraphs or head.splitlines(keepends=True) or [""]
    head = _without_lead_in([start, *takewhile(lambda part: not _has_labelled_value(part), others)])
    return head if len(head.split()) >= _FEWEST_WORDS and _WORD.search(head) else core


def _has_labelled_value(text: str) -> bool:
    return any(label[2] for label in _LABEL.finditer(text))


def _without_lead_in(parts: list[str]) -> str:
    """Parts of a text, put together without those at the end that only lead over to what follows."""
    while parts:
        text = parts[-1].rstrip()
        if text.endswith((":", "\uff1a")):
            parts[-1] = text[: text.rfind("\n") + 1]
        elif len(text.split()) < _FEWEST_WORDS and not text.endswith((".", "!", "?")):
            parts.pop()
        else:
            break
    return "".join(parts).rstrip()


# How mustache writes what its tokenizer calls these; an ampersand stands for three braces as well.
_SIGILS = {
    "section": "#",
    "inverted section": "^",
    "end": "/",
    "partial": ">",
    "no escape": "&",
    "no escape?": "{",  # opened with three braces and closed with two: renders as nothing
    "set delimiter": "=",
}


def _variables(text: str, template_format: TemplateFormat) -> list[str]:
    """The variables of a template in order, mustache's sections and partials among them, written in one way."""
    try:
        if template_format == "mustache":
            tags = [tag for tag in mustache.tokenize(text) if tag[0] not in {"literal", "comment"}]
            return [f"{{{{{_SIGILS.get(kind, '')}{key}}}}}" for kind, key in tags]
        parsed = list(Formatter().parse(text))
    except (mustache.ChevronError, ValueError) as error:
        raise VariablesChangedError(f"it is no longer a template: {error}") from error
    return [_field(name, spec, conversion) for _, name, spec, conversion in parsed if name is not None]


def _field(name: str, spec: str | None, conversion: str | None) -> str:
    return f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}"


def _any_of(fields: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, fields)) or r"(?!)")


def _escaped(text: str, fields: tuple[str, ...]) -> str:
    """Braces doubled wherever they do not mark a variable."""
    pattern, end, made = _any_of(fields), 0, []
    for match in pattern.finditer(text):
        made += [_doubled(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*made, _doubled(text[end:])])


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _compare(found: list[str], expected: list[str]) -> None:
    lost, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    if lost or extra:
        wrong = [f"lacks {name}" for name in lost] + [f"has {name} once too often" for name in extra]
        raise VariablesChangedError(f"the rewrite {' and '.join(wrong)}")
    if found != expected and any(name[2:3] in {"#", "^"} for name in expected):
        raise VariablesChangedError("the rewrite changes the order of variables and sections")
