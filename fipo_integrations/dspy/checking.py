"""What a compile is given, checked before anything runs."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn, get_args

import dspy
from dspy.adapters import ChatAdapter
from dspy.dsp.utils.settings import settings

from fipo_integrations.dspy.programs import all_predictors, copied
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError

Examples = Sequence[dspy.Example] | None


def check_optimizer(optimizer: object) -> None:
    """Raise `InputError` for what is no optimizer of prompts; None is fine."""
    if optimizer is not None and not isinstance(optimizer, PromptOptimizer):
        raise InputError(
            f"optimizer must be a PromptOptimizer, such as PromptOptimizer.from_pretrained(...), not {optimizer!r:.80}"
        )


def check_names(predictors: Collection[str] | None) -> None:
    """Raise `InputError` for what are no names of predictors, each given once; None is fine."""
    if predictors is None:
        return
    if isinstance(predictors, str) or not isinstance(predictors, Iterable):
        example = predictors if isinstance(predictors, str) else "answer"
        raise InputError(f"predictors must be a collection of names, such as [{example!r}], not {predictors!r:.80}")
    names = list(predictors)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"predictors must be names, as in program.named_predictors(), not {names!r:.80}")
    if len(set(names)) < len(names):
        raise InputError(f"predictors names a predictor more than once: {names}")


def check_program(student: object) -> None:
    """Raise `InputError` for what is no program."""
    if not isinstance(student, dspy.Module):
        raise InputError(f"the student must be a program, an instance of dspy.Module, not {student!r:.200}")


def check_model(program: dspy.Module, example: dspy.Example) -> None:
    """Raise `InputError` if the program has no language model to run on.

    Only the program knows which one it asks: its predictors may have their own, and it may set one with dspy.context.
    So, where none is set, it runs until it asks one for the first time. No model is called.
    """
    if settings.lm is not None or all(one.lm is not None for one in all_predictors(program)):
        return
    try:
        with dspy.context(lm=_NoModel("none"), adapter=_Revealing(), callbacks=[]):
            copied(program)(**example.inputs())
    except _AskedError as asked:
        if isinstance(asked.lm, _NoModel):
            raise InputError(
                "the program needs a language model, and none is set: dspy.configure(lm=dspy.LM(...)), or "
                "lm=local_lm(...), from fipo_integrations.dspy, for a model on this machine"
            ) from None
    except Exception:  # noqa: BLE001 - a program that fails for another reason is the search's to report
        return


class _AskedError(BaseException):
    """Ends a program where it asks a language model; no program catches it as an error of its own."""

    def __init__(self, lm: object) -> None:
        super().__init__()
        self.lm = lm


class _NoModel(dspy.BaseLM):
    """Stands where no language model is set."""

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        raise _AskedError(self)


class _Revealing(ChatAdapter):
    """Says which language model a predictor asks, instead of asking it."""

    def __call__(self, lm: object, *args: object, **kwargs: object) -> NoReturn:
        raise _AskedError(lm)


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
    if not isinstance(examples, Iterable | None):
        raise InputError(f"the {name} must be a list of dspy.Example, not a {type(examples).__name__}")
    found = [] if examples is None else list(examples)
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
