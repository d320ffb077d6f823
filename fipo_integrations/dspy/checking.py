"""What a compile is given, checked before anything runs."""

from collections.abc import Sequence
from typing import Any, get_args

import dspy

from fipo_model.errors import InputError

Examples = Sequence[dspy.Example] | None


def check_runs(program: dspy.Module) -> None:
    """Raise `InputError` for a program that only asyncio can run: the search runs it in threads."""
    # Without asking the program for its forward, which makes DSPy warn.
    names = {*dir(type(program)), *vars(program)}
    if "aforward" in names and "forward" not in names:
        raise InputError(
            f"{type(program).__name__} has an aforward and no forward, which a search runs: pass "
            "dspy.syncify(program), or write a forward"
        )


def check_examples(examples: Examples, name: str) -> list[dspy.Example]:
    """The examples as a list.

    Raises `InputError` for anything that is not an example, or does not say which fields are inputs.
    """
    found = list(examples or ())
    for number, example in enumerate(found):
        if not isinstance(example, dspy.Example):
            raise InputError(f"example {number} of the {name} is a {type(example).__name__}, not a dspy.Example")
        try:
            example.inputs()
        except ValueError as error:
            raise InputError(
                f"example {number} of the {name} does not say which of its fields are inputs: use "
                ".with_inputs('...') on every example"
            ) from error
    return found


def check_inputs(program: dspy.Module, **sets: Sequence[dspy.Example]) -> None:
    """Raise `InputError` for an example that has none of the inputs that the program takes.

    One that lacks only some is left to DSPy, which warns and runs it. So is one for a program with a forward of its
    own, whose inputs nobody knows for sure.
    """
    wanted = _inputs_of(program)
    numbered = ((name, number, one) for name, examples in sets.items() for number, one in enumerate(examples))
    for name, number, example in numbered if wanted else ():
        given = list(example.inputs().keys())
        if set(wanted).isdisjoint(given):
            inputs = f"input{'s' * (len(wanted) > 1)} {_listed(wanted)}"
            has = _listed(given) or "none"
            raise InputError(f"example {number} of the {name} lacks the program's {inputs}; it has {has}")


def _inputs_of(program: dspy.Module) -> list[str]:
    """The inputs of a single predictor; nothing where it could do without one, or the program is something else."""
    if type(program) not in (dspy.Predict, dspy.ChainOfThought) or len(program.predictors()) != 1:
        return []
    fields = program.predictors()[0].signature.input_fields
    return list(fields) if all(map(_is_needed, fields.values())) else []


def _is_needed(field: Any) -> bool:
    return field.is_required() and type(None) not in get_args(field.annotation)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))
