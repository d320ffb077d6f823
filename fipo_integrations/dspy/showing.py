"""What a rewriter is shown of a predictor's use: several examples at once, and what the metric said."""

from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from fipo_integrations.dspy.programs import named_predictors
from fipo_integrations.dspy.responses import Responses, as_text
from fipo_model import ShownExample
from fipo_model.search import Measurement, said_of

# So many make a task clear; more make a small model's request long.
_TOGETHER = 4
_LONGEST = 600


def used_together(
    program: dspy.Module, examples: Sequence[dspy.Example], numbers: Sequence[int]
) -> dict[str, Responses]:
    """For each predictor some of the examples at once, by its name: those with all that it takes and puts out.

    A predictor that takes what another one said has none: what it would be given is not in an example.
    """
    found = {}
    for name, predictor in named_predictors(program).items():
        shown = [_shown(predictor.signature, examples[number]) for number in numbers]
        some = tuple(dict.fromkeys(one for one in shown if one is not None))[:_TOGETHER]
        if len(some) > 1:
            found[name] = Responses(examples=some)
    return found


def said_by_the_metric(program: dspy.Module, measurements: Mapping[int, Measurement]) -> dict[str, Responses]:
    """What the metric said where the score was lowest, for the only predictor: of several, who knows whom it meant."""
    named = named_predictors(program)
    feedback = said_of(measurements)
    return {name: Responses(feedback=feedback) for name in named} if len(named) == 1 and feedback else {}


def _shown(signature: type[dspy.Signature], example: dspy.Example) -> ShownExample | None:
    inputs, outputs = (_fields(example, fields) for fields in (signature.input_fields, signature.output_fields))
    if inputs is None or outputs is None:
        return None
    given, right = as_text(inputs), as_text(outputs)
    if not given.strip() or not right.strip() or len(given) + len(right) > _LONGEST:
        return None
    return ShownExample(given, right)


def _fields(example: dspy.Example, fields: Mapping[str, Any]) -> dict[str, str] | None:
    """An example's values of some fields as texts; None where one is missing, but for reasoning, which nobody notes."""
    wanted = [name for name in fields if name != "reasoning"]
    if not wanted or any(example.get(name) is None for name in wanted):
        return None
    return {name: str(example[name]) for name in wanted}
