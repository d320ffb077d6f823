"""Which part of a prompt on its way to a model is rewritten: the template it was filled from, or else its texts.

Where the template is known, only the template passes through the rewriter, once, however many inputs fill it. Where
only text is known, whatever matches a pattern counts as data and is left out.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.prompts import BasePromptTemplate, ChatPromptTemplate, FewShotPromptTemplate

from fipo_integrations.langchain.filling import Form, form_of, matches, refilled
from fipo_integrations.langchain.found import find
from fipo_integrations.langchain.prompts import Located, Reading, Role, role_of
from fipo_integrations.langchain.report import PromptChange
from fipo_integrations.langchain.variables import VariablesChangedError, doubled, take_apart
from fipo_integrations.langchain.walking import Slot, leaves, mapped, seen, texts_in
from fipo_model.errors import InputError

_REST = "{the rest}"


@dataclass(frozen=True, slots=True)
class Source:
    """A template's text, the form in which it comes, and the role of its message."""

    slot: Slot
    form: Form
    role: str | None

    def found_in(self, texts: Sequence[Located]) -> Located | None:
        """The text that this was filled to: the last of several, but the first of system messages."""
        found = [each for each in texts if each.role == self.role and matches(each.text, self.form)]
        return next(iter(found if self.role == "system" else reversed(found)), None)


@dataclass(frozen=True, slots=True)
class Piece:
    """A text of a prompt, and which part of it is rewritten."""

    slot: Slot
    form: Form | None = None
    """How the text was filled from a template; None where the text itself is rewritten."""
    values: Mapping[str, str] | None = None
    """The data that were taken out of the text, by the names of the variables in their places."""

    def changed(self, text: str, change: PromptChange) -> str | None:
        """The text after a change; None where it is not certain what fills the form."""
        if self.values is not None:
            return change.text.format(**self.values)
        if self.form is None:
            return change.text
        new = form_of(change.text, self.slot.format)
        if new is None:
            return None
        is_open = self.form.gaps[-1:] == (_REST,)
        return refilled(text, self.form, _opened(new) if is_open else new)


def sources_of(template: BasePromptTemplate, roles: tuple[Role, ...] | None) -> tuple[Source, ...] | None:
    """The texts of a template that are rewritten instead of what fills them.

    None where the template has no words of its own, because then its values are the prompt; nothing where these follow
    examples, since they stay. None also where more than
    variables fill it (jinja2, sections), because then it cannot be found again in the result.
    """
    slots = find(template, roles).slots
    if not any(map(_has_words, slots)):
        is_after_examples = isinstance(template, FewShotPromptTemplate) and template.suffix.strip()
        return () if is_after_examples else None
    whose: list[tuple[str, Any]] = list(leaves(template)) if isinstance(template, ChatPromptTemplate) else []
    made = []
    for slot in slots:
        form = form_of(slot.text, slot.format)
        if form is None:
            return None
        role = next((role_of(message) for path, message in whose if slot.where.startswith(f"{path}.")), None)
        made.append(Source(slot, _opened(form) if isinstance(template, FewShotPromptTemplate) else form, role))
    return tuple(made)


def says(template: BasePromptTemplate) -> tuple[object, ...]:
    """All that the sources depend on, to be compared: LangChain's templates can be changed in place."""
    if not isinstance(template, ChatPromptTemplate):
        return tuple(seen(lambda look: mapped(template, lambda path: True, look)))
    return tuple((role_of(message), *texts_in(message, path)) for path, message in leaves(template))


def pieces_of(
    reading: Reading, sources: tuple[Source, ...] | None, patterns: Sequence[re.Pattern[str]]
) -> dict[Located, Piece]:
    """What is rewritten of an input, by its texts."""
    if sources is None:
        return {each: _piece(each.text, patterns) for each in reading.chosen}
    found = [(source.found_in(reading.texts), source) for source in sources]
    return {text: Piece(source.slot, source.form) for text, source in found if text is not None}


def _piece(text: str, patterns: Sequence[re.Pattern[str]]) -> Piece:
    values: dict[str, str] = {}
    template, place = "", 0
    for start, end in _data_in(text, patterns):
        name = f"data_{len(values) + 1}"
        values[name] = text[start:end]
        template += f"{doubled(text[place:start])}{{{name}}}"
        place = end
    if not values:
        return Piece(Slot("", text, None))
    return Piece(Slot("", template + doubled(text[place:]), "f-string"), values=values)


def _data_in(text: str, patterns: Sequence[re.Pattern[str]]) -> list[tuple[int, int]]:
    """Where the data stand that patterns mark, in order; those that overlap or touch are one."""
    found = [match.span(match.lastindex or 0) for pattern in patterns for match in pattern.finditer(text)]
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif start < end:
            joined.append((start, end))
    return joined


def _opened(form: Form) -> Form:
    """The form of a text that goes on: examples and their suffix follow."""
    return Form((*form.literals, ""), (*form.gaps, _REST))


def _has_words(slot: Slot) -> bool:
    try:
        return take_apart(slot.text, slot.format).has_words
    except (InputError, VariablesChangedError):
        return False
