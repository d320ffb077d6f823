"""Demonstrations as one more text that is searched: sets of them, bootstrapped from successful runs or from labels."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from typing import Any, TypedDict

import dspy
from dspy.adapters.types import Audio, History, Image
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from fipo_integrations.dspy.programs import named_predictors, names_in_traces

DEMOS = "(demonstrations)"
"""What a search calls them; no predictor can be called so."""
AUTO = 4
"""How many a predictor gets where nobody said."""
TRIES = 3
"""Runs for each demonstration that is wanted: not every run succeeds."""
MOST_LABELLED = 16
"""How many of them may come from labels alone where nobody said; DSPy's BootstrapFewShot takes as many."""
SETS = 5
"""At most so many sets are compared."""
BATCH = 8
"""On as many examples first: a set that is right on half of them may well be right on none of four."""

ENOUGH = 32
"""Where fewer examples decide, sets are compared on training examples, too, until there are as many."""
FOLDS = 4
"""On training examples, a set is measured in so many parts, each time without what it has of that part."""

Fields = dict[str, Any]


class Demo(TypedDict):
    """What a predictor is shown of one call."""

    row: int
    """The number of the example it comes from."""
    fields: Fields
    """The inputs and outputs."""


DemoSet = dict[str, list[Demo]]
"""The demonstrations by predictor."""


def sets_of(
    program: dspy.Module,
    good: Sequence[tuple[int, Mapping[str, Fields]]],
    examples: Sequence[dspy.Example],
    *,
    names: Collection[str],
    count: int,
    most: int,
) -> list[str]:
    """Sets of demonstrations for the named predictors, as texts: from successful runs, and from labelled examples.

    Of each run there are the number of its example, and what `calls_to_show` made of it.

    Runs are followed by as many examples with the predictor's outputs as are allowed, because these cost no run. Small
    models depend on which examples they see, and in which order, so there are two such sets: one with the first runs
    and one with the last, with the examples in reverse. The others are runs alone, examples alone and fewer examples.
    What is likely to help comes first, and so does what is brief: after a batch, a search keeps the first of equals.
    """
    predictors = {name: one for name, one in named_predictors(program).items() if name in names}
    rows = list(enumerate(examples))
    ran, labelled = _of_calls(good[:count], predictors), _of_labels(predictors, rows, most)
    others, reverse = _of_calls(good[-count:], predictors), _of_labels(predictors, rows[::-1], most)
    found = [_joined(ran, labelled, most=most), ran, _joined(others, reverse, most=most)]
    found += [labelled, _of_labels(predictors, rows, count)]
    return list(dict.fromkeys(json.dumps(one, ensure_ascii=False) for one in found if one))[:SETS]


def count_of(text: str) -> int:
    """How many demonstrations the predictor with the most has in a set."""
    return max((len(own) for own in json.loads(text).values()), default=0) if text else 0


def say(text: str) -> str:
    """How many demonstrations a set has for each predictor, in words."""
    found: DemoSet = json.loads(text) if text else {}
    return ", ".join(f"{len(own)} for {name}" for name, own in found.items()) or "none"


def give(program: dspy.Module, text: str) -> None:
    """Add a set's demonstrations to those that the program's predictors have."""
    found: DemoSet = json.loads(text) if text else {}
    for name, predictor in named_predictors(program).items():
        predictor.demos = [*predictor.demos, *(dspy.Example(demo["fields"]) for demo in found.get(name, ()))]


def apart_from(text: str, row: int) -> str:
    """A set without the demonstrations of an example, and of every fourth other one that it has.

    So a set is measured on the very examples that it comes from, as in cross-validation with four folds, and the
    program is copied only four more times.
    """
    found: DemoSet = json.loads(text) if text else {}
    rows = list(dict.fromkeys(demo["row"] for own in found.values() for demo in own))
    if row not in rows:
        return text
    fold = rows[rows.index(row) % FOLDS :: FOLDS]
    kept = {name: [demo for demo in own if demo["row"] not in fold] for name, own in found.items()}
    return json.dumps(kept, ensure_ascii=False)


def as_fields(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Fields | None:
    """A call of a predictor as plain data; None where that is impossible, as for an image, a tool or a conversation."""
    try:
        fields = {name: _plain(value) for name, value in {**inputs, **dict(outputs)}.items()}
        json.dumps(fields)
    except (TypeError, ValueError):
        return None
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, History | dspy.Tool | Image | Audio):
        return value  # which is not plain
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Enum):
        return value.value  # as DSPy writes it
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return to_jsonable_python(value)  # dates, sets and the like


def calls_to_show(
    program: dspy.Module, trace: Sequence[tuple[Any, Any, Any]], prediction: Any, example: dspy.Example
) -> dict[str, Fields]:
    """What may be shown of a run: by predictor, its last call, where it is plain data.

    If the program returned what a predictor said, and the example has the right output, this takes its place. A metric
    may accept more than that ("The review is positive, and"), but nobody wants to see it again.
    """
    name_of = names_in_traces(program)
    last: dict[str, tuple[Any, Any]] = {}
    signatures = {}
    for predictor, inputs, outputs in trace:
        if (name := name_of(predictor)) is not None:
            last.pop(name, None)  # so that the latest comes last
            last[name], signatures[name] = (inputs, dict(outputs)), predictor.signature
    for field, right in example.labels().items():
        said_by = [name for name, (_, outputs) in last.items() if _is_returned(field, outputs, prediction)]
        if said_by and _may_replace(right, field, last[said_by[-1]][1], signatures[said_by[-1]], example):
            last[said_by[-1]][1][field] = right
    found = {name: as_fields(inputs, outputs) for name, (inputs, outputs) in last.items()}
    return {name: fields for name, fields in found.items() if fields is not None}


def _is_returned(field: str, outputs: Fields, prediction: Any) -> bool:
    """Whether the program returned this output: one that calls a predictor for each part may return another."""
    return field in outputs and isinstance(prediction, dspy.Example) and outputs[field] == prediction.get(field)


def _may_replace(
    right: Any, field: str, outputs: Fields, signature: type[dspy.Signature], example: dspy.Example
) -> bool:
    """Whether a right output can stand where something else was said; reasoning must lead to it just as well."""
    if right is None or not _is_value(right, _adapter(signature, field)):
        return False
    is_given = all(example.get(other) is not None for other in outputs)
    return is_given or str(right).casefold() in str(outputs[field]).casefold()


def _adapter(signature: type[dspy.Signature], field: str) -> TypeAdapter[Any] | None:
    """What knows the values of a field; None where pydantic knows nothing of its type."""
    annotation: Any = signature.output_fields[field].annotation
    try:
        return TypeAdapter(annotation)
    except PydanticUserError:
        return None


def _is_value(value: Any, adapter: TypeAdapter[Any] | None) -> bool:
    """Whether a field can have a value, be it as text: only a metric knows what to do with a list of right answers."""
    if adapter is None:
        return True
    for one in (value, str(value)) if isinstance(value, int | float) else (value,):
        try:
            adapter.validate_python(one)
        except ValidationError:
            continue
        return True
    return False


def _of_calls(calls: Sequence[tuple[int, Mapping[str, Fields]]], names: Collection[str]) -> DemoSet:
    found: DemoSet = {}
    for row, own in calls:
        for name, fields in own.items():
            if name in names:
                found.setdefault(name, []).append(Demo(row=row, fields=fields))
    return found


def _joined(ran: DemoSet, labelled: DemoSet, *, most: int) -> DemoSet:
    """Runs, and after them the examples that were not run, up to a number for each predictor."""
    found = {}
    for name in dict.fromkeys((*ran, *labelled)):
        own = ran.get(name, [])
        known = {one["row"] for one in own}
        found[name] = [*own, *(one for one in labelled.get(name, ()) if one["row"] not in known)][:most]
    return found if ran and labelled else {}


def set_of_labels(program: dspy.Module, examples: Sequence[dspy.Example], count: int, *, names: Collection[str]) -> str:
    """A set of so many labelled examples for each named predictor, as a text; empty where none has any."""
    predictors = {name: one for name, one in named_predictors(program).items() if name in names}
    found = _of_labels(predictors, list(enumerate(examples)), count)
    return json.dumps(found, ensure_ascii=False) if found else ""


def _of_labels(predictors: Mapping[str, Any], rows: Sequence[tuple[int, dspy.Example]], count: int) -> DemoSet:
    found = {name: list(islice(_labelled(one.signature, rows), count)) for name, one in predictors.items()}
    return {name: own for name, own in found.items() if own}


def _labelled(signature: type[dspy.Signature], rows: Sequence[tuple[int, dspy.Example]]) -> Iterator[Demo]:
    """Examples with all outputs (except reasoning, which nobody writes down) and the inputs that they have."""
    outputs = {name: _adapter(signature, name) for name in signature.output_fields if name != "reasoning"}
    for row, example in rows:
        inputs = [name for name in signature.input_fields if example.get(name) is not None]
        right = {name: example.get(name) for name in outputs}
        is_whole = all(one is not None and _is_value(one, outputs[name]) for name, one in right.items())
        if inputs and outputs and is_whole:
            fields = as_fields({name: example[name] for name in inputs}, right)
            if fields is not None:
                yield Demo(row=row, fields=fields)
