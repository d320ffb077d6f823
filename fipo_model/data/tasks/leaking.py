"""Wordings that give away their own task's examples. Pure."""

from collections.abc import Sequence

from fipo_model.contract.leaking import Use, given_away
from fipo_model.data.tasks.task import Example


def leak(wording: str, before: str, shown: Sequence[Example]) -> str | None:
    """What a wording gives away of the examples shown (`contract.leaking.given_away`); their choices are the labels."""
    sets = {frozenset(example.choices or ()) for example in shown}
    labels = next(iter(sets)) if len(sets) == 1 else frozenset[str]()
    return given_away(wording, before, [Use(input=each.input, outputs=each.outputs) for each in shown], labels)
