"""Which tasks are for training, for development or kept apart: whole families, the same ones for everybody. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from fipo_model.data.split import draw
from fipo_model.data.tasks.task import Task, normalized
from fipo_model.errors import InputError

Part = Literal["train", "development", "held-out"]
PARTS: tuple[Part, ...] = get_args(Part)

# The rest is for training. The seed is part of the definition: with another one, yesterday's training tasks would be
# today's held-out ones.
_HELD_OUT = 0.15
_DEVELOPMENT = 0.15
_SEED = 17
# Tasks of different names that share this much of their answered inputs are one task.
_SAME_TASK = 0.5


def part_of(task: Task) -> Part:
    """The part a task is in, decided by its family alone, so that siblings are together whatever else there is."""
    drawn = draw(task.family, _SEED)
    if drawn < _HELD_OUT:
        return "held-out"
    return "development" if drawn < _HELD_OUT + _DEVELOPMENT else "train"


def check_disjoint(train: Sequence[Task], held_out: Sequence[Task]) -> None:
    """Raise `InputError` where tasks to learn from and tasks to measure with overlap.

    They overlap if they share a name, a family, a good wording, or half of the answered inputs.
    """
    _refuse("name", (task.name for task in train), (task.name for task in held_out))
    _refuse("family", (task.family for task in train), (task.family for task in held_out))
    _refuse("wording", _good_wordings(train), _good_wordings(held_out))
    for task in train:
        for other in held_out:
            if _shared_examples(task, other) >= _SAME_TASK:
                raise InputError(
                    f"the training task {task.name!r} and the held-out task {other.name!r} have the same examples; "
                    "leave one of them out"
                )


def _refuse(what: str, learnt: Iterable[str], kept: Iterable[str]) -> None:
    shared = sorted(set(learnt) & set(kept))
    if shared:
        others = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(
            f"training tasks and held-out tasks share the {what} {shared[0]!r}{others}; leave them out of one side"
        )


def _good_wordings(tasks: Iterable[Task]) -> set[str]:
    return {normalized(wording) for task in tasks for wording in task.good}


def _shared_examples(task: Task, other: Task) -> float:
    """The share of the smaller task's answered inputs that the other has, too."""
    own, others = ({(each.input, each.outputs) for each in one.examples} for one in (task, other))
    return len(own & others) / min(len(own), len(others))
