"""Which examples decide and which measure the gain: none does both, and none counts twice. Pure."""

import json
import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from fipo_model.errors import InputError
from fipo_model.search.examples import Example

# With fewer examples, those set aside could show nothing, and those left would decide nothing.
_FEWEST_TO_SET_ASIDE = 12
_SET_ASIDE, _MOST_SET_ASIDE = 3, 50


class Split(NamedTuple):
    """The examples that decide, those that measure the gain, and remarks about either."""

    deciding: list[Example]
    aside: list[Example]
    notes: list[str]


def split(examples: Sequence[Example], held_out: Sequence[Example] | None, *, seed: int) -> Split:
    """Split examples by their inputs: the same input never both decides and measures, whatever its right outputs.

    Right outputs that recur, such as labels, are shared out evenly between the two parts.
    A repeated example is no further evidence: a model that answers greedily gives it the same score. Raises
    `InputError` where all of `held_out` decide.
    """
    own, notes = once(examples), repeated(examples)
    if held_out is not None:
        inputs = {_key(one.input) for one in own}
        others = [one for one in once(held_out) if _key(one.input) not in inputs]
        if held_out and not others:
            raise InputError("every held-out example also decides: hold out different ones")
        left_out = _said(len(held_out) - len(others), "held-out examples are left out, because they also decide")
        return Split(own, others, [*notes, *left_out])
    outputs = {_key(one.input): _key(one.outputs) for one in own}
    if len(outputs) < _FEWEST_TO_SET_ASIDE:
        return Split(own, [], notes)
    aside = _drawn(outputs, min(len(outputs) // _SET_ASIDE, _MOST_SET_ASIDE), seed=seed)
    return Split(
        [one for one in own if _key(one.input) not in aside], [one for one in own if _key(one.input) in aside], notes
    )


def once(examples: Sequence[Example]) -> list[Example]:
    """The examples without repetitions, in their order."""
    return list({(_key(one.input), _key(one.outputs)): one for one in reversed(examples)}.values())[::-1]


def repeated(examples: Sequence[Example]) -> list[str]:
    """What to say of examples that occur more than once."""
    return _said(len(examples) - len(once(examples)), "of the examples are repeated and count once")


def _drawn(outputs: Mapping[Hashable, Hashable], count: int, *, seed: int) -> set[Hashable]:
    """So many of the inputs, at even distances through all, where those with the same output stand together."""
    uses = Counter(outputs.values())
    shuffled = random.Random(f"{seed} held out").sample(list(outputs), len(outputs))
    shuffled.sort(key=lambda one: str(outputs[one]) if uses[outputs[one]] > 1 else "")
    return {shuffled[(2 * number + 1) * len(shuffled) // (2 * count)] for number in range(count)}


def _key(value: object) -> Hashable:
    return json.dumps(value, sort_keys=True, default=repr)


def _said(count: int, what: str) -> list[str]:
    return [f"{count} {what}"] if count else []
