"""What predictors said on training examples, and what they should have said: silver and golden responses."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import dspy
from dspy.dsp.utils.settings import settings

from fipo_integrations.dspy.programs import named_predictors, names_in_traces
from fipo_model import ShownExample
from fipo_model.search import own_inputs

logger = logging.getLogger("fipo.dspy")


Step = tuple[str, dict[str, str]]
"""A predictor's name, and what it put out."""


class Run(TypedDict):
    """One run of a program: its score, and what each predictor put out, in the order they were called. Plain data."""

    score: float | None
    steps: list[Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """What a predictor said and should have said on one example, or on several, with the metric's comments."""

    silver: str | None = None
    golden: str | None = None
    examples: tuple[ShownExample, ...] = ()
    feedback: str | None = None


def run_once(program: dspy.Module, example: dspy.Example) -> Run | None:
    """Run the program on an example under its own language model; None where it failed."""
    try:
        with dspy.context(trace=[]):
            program(**own_inputs(example.inputs()))
            return Run(score=None, steps=steps(program, settings.trace))
    except Exception as error:  # noqa: BLE001 - whatever a program raises
        logger.warning("a training example failed and gives no responses; %s: %s", type(error).__name__, error)
        return None


def steps(program: dspy.Module, trace: Sequence[tuple[Any, Any, Any]]) -> list[Step]:
    """What each of the program's predictors put out, by the trace of a run."""
    name_of = names_in_traces(program)
    said = [(name_of(predictor), outputs) for predictor, _, outputs in trace]
    return [(name, {field: str(one) for field, one in outputs.items()}) for name, outputs in said if name]


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
