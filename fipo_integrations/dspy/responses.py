"""What predictors said on training examples, and what they should have said: silver and golden responses."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import dspy
from dspy.dsp.utils.settings import settings
from dspy.utils.parallelizer import ParallelExecutor

from fipo_integrations.dspy.programs import executed, named_predictors, names_in_traces
from fipo_model import ShownExample

logger = logging.getLogger("fipo.dspy")


class Run(TypedDict):
    """One run of a program: its score, and what each predictor put out, in the order they were called. Plain data."""

    score: float | None
    steps: list[tuple[str, dict[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """What a predictor said and should have said on one example, or on several, with the metric's comments."""

    silver: str | None = None
    golden: str | None = None
    examples: tuple[ShownExample, ...] = ()
    feedback: str | None = None


def traced_runs(
    program: dspy.Module,
    examples: Sequence[dspy.Example],
    score: Callable[[dspy.Example, Any], float] | None,
    *,
    num_threads: int | None,
) -> list[Run | None]:
    """Run the program on each example under its own language model; None where it, or the metric, failed."""
    name_of = names_in_traces(program)

    def run(example: dspy.Example) -> Run:
        with dspy.context(trace=[]):
            prediction = program(**example.inputs())
            said = [(name_of(predictor), outputs) for predictor, _, outputs in settings.trace]
        steps = [(name, {field: str(one) for field, one in outputs.items()}) for name, outputs in said if name]
        return Run(score=None if score is None else score(example, prediction), steps=steps)

    # A time limit would run the slow ones twice.
    executor = ParallelExecutor(
        num_threads=num_threads, max_errors=len(examples) + 1, disable_progress_bar=True, timeout=0
    )
    runs: list[Run | None] = executed(lambda: executor.execute(run, list(examples))) if examples else []
    if errors := list(executor.exceptions_map.values()):
        first = f"{type(errors[0]).__name__}: {errors[0]}"
        logger.warning("%d of %d training examples failed and give no responses; %s", len(errors), len(runs), first)
    return runs


def responses(
    program: dspy.Module, example: dspy.Example, run: Run | None, *, threshold: float
) -> dict[str, Responses]:
    """The responses of the program's predictors on one example, by predictor.

    The labels are the golden response of the predictor that puts them out: the last one that did in the run, or
    without a run the only one that could. For the others, what they said is golden if the run scored at least
    `threshold`, and silver if not.
    """
    said: dict[str, str] = {name: as_text(outputs) for name, outputs in reversed(run["steps"])} if run else {}
    succeeded = run is not None and run["score"] is not None and run["score"] >= threshold
    found = {
        name: Responses(golden=text) if succeeded else Responses(silver=text) for name, text in said.items() if text
    }
    labels = {field: value for field, value in example.labels().items() if value is not None}
    fields = {name: set(one.signature.output_fields) for name, one in named_predictors(program).items()}
    able = [name for name, outputs in fields.items() if outputs & labels.keys()]
    called = [name for name, _ in run["steps"] if name in able] if run else []
    if called or len(able) == 1:
        name = called[-1] if called else able[0]
        golden = as_text({field: str(value) for field, value in labels.items() if field in fields[name]})
        found[name] = Responses(silver=said.get(name) or None, golden=golden or None)
    return found


def as_text(outputs: dict[str, str]) -> str:
    """A predictor's output: one field's value, or several with their names."""
    if len(outputs) == 1:
        return next(iter(outputs.values())).strip()
    return "\n".join(f"{field}: {value}" for field, value in outputs.items())
