"""A task: what somebody wants done to many inputs, as it is worded in a hurry and with care. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from fipo_model.errors import InputError
from fipo_model.json_values import is_json
from fipo_model.search.examples import misfit

Check = Literal["exact", "text", "choice", "number", "contains", "json"]
"""How a reply is compared with a right output: see `checking.is_right`."""
CHECKS: tuple[Check, ...] = get_args(Check)
USUAL_HASTY = 2
"""How many of a file's wordings are hasty ones where it does not say so; they come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An input and its right outputs; `choices` are what an answer is chosen from, if there is a choice."""

    input: str
    outputs: tuple[str, ...]
    choices: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_text("input", self.input)
        if not self.outputs:
            raise InputError("there is no right output")
        for output in self.outputs:
            check_text("a right output", output)
        if self.choices is None:
            return
        if len(set(self.choices)) < 2:
            raise InputError("choices needs at least two different texts")
        stranger = next((output for output in self.outputs if output not in self.choices), None)
        if stranger is not None:
            raise InputError(f"the right output {stranger!r} is not among the choices")

    def to_fields(self) -> dict[str, Any]:
        """What a file holds of it."""
        fields: dict[str, Any] = {"input": self.input, "outputs": list(self.outputs)}
        return fields if self.choices is None else fields | {"choices": list(self.choices)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Wordings of one task and examples of it. Siblings, which teach each other's answers, share a `family`.

    `check` is None where the outputs are only some of the right ones, so that only likelihood can tell. Raises
    `InputError` for anything else.
    """

    name: str
    family: str
    source: str
    hasty: tuple[str, ...]
    good: tuple[str, ...]
    examples: tuple[Example, ...]
    licence: str | None = None
    note: str | None = None
    check: Check | None = None

    def __post_init__(self) -> None:
        for name in ("name", "family", "source"):
            check_text(name, getattr(self, name))
        if not self.hasty or not self.good:
            raise InputError(f"there is no {'good' if self.hasty else 'hasty'} wording")
        for wording in self.wordings:
            check_text("a wording", wording)
            if wrong := misfit(wording, self.examples[0].input if self.examples else ""):
                raise InputError(f"the wording {wording!r} {wrong}")
        if twice := _twice(self.wordings):
            raise InputError(f"the wording {twice!r} occurs twice")
        if not self.examples:
            raise InputError("there is no example")
        if twice := _twice(example.input for example in self.examples):
            raise InputError(f"the input {twice!r} occurs twice")
        self._check_check()

    def _check_check(self) -> None:
        if self.check is not None and self.check not in CHECKS:
            raise InputError(f"check must be one of {', '.join(CHECKS)}, not {self.check!r}")
        for example in self.examples:
            if self.check == "choice" and example.choices is None:
                raise InputError(f"the check is by choice, but the input {example.input!r} has no choices")
            if self.check == "number" and not all(is_number(output) for output in example.outputs):
                raise InputError(f"the check is by number, but a right output of {example.input!r} is not one")
            if self.check == "json" and not all(is_json(output) for output in example.outputs):
                raise InputError(f"the check is by JSON, but a right output of {example.input!r} is not one")

    @property
    def wordings(self) -> tuple[str, ...]:
        """All wordings, the hasty ones first."""
        return self.hasty + self.good

    @property
    def labels(self) -> tuple[str, ...] | None:
        """What answers are chosen from, where that is the same for all inputs."""
        first = self.examples[0].choices
        if first is None or any(set(example.choices or ()) != set(first) for example in self.examples):
            return None
        return first

    def to_fields(self) -> dict[str, Any]:
        """A line of a file of tasks; missing parts are left out."""
        fields = {
            "task": self.name,
            "family": self.family,
            "source": self.source,
            "licence": self.licence,
            "note": self.note,
            "check": self.check,
            "labels": None if self.labels is None else list(self.labels),
            "hasty": len(self.hasty),
            "wordings": list(self.wordings),
            "examples": [example.to_fields() for example in self.examples],
        }
        return {name: value for name, value in fields.items() if value is not None}


def usual_check(examples: Sequence[Example]) -> Check | None:
    """The default check of outputs: by choice or by number, if all outputs are of that kind."""
    if all(example.choices is not None for example in examples):
        return "choice"
    outputs = [output for example in examples for output in example.outputs]
    return "number" if all(is_number(output) for output in outputs) else None


def is_number(text: str) -> bool:
    """Whether a text is a plain number, such as "-3.5"."""
    try:
        # `Decimal` would take underscores, which nobody writes in a reply.
        return "_" not in text and Decimal(text.strip()).is_finite()
    except InvalidOperation:
        return False


def normalized(wording: str) -> str:
    """A wording without differences that do not count: case, spaces and a full stop."""
    return " ".join(wording.lower().split()).rstrip(".")


def check_text(name: str, value: object) -> None:
    """Raise `InputError` for anything but a text that is not empty."""
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}")
    if not value.strip():
        raise InputError(f"{name} is empty")


def _twice(texts: Iterable[str]) -> str | None:
    return next((text for text, count in Counter(texts).items() if count > 1), None)
