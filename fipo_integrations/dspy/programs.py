"""DSPy programs as this package handles them: copied, given other instructions, and told apart by a digest."""

import copy
import hashlib
import json
import logging
import re
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import dspy
from dspy.adapters import Adapter, ChatAdapter
from dspy.dsp.utils.settings import settings
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from fipo_model.errors import InputError
from fipo_model.search import digest_of, state_of, without_credentials

logger = logging.getLogger("fipo.dspy")

_Result = TypeVar("_Result")

# What optimizers attach to what they compiled: FIPO and DSPy's under the same names, and DSPy's alone.
_CANDIDATES = ("candidate_programs", "mb_candidate_programs")
_STATISTICS = frozenset({"candidate_programs", "score", "trial_logs", "total_calls"})
_THEIRS = frozenset(
    "mb_candidate_programs prompt_model_total_calls results_best results_latest flag_compilation_error_occurred".split()
)
_CANDIDATE = re.compile(r"\.(?:mb_)?candidate_programs\[\d+\]\[program\]")


COMPILED = "it is already compiled"
HIDDEN = (
    "DSPy neither finds nor saves it, because it is nested more deeply than DSPy looks; give it an attribute, a list "
    "or a dictionary of its own"
)


def named_predictors(program: dspy.Module) -> dict[str, Any]:
    """The predictors that may be changed, by their names: not compiled ones, nor those of a compiled sub-module.

    Raises `InputError` where two of them go by one name: DSPy could not save such a program either.
    """
    # DSPy hides the predictors of a compiled module, and does not hide a compiled predictor.
    named = [(name, one) for name, one in program.named_predictors() if one is program or not one._compiled]
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the program has two predictors called {twice[0]!r}: rename one of the attributes")
    return dict(named)


def all_predictors(program: dspy.Module) -> list[Any]:
    """The predictors of the program and of its sub-modules, compiled or not."""
    return [predictor for _, predictor in _parts(program, dspy.Predict)]


def names_in_traces(program: dspy.Module) -> Callable[[Any], str | None]:
    """A function from a predictor in a trace of the program to its name; None for one that has none."""
    named = named_predictors(program)
    names = {id(predictor): name for name, predictor in named.items()}
    # BestOfN and Refine run copies of a module, whose predictors have the same signatures.
    once = {id(one): one for one in (*all_predictors(program), *named.values())}.values()
    signatures = Counter(id(predictor.signature) for predictor in once)
    by_signature = {id(one.signature): name for name, one in named.items() if signatures[id(one.signature)] == 1}
    return lambda predictor: names.get(id(predictor)) or by_signature.get(id(predictor.signature))


def left_alone(program: dspy.Module) -> dict[str, str]:
    """The names of parts that no optimizer changes, with the reason.

    Some are already compiled. Others are predictors in nested lists and the like, where DSPy neither finds them nor
    saves their state, so a rewrite would be lost with the process.
    """
    frozen = {name: one for name, one in _parts(program, dspy.Module) if one is not program and one._compiled}
    known = {id(one) for part in (program, *frozen.values()) for one in part.predictors()}
    known |= {id(one) for part in frozen.values() for one in all_predictors(part)}
    hidden = [name for name, predictor in _parts(program, dspy.Predict) if id(predictor) not in known]
    return dict.fromkeys(frozen, COMPILED) | dict.fromkeys(hidden, HIDDEN)


def _parts(program: dspy.Module, kind: type) -> list[tuple[str, Any]]:
    """The program's parts of a kind with their names, without the candidates that an optimizer attached."""
    found: Any = program.named_sub_modules(type_=kind)
    return [(name.removeprefix("self."), part) for name, part in found if not _CANDIDATE.search(name)]


def copied(program: dspy.Module) -> dspy.Module:
    """A deep copy that shares language models, and what cannot be copied, with the original.

    It lacks what an earlier optimizer attached. Raises `InputError` for a program that cannot be copied.
    """
    # Copying a model that runs in this process would copy its weights. And where something cannot be copied (a lock, a
    # connection), DSPy's own deepcopy goes piece by piece and splits shared predictors.
    parts = [part for _, part in program.named_sub_modules(type_=object)]
    shared: dict[int, Any] = {id(part): part for part in parts if isinstance(part, dspy.BaseLM)}
    try:
        twin: dspy.Module = copy.deepcopy(program, dict(shared))
    except Exception:
        logger.debug("parts of the program cannot be copied", exc_info=True)
        leaves = (part for part in parts if not isinstance(part, dspy.Module | list | tuple | dict))
        shared |= {id(part): part for part in leaves if not _can_be_copied(part, shared)}
        try:
            twin = copy.deepcopy(program, shared)
        except Exception as error:
            raise InputError(f"the program cannot be copied: {type(error).__name__}: {error}") from error
    originals = {id(predictor) for predictor in program.predictors()}
    if own := [name for name, predictor in twin.named_predictors() if id(predictor) in originals]:
        raise InputError(
            f"a copy of the program shares the predictor {own[0]!r} with it, so other instructions cannot be tried "
            "without changing yours: does a module define __deepcopy__?"
        )
    _forget_statistics(vars(twin))
    return twin


def _forget_statistics(own: dict[str, Any]) -> None:
    """Remove what an optimizer attached: its figures are about other instructions, and candidates have their own."""
    report = own.pop("fipo_report", None)
    if type(own.get("detailed_results")).__name__ == "DspyGEPAResult":
        del own["detailed_results"]
    listed = [own[name] for name in _CANDIDATES if own.get(name) and _are_candidates(own[name])]
    if not listed:
        return
    # What FIPO did not attach is the program's own. DSPy's optimizers leave no sign, and replace what was there.
    attached = report.get("attached") if isinstance(report, dict) else None
    scores = [one.get("score") for candidates in listed for one in candidates]
    for name in own.keys() & {*(attached or _STATISTICS), *_THEIRS}:
        if name in _CANDIDATES and not _are_candidates(own[name]):
            continue
        if name != "score" or own.get(name) in scores:  # COPRO attaches none
            own.pop(name, None)


def _are_candidates(value: object) -> bool:
    """Whether it is a list of compiled programs as optimizers attach it; MIPROv2's minibatch list may be empty."""
    return isinstance(value, list) and all(isinstance(one, dict) and "program" in one for one in value)


def _can_be_copied(value: object, shared: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(shared))
    except Exception:
        logger.info("the copy of the program shares what cannot be copied: %s", type(value).__name__, exc_info=True)
        return False
    return True


def with_texts(program: dspy.Module, texts: Mapping[str, str]) -> dspy.Module:
    """A copy whose predictors have these instructions."""
    twin = copied(program)
    for name, predictor in named_predictors(twin).items():
        if name in texts and texts[name] != predictor.signature.instructions:
            # A new class: assigning to `signature.instructions` would change every program that shares it.
            predictor.signature = predictor.signature.with_instructions(texts[name])
    return twin


def executed(run: Callable[[], _Result]) -> _Result:
    """What `run` returns, which has DSPy go through examples; it is run again where another thread broke its start.

    DSPy (3.4.1) clears tqdm's registry of bars, a WeakSet, whenever it begins. If another thread makes a bar in that
    instant, the set raises, because an item is gone or its size changed. With several threads, DSPy has already started
    some examples by then, and they are run a second time.
    """
    while True:
        try:
            return run()
        except (KeyError, RuntimeError) as error:
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            if frame.f_globals.get("__name__") != "_weakrefset":
                raise
            logger.debug("another thread's evaluation began at the same moment; starting again", exc_info=True)


def attach(program: dspy.Module, **statistics: object) -> list[str]:
    """Set attributes, unless the program has one of its own by that name: a predictor may well be called `score`.

    The names of those that were set.
    """
    taken = [name for name in statistics if name in vars(program) or hasattr(type(program), name)]
    for name in taken:
        logger.warning("the program has a %r of its own, which stays; see its fipo_report instead", name)
    free = [name for name in statistics if name not in taken]
    for name in free:
        setattr(program, name, statistics[name])
    return free


def digest_here(value: object) -> str:
    """A short name for inputs in this process: an object whose text does not show all of it counts as itself alone.

    What was saved and read again has the same as before, be it a list instead of a tuple, or a dictionary.
    """
    return hashlib.sha256(json.dumps(_plain(value)).encode("utf-8")).hexdigest()[:16]


def _plain(value: Any) -> object:
    """The value in the types that JSON has, whatever its keys are."""
    if isinstance(value, dspy.Example):
        return _plain(value.toDict())
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if isinstance(value, Mapping):
        return sorted([repr(key), _plain(own)] for key, own in value.items())
    if isinstance(value, set | frozenset):
        return sorted(json.dumps(_plain(own)) for own in value)
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    text = repr(value)
    is_whole = isinstance(value, str) or not (" at 0x" in text or "..." in text)
    return text if is_whole else str(id(value))


def identity(program: dspy.Module) -> dict[str, str]:
    """What tells one student from another when a compile is resumed, in digests, and its models by name.

    Only the program's predictors count, including those of compiled sub-modules; its code and other attributes do not.
    """
    predictors = all_predictors(program)
    lms = [one.lm or settings.lm for one in predictors]
    adapter = settings.adapter or ChatAdapter()  # as DSPy does
    return {
        "student": digest_of([type(program).__qualname__, sorted(named_predictors(program)), predictors]),
        "task_models": ", ".join(sorted({getattr(lm, "model", "none") for lm in lms})),
        "task_settings": digest_of([adapter, *map(_generation, lms)]),
    }


@state_of.register
def _fields(example: dspy.Example) -> dict[str, Any]:
    return dict(example.items())


@state_of.register  # for metrics that ask a judge
def _attributes(module: dspy.Module) -> dict[str, Any]:
    """What a module holds, except for what it has seen."""
    return {name: own for name, own in vars(module).items() if name not in ("history", "callbacks")}


@state_of.register
def _predictor(predictor: dspy.Predict) -> list[Any]:
    """What makes a predictor what it is; others of its attributes differ in every process."""
    signature: Any = predictor.signature
    types = {
        name: [field.annotation, field.metadata, _schema(field.annotation)] for name, field in signature.fields.items()
    }
    return [signature.dump_state(), types, predictor.demos, predictor.config, predictor.lm]


def _schema(annotation: Any) -> Any:
    """What DSPy tells a model of a field's type, and what it accepts; None where pydantic knows nothing of it."""
    try:
        return TypeAdapter(annotation).json_schema()
    except (PydanticUserError, NameError):
        return None


@state_of.register
def _adapter(adapter: Adapter) -> dict[str, Any]:
    return {name: own for name, own in vars(adapter).items() if name != "callbacks"}


@state_of.register
def _model(lm: dspy.BaseLM) -> list[Any]:
    return [lm.model, getattr(lm, "model_type", None), _generation(lm)]


def _generation(lm: Any) -> dict[str, Any]:
    """How a model is called, without the caller's keys and tokens, which may change while a compile is stopped."""
    return without_credentials(getattr(lm, "kwargs", {}))
