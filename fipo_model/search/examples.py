"""Examples of a prompt's use, in the usual shapes: pairs or rows, with or without right outputs. Pure."""

import copy
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fipo_model.contract.variables import Variable, is_example, pieces, variables
from fipo_model.errors import InputError
from fipo_model.search.metrics import text_of
from fipo_model.types import ShownExample

logger = logging.getLogger("fipo_model.search")

_MOST_SHOWN = 200
_INPUTS = ("input", "inputs")
# Where a row has several, `reference` is the right one: `output` may be what some model said.
_OUTPUTS = ("reference", "output", "outputs", "answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input of a prompt, or its variables, and its right outputs as far as they are known."""

    input: str | Mapping[str, Any]
    outputs: tuple[Any, ...] = ()
    """Texts, or what JSON says; of several, each is right."""

    def __post_init__(self) -> None:
        if not isinstance(self.input, str | Mapping):
            raise InputError(f"an input must be text or a mapping, not {type(self.input).__name__}")
        if not self.input or (isinstance(self.input, str) and not self.input.strip()):
            raise InputError("an input is empty")
        if any(isinstance(output, str) and not output.strip() for output in self.outputs):
            raise InputError("a right output is empty")

    @property
    def rights(self) -> tuple[str, ...]:
        """The right outputs as texts."""
        return tuple(map(text_of, self.outputs))

    @property
    def shown(self) -> ShownExample:
        """What a rewriter may see of it."""
        return ShownExample(_as_text(self.input), output=next(iter(self.rights), None))


Row = Example | ShownExample | Mapping[str, Any] | Sequence[Any]
"""An example; a pair of input and right output; or a row with `input`, and `output`, `outputs` or `reference`."""


def read_examples(rows: Iterable[Row]) -> list[Example]:
    """The rows as examples. Raises `InputError` that names any row which is not one."""
    if isinstance(rows, str | bytes | Mapping):
        raise InputError(f"examples must be a list of rows, not a {type(rows).__name__}")
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(read_example(row))
        except InputError as error:
            raise InputError(f"example {number}: {error}") from error
    return found


def to_show(rows: Iterable[Row]) -> tuple[ShownExample, ...]:
    """What a request has of rows: at most two hundred, those with different outputs first, since a model sees few."""
    given = list(rows) if not isinstance(rows, str | bytes | Mapping) else rows
    pairs = zip(given, read_examples(given), strict=True)
    shown = [row if isinstance(row, ShownExample) else example.shown for row, example in pairs][:_MOST_SHOWN]
    first: dict[str | None, ShownExample] = {}
    for one in shown:
        first.setdefault(one.output, one)
    return (*first.values(), *(one for one in shown if one is not first[one.output]))


def read_example(row: Row) -> Example:
    """A row as an example."""
    if isinstance(row, Example):
        return row
    if isinstance(row, ShownExample):
        return Example(input=row.input, outputs=() if row.output is None else (row.output,))
    if isinstance(row, Mapping):
        return _of_fields(row)
    if isinstance(row, Sequence) and not isinstance(row, str | bytes) and len(row) == len(("input", "output")):
        return Example(input=row[0], outputs=(row[1],))
    raise InputError(
        "it must be a pair of an input and its right output, or a row such as {'input': ..., 'output': ...}, not "
        f"{row!r:.80}"
    )


def _of_fields(row: Mapping[str, Any]) -> Example:
    given = next((row[name] for name in _INPUTS if name in row), None)
    if given is None:
        raise InputError(f"there is no `input`; its fields are {', '.join(map(repr, row)) or 'none'}")
    return Example(input=given, outputs=right_outputs(row))


def right_outputs(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The right outputs of a row's fields, each of which is right; none where it has no such field."""
    name = next((name for name in _OUTPUTS if row.get(name) is not None), None)
    if name is None:
        return ()
    is_several = name == "outputs" and isinstance(row[name], list | tuple)
    return tuple(row[name]) if is_several else (row[name],)


def own_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs for one run alone, since what runs may change them; what cannot be copied is shared."""
    found = {}
    for name, value in inputs.items():
        try:
            found[name] = copy.deepcopy(value)
        except Exception:
            logger.debug("the input %s cannot be copied", name, exc_info=True)
            found[name] = value
    return found


def filled(prompt: str, given: str | Mapping[str, Any]) -> str:
    """What a model is sent: the prompt with its variables filled in, or the prompt, an empty line and the input.

    A text fills the only variable; values without a variable follow with their names.
    """
    parts = pieces(prompt)
    names = {part.name for part in parts if isinstance(part, Variable)}
    if isinstance(given, str):
        if len(names) != 1:
            return f"{prompt}\n\n{given}"
        return "".join(given if isinstance(part, Variable) else part for part in parts)
    values = {name: text_of(value) for name, value in given.items()}
    text = "".join(values.get(part.name, part.text) if isinstance(part, Variable) else part for part in parts)
    rest = {name: value for name, value in values.items() if name not in names}
    return f"{text}\n\n{_as_text(rest)}" if rest else text


def misfit(prompt: str, given: str | Mapping[str, Any]) -> str | None:
    """Why an input does not fit a prompt's variables, as what follows "the prompt"; None where it does.

    A model that gets a variable unfilled, or a value in no place, is measured on what no application sends.
    """
    names = list(dict.fromkeys(part.name for part in pieces(prompt) if isinstance(part, Variable)))
    if isinstance(given, str):
        return f"has {_in_braces(names)}, but the input is a single text" if len(names) > 1 else None
    fields = f"the input has {', '.join(map(repr, given))}"
    if missing := [name for name in names if name not in given]:
        return f"has {_in_braces(missing)}, but {fields}. (If it is no variable, write it without braces.)"
    if names and (spare := [name for name in given if name not in names]):
        return f"has {_in_braces(names)} and no place for {', '.join(map(repr, spare))}; {fields}"
    return None if names else _unfilled(prompt, given)


def _in_braces(names: Sequence[str]) -> str:
    return " and ".join(f"{{{name}}}" for name in names)


def _unfilled(prompt: str, given: Mapping[str, Any]) -> str | None:
    """What to say of a variable with the name of a field, in a form that `filled` does not know, such as $invoice."""
    for one in variables(prompt):
        if not is_example(prompt, one) and any(_has_word(one.text, name) for name in given):
            return f"has {one.text}, which is not filled: a variable is written {{name}}, as one word"
    return None


def _has_word(text: str, name: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text) is not None


def has_variables(text: str) -> bool:
    """Whether `filled` would put anything into the text."""
    return any(isinstance(part, Variable) for part in pieces(text))


def _as_text(given: str | Mapping[str, Any]) -> str:
    if isinstance(given, str):
        return given
    if len(given) == 1:
        return text_of(next(iter(given.values())))
    return "\n".join(f"{name}: {text_of(value)}" for name, value in given.items())
