"""What a rewriter sees of a predictor's use: several examples at once, and the metric's comments."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from fipo_integrations.dspy.programs import all_predictors, named_predictors
from fipo_integrations.dspy.responses import Responses, as_text
from fipo_model import ShownExample
from fipo_model.search import Measurement, said_of

# This many make a task clear; more make a small model's request long.
_TOGETHER = 4
_LONGEST = 600


def used_together(
    program: dspy.Module, examples: Sequence[dspy.Example], numbers: Sequence[int]
) -> dict[str, Responses]:
    """For each predictor, by its name, some examples at once: those with all of its inputs and outputs.

    A predictor that takes another one's output has none, because an example does not hold that.
    """
    found = {}
    for name, predictor in named_predictors(program).items():
        shown = [_shown(predictor.signature, examples[number]) for number in numbers]
        short = (one for one in shown if one is not None and len(one.input) + len(one.output or "") <= _LONGEST)
        some = tuple(dict.fromkeys(short))[:_TOGETHER]
        if len(some) > 1:
            found[name] = Responses(examples=some)
    return found


def solved_by_one(program: dspy.Module, examples: Sequence[dspy.Example]) -> dict[str, list[ShownExample]]:
    """For each predictor, by its name, the examples with its right output, where nobody else puts that out.

    It has to be the predictor's only output beside the reasoning, and a plain value.
    """
    once = {id(one): one for one in all_predictors(program)}.values()
    owners = Counter(name for one in once for name in one.signature.output_fields)
    found = {}
    for name, predictor in named_predictors(program).items():
        outputs = [one for one in predictor.signature.output_fields if one != "reasoning"]
        if len(outputs) == 1 and owners[outputs[0]] == 1:
            found[name] = _solved(predictor.signature, outputs[0], examples)
    return found


def _solved(signature: type[dspy.Signature], output: str, examples: Sequence[dspy.Example]) -> list[ShownExample]:
    right = [(example, example.get(output)) for example in examples]
    if not all(one is None or type(one) in (str, bool, int) for _, one in right):
        return []
    known = [(_given(signature, example), str(one)) for example, one in right if one is not None]
    return [ShownExample(given, one) for given, one in known if given.strip() and one.strip()]


def _given(signature: type[dspy.Signature], example: dspy.Example) -> str:
    """A predictor's inputs as text; the program's, where it takes another predictor's output."""
    return as_text(_fields(example, signature.input_fields) or {k: str(v) for k, v in example.inputs().items()})


def said_by_the_metric(program: dspy.Module, measurements: Mapping[int, Measurement]) -> dict[str, Responses]:
    """What the metric said where the score was lowest. Only for a single predictor: of several, it could mean any."""
    named = named_predictors(program)
    feedback = said_of(measurements)
    return {name: Responses(feedback=feedback) for name in named} if len(named) == 1 and feedback else {}


def _shown(signature: type[dspy.Signature], example: dspy.Example) -> ShownExample | None:
    inputs, outputs = (_fields(example, fields) for fields in (signature.input_fields, signature.output_fields))
    if inputs is None or outputs is None:
        return None
    given, right = as_text(inputs), as_text(outputs)
    return ShownExample(given, right) if given.strip() and right.strip() else None


def _fields(example: dspy.Example, fields: Mapping[str, Any]) -> dict[str, str] | None:
    """An example's values of some fields as texts; None if one other than reasoning is missing."""
    wanted = [name for name in fields if name != "reasoning"]
    if not wanted or any(example.get(name) is None for name in wanted):
        return None
    return {name: str(example[name]) for name in wanted}
