"""The names that users of DSPy's other optimizers know, and what FIPO calls the same things."""

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar

import dspy

from fipo_integrations.dspy.checking import check_optimizer
from fipo_integrations.dspy.language_model import LanguageModelGenerator
from fipo_integrations.dspy.search import SearchSettings
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.search import Effort

_SETTINGS = ("auto", "seed", "max_metric_calls", "metric_threshold", "log_dir", "demos")
_RUNS = "use max_metric_calls, which counts runs of the program"
_NO_TEACHER = "leave it out: FIPO takes golden responses from labels and successful runs"
_ELSEWHERE = {
    "num_candidates": "use search=SearchSettings(candidates=...)",
    "num_candidate_programs": "use search=SearchSettings(candidates=...)",
    "breadth": "use search=SearchSettings(candidates=...)",
    "depth": "use search=SearchSettings(turns=...)",
    "max_bootstrapped_demos": "use demos, the most demonstrations of each predictor",
    "max_labeled_demos": "use demos, the most demonstrations of each predictor",
    "num_trials": _RUNS,
    "max_full_evals": _RUNS,
    "max_steps": _RUNS,
    "minibatch": "use search=SearchSettings(minibatch_size=...)",
    "reflection_lm": "use prompt_model",
    "task_model": "use dspy.context(lm=...), or program.set_lm(...)",
    "max_errors": "use dspy.configure(max_errors=...)",
    "eval_kwargs": "use FIPO(num_threads=..., display_progress=...)",
    "gepa_kwargs": "use FIPOProposer, which proposes to dspy.GEPA",
    "requires_permission_to_run": "leave it out: FIPO never asks, and FIPO(...).estimate says what a compile costs",
    "teacher_settings": _NO_TEACHER,
    "teacher": _NO_TEACHER,
    "trainset": "use FIPO(...).compile(program, trainset=...)",
    "valset": "use FIPO(...).compile(program, valset=...)",
}
_P = ParamSpec("_P")
_R = TypeVar("_R")


class DSPyNames(TypedDict, total=False):
    """Arguments under the names of DSPy's other optimizers; search settings are in SearchSettings, too."""

    prompt_model: dspy.BaseLM
    """Who rewrites, instead of `optimizer`."""
    auto: Effort
    seed: int
    max_metric_calls: int
    metric_threshold: float
    log_dir: str | Path
    demos: int | Literal["auto"]
    verbose: bool
    """Shows progress, as `display_progress` does."""
    track_stats: bool
    """Whether candidates and trials are attached to the program, as they are by default; the report always is."""


def checked_names(given: Mapping[str, Any], *, of: Literal["FIPO", "compile"], own: Collection[str] = ()) -> None:
    """Raise for names that FIPO does not take: `InputError` if it has another name for the same, else `TypeError`.

    `own` are further names of FIPO's.
    """
    for name in given:
        if of == "FIPO" and name in DSPyNames.__annotations__:
            continue
        if name in (*DSPyNames.__annotations__, *own):
            raise InputError(f"{name} is an argument of FIPO(...), not of its compile")
        if name in _ELSEWHERE:
            raise InputError(f"{of} has no {name}; {_ELSEWHERE[name]}")
        if name in SearchSettings.__dataclass_fields__:
            raise InputError(f"{of} has no {name}; use FIPO(search=SearchSettings({name}=...))")
        raise TypeError(f"{of}() got an unexpected keyword argument {name!r}")


def by_keyword(name: str, *, after: int) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """For a function whose `name` DSPy's other optimizers take by its place: say that it is a keyword here.

    What comes `after` so many arguments, self included, raises `InputError`.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            if len(args) > after:
                called = function.__qualname__.removesuffix(".__init__")
                raise InputError(f"{called} takes its arguments by name: pass {name}=..., not {args[after]!r:.80}")
            return function(*args, **kwargs)

        return checked

    return decorate


def settings_of(search: SearchSettings | None, given: DSPyNames) -> SearchSettings:
    """The settings of the search, with those that were given as single arguments."""
    if search is not None and not isinstance(search, SearchSettings):
        raise InputError(f"search must be a SearchSettings from fipo_integrations.dspy, not {search!r:.80}")
    own: dict[str, Any] = {name: value for name, value in given.items() if name in _SETTINGS}
    return replace(search or SearchSettings(), **own)


def rewriter_of(optimizer: PromptOptimizer | None, given: DSPyNames) -> PromptOptimizer | None:
    """The optimizer that rewrites: the given one, or one on a language model of DSPy's; None for FIPO's own weights."""
    check_optimizer(optimizer)
    lm = given.get("prompt_model")
    if lm is None:
        return optimizer
    if optimizer is not None:
        raise InputError("optimizer and prompt_model both name the rewriter: give one")
    return PromptOptimizer(LanguageModelGenerator(lm))


def unused_without_metric(search: SearchSettings, valset: Collection[object]) -> list[str]:
    """The arguments for a search that will not take place, because there is no metric."""
    plain = SearchSettings(log_dir=search.log_dir, student_responses=search.student_responses, seed=search.seed)
    names = [name for name in SearchSettings.__dataclass_fields__ if getattr(search, name) != getattr(plain, name)]
    return [*(["valset"] if valset else []), *names]
