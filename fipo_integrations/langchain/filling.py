"""Filled templates: from a text and its template, the text that another template makes with the same values.

What a variable stands for is read from the text and put back as it is, so that no document passes through a rewriter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

from langchain_core.utils import mustache

from fipo_integrations.langchain.variables import TemplateFormat, field_of


@dataclass(frozen=True, slots=True)
class Form:
    """A template's text as its fixed parts and the gaps between them."""

    literals: tuple[str, ...]
    """One more than there are gaps."""
    gaps: tuple[str, ...]
    """The variables, as they are written; those that follow each other at once are one gap."""


@lru_cache(maxsize=1024)
def form_of(text: str, template_format: TemplateFormat | None) -> Form | None:
    """The form of a template's text; None where more than variables are filled in: sections, partials, jinja2."""
    literals, gaps = [""], [""]
    for literal, variable in _pieces(text, template_format):
        if variable is None:
            return None
        if literal and gaps[-1]:
            literals.append(literal)
            gaps.append(variable)
        else:
            literals[-1] += literal
            gaps[-1] += variable
    if gaps[-1]:
        literals.append("")
    return Form(tuple(literals), tuple(gap for gap in gaps if gap))


def _pieces(text: str, template_format: TemplateFormat | None) -> Iterator[tuple[str, str | None]]:
    if template_format is None:
        yield text, ""
    elif template_format == "f-string":
        for literal, name, spec, conversion in Formatter().parse(text):
            yield literal, "" if name is None else field_of(name, spec, conversion)
    elif template_format == "mustache":
        for kind, key in mustache.tokenize(text):
            if kind == "literal":
                yield key, ""
            else:
                yield "", f"{{{{{key}}}}}" if kind in ("variable", "no escape") else None
    else:
        yield "", None


def refilled(filled: str, old: Form, new: Form) -> str | None:
    """The text that `new` makes with the values that fill `old` in a text; None where these are not certain."""
    if sorted(old.gaps) != sorted(new.gaps):
        return None
    found = {_filled(new, old.gaps, values) for values in (_first(filled, old), _last(filled, old))}
    # Where a value contains the text between two variables, the whole can be read in several ways.
    return found.pop() if len(found) == 1 else None


def matches(filled: str, form: Form) -> bool:
    """Whether a text may be a filled version of a template's text."""
    return _first(filled, form) is not None


def _first(filled: str, form: Form) -> list[str] | None:
    """What fills the gaps if each of them ends as early as it can."""
    first, *others = form.literals
    if not filled.startswith(first):
        return None
    values, place = [], len(first)
    for number, literal in enumerate(others):
        is_last = number == len(others) - 1
        end = len(filled) - len(literal) if is_last else filled.find(literal, place)
        if end < place or not filled.startswith(literal, end):
            return None
        values.append(filled[place:end])
        place = end + len(literal)
    return values if place == len(filled) else None


def _last(filled: str, form: Form) -> list[str] | None:
    """What fills the gaps if each of them ends as late as it can."""
    turned = Form(tuple(literal[::-1] for literal in reversed(form.literals)), form.gaps)
    values = _first(filled[::-1], turned)
    return None if values is None else [value[::-1] for value in reversed(values)]


def _filled(form: Form, gaps: Sequence[str], values: Sequence[str] | None) -> str | None:
    if values is None:
        return None
    known: dict[str, str] = {}
    for gap, value in zip(gaps, values, strict=True):
        if known.setdefault(gap, value) != value:
            return None
    return fill(form, known)


def fill(form: Form, values: Mapping[str, str]) -> str:
    """The text that a form makes with values in its gaps."""
    between = (values[gap] + literal for gap, literal in zip(form.gaps, form.literals[1:], strict=True))
    return form.literals[0] + "".join(between)
