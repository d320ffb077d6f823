"""DSPy programs as this package handles them: copied, given other instructions, and told apart by a digest."""

import copy
import hashlib
import json
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import dspy
from dspy.dsp.utils.settings import settings

from fipo_model.errors import InputError

logger = logging.getLogger("fipo.dspy")

_Result = TypeVar("_Result")

_STATISTICS = frozenset({"candidate_programs", "score", "trial_logs", "total_calls"})


def named_predictors(program: dspy.Module) -> dict[str, Any]:
    """The predictors that may be changed, by their names; those of a compiled sub-module are hidden by DSPy.

    Raises `InputError` where two of them go by one name: DSPy could not save such a program either.
    """
    named = program.named_predictors()
    names = [name for name, _ in named]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the program has two predictors called {twice[0]!r}: rename one of the attributes")
    return dict(named)


def frozen_names(program: dspy.Module) -> list[str]:
    """The sub-modules that are compiled already, which DSPy does not let an optimizer change."""
    modules: Any = program.named_sub_modules(type_=dspy.Module)
    return [name.removeprefix("self.") for name, module in modules if module is not program and module._compiled]


def copied(program: dspy.Module) -> dspy.Module:
    """A deep copy that shares language models, and what cannot be copied, with the original.

    It is without what an earlier optimizer attached.
    """
    # A copy of a model that runs in this process would be a copy of its weights. And where anything cannot be copied, a
    # lock or a connection, DSPy's own deepcopy goes piece by piece and splits predictors that are shared.
    parts = [part for _, part in program.named_sub_modules(type_=object)]
    shared: dict[int, Any] = {id(part): part for part in parts if isinstance(part, dspy.BaseLM)}
    try:
        twin: dspy.Module = copy.deepcopy(program, dict(shared))
    except Exception:
        logger.debug("parts of the program cannot be copied", exc_info=True)
        leaves = (part for part in parts if not isinstance(part, dspy.Module | list | tuple | dict))
        shared |= {id(part): part for part in leaves if not _can_be_copied(part, shared)}
        twin = copy.deepcopy(program, shared)
    own = vars(twin)
    # Numbers about other instructions; and candidates with candidates of their own would double at every compile.
    candidates: Any = own.get("candidate_programs")
    if _are_candidates(candidates):
        scores = {candidate.get("score") for candidate in candidates}
        for name in _STATISTICS & own.keys():
            if name != "score" or own[name] in scores:  # a program may well have a number of its own by that name
                del own[name]
    own.pop("fipo_report", None)
    return twin


def _can_be_copied(value: object, shared: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(shared))
    except Exception:
        logger.info("the copy of the program shares what cannot be copied: %s", type(value).__name__, exc_info=True)
        return False
    return True


def _are_candidates(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "program" in one for one in value)


def with_texts(program: dspy.Module, texts: Mapping[str, str]) -> dspy.Module:
    """A copy whose predictors have these instructions."""
    twin = copied(program)
    for name, predictor in named_predictors(twin).items():
        if name in texts and texts[name] != predictor.signature.instructions:
            # A new class: assigning to `signature.instructions` would change every program that shares it.
            predictor.signature = predictor.signature.with_instructions(texts[name])
    return twin


def executed(run: Callable[[], _Result]) -> _Result:
    """What `run`, which has DSPy go through examples, returns; it is begun anew where another thread broke its start.

    DSPy (3.4.1) clears tqdm's registry of bars, a WeakSet, whenever it begins. Where another thread is making a bar in
    that instant, the set raises: what was in it is gone, or it changed its size. With several threads of its own DSPy
    has sent off examples by then, and they are run a second time.
    """
    while True:
        try:
            return run()
        except (KeyError, RuntimeError) as error:
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            if frame.f_globals.get("__name__") != "_weakrefset":
                raise
            logger.debug("another thread's evaluation began in the same instant; beginning anew", exc_info=True)


def attach(program: dspy.Module, **statistics: object) -> None:
    """Set attributes, unless the program has one of its own by that name: a predictor may well be called `score`."""
    for name, value in statistics.items():
        if name in vars(program) or hasattr(type(program), name):
            logger.warning("the program has a %r of its own, which stays; see its fipo_report instead", name)
        else:
            setattr(program, name, value)


def digest(value: object) -> str:
    """A short name for plain data that is the same in every process. Other things count by their type alone."""
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _plain(value: Any) -> object:
    if isinstance(value, dspy.Example):
        return value.toDict()
    if isinstance(value, set | frozenset | tuple):
        return sorted(map(str, value))
    return str(value) if isinstance(value, bytes) else type(value).__qualname__


def identity(program: dspy.Module) -> dict[str, str]:
    """What tells one student from another when a compile is resumed, in digests, and its models by name."""
    named = named_predictors(program)
    state = {name: [one.signature.dump_state(), one.demos, one.config] for name, one in named.items()}
    models = sorted({getattr(one.lm or settings.lm, "model", "none") for one in named.values()})
    return {"student": digest([type(program).__qualname__, state]), "task_models": ", ".join(models)}
