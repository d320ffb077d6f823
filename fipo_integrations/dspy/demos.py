"""Demonstrations as one more text that is searched: sets of them, bootstrapped from successful runs or from labels."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, TypeGuard

import dspy
from dspy.adapters.types import Audio, History, Image
from pydantic import BaseModel

from fipo_integrations.dspy.programs import named_predictors
from fipo_integrations.dspy.responses import Run

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
    runs: Sequence[Run | None],
    examples: Sequence[dspy.Example],
    *,
    count: int,
    most: int,
    threshold: float,
) -> list[str]:
    """Sets of demonstrations for each predictor, as texts: from successful runs, and from labelled examples.

    The runs are those of the first examples; None is one that failed.

    Runs are followed by as many examples with the predictor's outputs as are allowed, because these cost no run. Small
    models depend on which examples they see, and in which order, so there are two such sets: one with the first runs
    and one with the last, with the examples in reverse. The others are runs alone, examples alone and fewer examples.
    What is likely to help comes first, and so does what is brief: after a batch, a search keeps the first of equals.
    """
    rows = list(enumerate(examples))
    good = [(row, _corrected(program, run, examples[row])) for row, run in enumerate(runs) if is_good(run, threshold)]
    ran, labelled = _of_calls(good[:count]), _of_labels(program, rows, most)
    others, reverse = _of_calls(good[-count:]), _of_labels(program, rows[::-1], most)
    found = [_joined(ran, labelled, most=most), ran, _joined(others, reverse, most=most)]
    found += [labelled, _of_labels(program, rows, count)]
    return list(dict.fromkeys(json.dumps(one, ensure_ascii=False) for one in found if one))[:SETS]


def is_good(run: Run | None, threshold: float) -> TypeGuard[Run]:
    """Whether a run may be shown."""
    return run is not None and run["score"] is not None and run["score"] >= threshold


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


def by_rest(text: str, rows: Sequence[int]) -> dict[str, list[int]]:
    """The examples by what is left of a set apart from them."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(apart_from(text, row), []).append(row)
    return found


def as_fields(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Fields | None:
    """A call of a predictor as plain data; None where that is impossible, as for an image, a tool or a conversation."""
    fields = {name: _plain(value) for name, value in {**inputs, **dict(outputs)}.items()}
    try:
        json.dumps(fields)
    except (TypeError, ValueError):
        return None
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, History | dspy.Tool | Image | Audio):
        return value  # which is not plain
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _corrected(program: dspy.Module, run: Run, example: dspy.Example) -> dict[str, Fields]:
    """By predictor, its last call; where the example has the right output, this takes the place of what was said.

    A metric may accept more than that ("The review is positive, and"), but nobody wants to see it again.
    """
    found = dict(run.get("calls", ()))
    outputs = {name: predictor.signature.output_fields for name, predictor in named_predictors(program).items()}
    for field, right in example.labels().items():
        said_by = [name for name, _ in run.get("calls", ()) if field in outputs[name]]
        plain = None if right is None else as_fields({}, {field: right})
        if said_by and plain is not None:
            found[said_by[-1]] = {**found[said_by[-1]], **plain}
    return found


def _of_calls(calls: Sequence[tuple[int, Mapping[str, Fields]]]) -> DemoSet:
    found: DemoSet = {}
    for row, own in calls:
        for name, fields in own.items():
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


def set_of_labels(program: dspy.Module, examples: Sequence[dspy.Example], count: int) -> str:
    """A set of so many labelled examples for each predictor that has some, as a text; empty where none has any."""
    found = _of_labels(program, list(enumerate(examples)), count)
    return json.dumps(found, ensure_ascii=False) if found else ""


def _of_labels(program: dspy.Module, rows: Sequence[tuple[int, dspy.Example]], count: int) -> DemoSet:
    found: DemoSet = {}
    for name, predictor in named_predictors(program).items():
        own = list(_labelled(predictor.signature, rows))[:count]
        if own:
            found[name] = own
    return found


def _labelled(signature: type[dspy.Signature], rows: Sequence[tuple[int, dspy.Example]]) -> Iterator[Demo]:
    """Examples with all outputs (except reasoning, which nobody writes down) and the inputs that they have."""
    outputs = [name for name in signature.output_fields if name != "reasoning"]
    for row, example in rows:
        inputs = [name for name in signature.input_fields if example.get(name) is not None]
        if inputs and outputs and all(example.get(name) is not None for name in outputs):
            fields = as_fields({name: example[name] for name in inputs}, {name: example[name] for name in outputs})
            if fields is not None:
                yield Demo(row=row, fields=fields)
