"""The form that all right outputs have, said in one sentence ("Reply with a number in digits and nothing else."). Pure.

Reading a form off outputs is what small models do worst, and a rule can do it without guessing. A form is said only if
it has a plain English name and explains every output given. Equal outputs are one piece of evidence: what may be a
coincidence (a letter, a length, the number of words) takes several different ones.
"""

from collections.abc import Sequence

from fipo_model.contract.leaking import is_missing
from fipo_model.forms.codes import read_code, read_named
from fipo_model.forms.labels import are_labels, label_sentence, misleads
from fipo_model.forms.lists import read_items, read_lines
from fipo_model.forms.marks import Mark, find_mark
from fipo_model.forms.moments import read_moment
from fipo_model.forms.numbers import read_quantity
from fipo_model.forms.objects import read_json
from fipo_model.forms.words import read_choice, read_words

__all__ = ["are_labels", "form_sentence", "label_sentence", "misleads"]

_LONGEST_ANSWER = 300  # characters; longer outputs are documents, whose form has no brief name


def form_sentence(outputs: Sequence[str]) -> str | None:
    """What to ask for so that an answer has the form that all of these right outputs have; None where that is unclear.

    Dates, JSON, and integers are told from one output; currencies, codes and marks around the answer from two
    different ones; letter case, the number of words, units of measure and lists of pairs from three or more.
    """
    right = [output.strip() for output in outputs]
    if not right or not all(right):
        return None
    different = list(dict.fromkeys(right))
    form = read_json(different) or read_choice(different, count=len(right)) or _read(different, count=len(right))
    if form is None or "{" in form or "}" in form:  # which would be a variable of the prompt
        return None
    return f"Reply with {form}{',' * (',' in form or form.count(' and ') > 0)} and nothing else."


def _read(different: Sequence[str], *, count: int) -> str | None:
    """The form of different outputs, of which there are `count` with the equal ones."""
    if any(len(output) > _LONGEST_ANSWER for output in different) or any("\n" in output for output in different):
        return read_lines(different)
    return _plain(different) or _with_missing(different) or _marked(different, count) or _loose(different, count)


def _plain(different: Sequence[str]) -> str | None:
    """A form that is unmistakable."""
    readers = (read_moment, read_quantity, read_named)
    return next(filter(None, (read(different) for read in readers)), None)


def _with_missing(different: Sequence[str]) -> str | None:
    """A form with one text for what is not known, such as "N/A"."""
    missing = [output for output in different if is_missing(output)]
    others = [output for output in different if output not in missing]
    form = _plain(others) if len(missing) == 1 and len(others) > 1 else None
    return None if form is None else f'{form} or "{missing[0]}"'


def _marked(different: Sequence[str], count: int) -> str | None:
    """The form of what is between the marks that all outputs begin or end with, and these marks."""
    mark = find_mark(different)
    if mark is None:
        return None
    inner = [output[mark.before : len(output) - mark.after].strip() for output in different]
    form = read_choice(inner, count=count) or _plain(inner) or _loose(inner, count)
    return _said(mark, form)


def _said(mark: Mark, form: str | None) -> str | None:
    if form is None:
        return mark.name.format("the answer") if mark.is_certain else None
    return mark.name.format(f"{form}, all" if "," in form else form)


def _loose(different: Sequence[str], count: int) -> str | None:
    """A form that other outputs could have by chance, too."""
    return read_items(different) or read_code(different) or read_words(different, count=count)
