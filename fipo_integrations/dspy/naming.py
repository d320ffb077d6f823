"""The names that users of DSPy's other optimizers know, and what FIPO calls the same things."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import dspy

from fipo_integrations.dspy.language_model import LanguageModelGenerator
from fipo_integrations.dspy.search import SearchSettings
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.search import Effort

_SETTINGS = ("auto", "seed", "max_metric_calls", "metric_threshold", "log_dir")
_ELSEWHERE = {
    "num_candidates": "search=SearchSettings(candidates=...)",
    "breadth": "search=SearchSettings(candidates=...)",
    "minibatch_size": "search=SearchSettings(minibatch_size=...)",
    "max_full_evals": "max_metric_calls, which counts runs of the program",
    "reflection_lm": "prompt_model",
    "task_model": "dspy.context(lm=...), or program.set_lm(...)",
    "max_errors": "dspy.configure(max_errors=...)",
    "gepa_kwargs": "FIPOProposer, which proposes to dspy.GEPA",
    "trainset": "FIPO(...).compile(program, trainset=...)",
    "valset": "FIPO(...).compile(program, valset=...)",
}


class DSPyNames(TypedDict, total=False):
    """Arguments under the names of DSPy's other optimizers; search settings are in SearchSettings, too."""

    prompt_model: dspy.BaseLM
    """Who rewrites, instead of `optimizer`."""
    auto: Effort
    seed: int
    max_metric_calls: int
    metric_threshold: float
    log_dir: str | Path
    verbose: bool
    """Shows progress, as `display_progress` does."""
    track_stats: bool
    """Whether candidates and trials are attached to the program, as they are by default; the report always is."""


def checked_names(given: Mapping[str, Any], *, of: str = "FIPO") -> None:
    """Raise for names that FIPO does not take: `InputError` if it has another name for the same, else `TypeError`."""
    known = DSPyNames.__annotations__ if of == "FIPO" else {}
    for name in given:
        if name in known:
            continue
        if of != "FIPO" and name in DSPyNames.__annotations__:
            raise InputError(f"{name} is an argument of FIPO(...), not of its compile")
        if name in _ELSEWHERE:
            raise InputError(f"{of} has no {name}; use {_ELSEWHERE[name]}")
        raise TypeError(f"{of}() got an unexpected keyword argument {name!r}")


def settings_of(search: SearchSettings | None, given: DSPyNames) -> SearchSettings:
    """The settings of the search, with those that were given as single arguments."""
    own: dict[str, Any] = {name: value for name, value in given.items() if name in _SETTINGS}
    return replace(search or SearchSettings(), **own)


def rewriter_of(optimizer: PromptOptimizer | None, given: DSPyNames) -> PromptOptimizer | None:
    """The optimizer that rewrites: the given one, or one on a language model of DSPy's; None for FIPO's own weights."""
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
