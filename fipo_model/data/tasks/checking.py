"""Whether a model's reply is right. Pure."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from fipo_model.data.tasks.task import Check, Example, Task
from fipo_model.errors import InputError
from fipo_model.json_values import are_same, parse_json

# The hyphen of "10-15" is no sign; "5.e3" is a number, because `Decimal` takes it for one in a right output.
_NUMBER = re.compile(r"(?:(?<!\w)-)?(?:\d+(?:,\d{3})+(?:\.\d+)?|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)")
_FENCE = re.compile(r"\s*```\w*\n(.*?)\n?```\s*", re.DOTALL)
_QUOTES = "\"'`“”‘’"


def is_right(task: Task, example: Example, reply: str) -> bool:
    """Whether a reply gives a right output of one of the task's examples, in the way the task says.

    `exact`: the same text apart from spaces, quotation marks around it and a full stop. `text`: case does not count,
    either. `choice`: of all choices it names only right ones. `number`: its last number is right. `contains`: it says a
    right output somewhere. `json`: it is the same value, perhaps in a code block. Raises `InputError` for a task whose
    outputs cannot be checked.
    """
    if task.check is None:
        raise InputError(f"the outputs of task {task.name!r} cannot be checked; only their likelihood can be measured")
    return _COMPARISONS[task.check](reply, example)


def _is_exact(reply: str, example: Example) -> bool:
    return _bare(reply) in {_bare(output) for output in example.outputs}


def _is_text(reply: str, example: Example) -> bool:
    return _bare(reply).casefold() in {_bare(output).casefold() for output in example.outputs}


def _is_choice(reply: str, example: Example) -> bool:
    rest, named = reply.casefold(), set()
    # The longest first: "not urgent" does not name "urgent".
    for choice in sorted(example.choices or (), key=len, reverse=True):
        rest, times = _whole(choice.casefold()).subn(" ", rest)
        if times:
            named.add(choice)
    return bool(named) and named <= set(example.outputs)


def _is_number(reply: str, example: Example) -> bool:
    numbers = _NUMBER.findall(reply)
    if not numbers:
        return False
    try:
        last = Decimal(numbers[-1].replace(",", ""))
    except InvalidOperation:  # an exponent of twenty digits
        return False
    return last in {Decimal(output) for output in example.outputs}


def _is_contained(reply: str, example: Example) -> bool:
    return any(_whole(output.casefold()).search(reply.casefold()) for output in example.outputs)


def _is_json(reply: str, example: Example) -> bool:
    fenced = _FENCE.fullmatch(reply)
    try:
        value = parse_json(fenced[1] if fenced else reply)
    except ValueError:
        return False
    return any(are_same(value, parse_json(output)) for output in example.outputs)


_COMPARISONS: Mapping[Check, Callable[[str, Example], bool]] = {
    "exact": _is_exact,
    "text": _is_text,
    "choice": _is_choice,
    "number": _is_number,
    "contains": _is_contained,
    "json": _is_json,
}


def _bare(text: str) -> str:
    """A text without the usual extras of an answer: spaces, quotation marks around it, a full stop."""
    tidy = "\n".join(" ".join(line.split()) for line in text.strip().splitlines())
    return tidy.strip(_QUOTES).removesuffix(".").strip(_QUOTES) or tidy


def _whole(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
