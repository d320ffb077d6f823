"""What a rewriter learns from tasks: a hasty wording as users show it, and a good wording as the text to add. Pure.

Each hasty wording is shown in the ways in which it is met later: alone, with inputs, with inputs and right outputs,
with wrong outputs and feedback as well. A good wording is shown, too; it needs no addition.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import cycle, islice
from typing import Literal, get_args

from fipo_model import fidelity
from fipo_model.contract.topics import topic
from fipo_model.data.diversify import TrainingRow
from fipo_model.data.tasks.task import Example, Task
from fipo_model.fidelity import FidelitySettings
from fipo_model.templates import Template
from fipo_model.types import OptimizationRequest, ShownExample, count_words

Showing = Literal["alone", "inputs", "outputs", "feedback"]
"""What is shown beside a wording: nothing, inputs, these with right outputs, or with wrong ones and feedback, too."""
SHOWINGS: tuple[Showing, ...] = get_args(Showing)

_MOST_SHOWN = 4
# Longer inputs say no more about the task, and would take most of the training time.
_LONGEST_SHOWN = 160  # characters
_WITH_FEEDBACK = 0.25
_FEWEST_WORDS = 5
"""A good wording of fewer words says no more than the hasty one ("Translate to German")."""
_COMPLETE = 0.5
"""The share of tasks whose good wording is shown, to teach that there is nothing to add."""


def teaching_rows(tasks: Iterable[Task], template: Template, *, seed: int = 0) -> Iterator[TrainingRow]:
    """The rows of each task in turn. What they show is drawn from the seed and the task's name.

    A wording is shown alone only if it shares a word with the addition. "to whom" alone need not be about an e-mail,
    and a model that learns such guesses will guess. What the contract would refuse is not taught.
    """
    for task in tasks:
        source = random.Random(f"{seed} {task.name}")
        yield from _rows(task, template, source)


def shown(showing: Showing, examples: Iterable[Example]) -> tuple[ShownExample, ...]:
    """Examples as a request shows them."""
    chosen = list(examples)
    if showing == "alone":
        return ()
    if showing == "inputs":
        return tuple(ShownExample(example.input) for example in chosen)
    right = [ShownExample(example.input, example.outputs[0]) for example in chosen]
    if showing == "feedback":
        wrong = next((each for each in right[1:] if each.output != right[0].output), None)
        right[0] = replace(right[0], response=wrong.output if wrong else right[0].input)
    return tuple(right)


def _rows(task: Task, template: Template, source: random.Random) -> Iterator[TrainingRow]:
    good = [wording for wording in task.good if count_words(wording) >= _FEWEST_WORDS]
    if not good:
        return
    source.shuffle(good)
    goods = cycle(good)
    for place, hasty in enumerate(task.hasty):
        for showing in _showings(place, source):
            # A different good wording for each row, so that none is learnt by heart.
            for wanted in islice(goods, len(good)):
                row = _row(task, (hasty, wanted), showing, template, source)
                if row is not None:
                    yield row
                    break
    if source.random() < _COMPLETE:
        yield from _nothing_to_add(task, good[0], template, source)


def _showings(place: int, source: random.Random) -> list[Showing]:
    """Every wording alone; with examples only the first two, one in each way."""
    with_outputs: Showing = "feedback" if source.random() < _WITH_FEEDBACK else "outputs"
    ways: list[Showing] = ["inputs", with_outputs]
    return ["alone", ways[place % 2]] if place < 2 else ["alone"]


def _row(
    task: Task, wordings: tuple[str, str], showing: Showing, template: Template, source: random.Random
) -> TrainingRow | None:
    hasty, good = wordings
    if showing == "alone" and not topic(hasty) & topic(good):
        return None
    request = request_showing(hasty, showing, task, source)
    rewrite = f"{hasty}\n\n{good}"
    if fidelity.check(rewrite, request, FidelitySettings(), template).outcome != "optimized":
        return None
    return TrainingRow(
        id=f"{task.name}/{hasty}/{showing}",
        kind="rewriting",
        type=f"hasty, {showing}",
        prompt=template.render(request),
        chosen=template.reply_for(rewrite, hasty),
    )


def _nothing_to_add(task: Task, good: str, template: Template, source: random.Random) -> Iterator[TrainingRow]:
    showing = source.choice(SHOWINGS[:3])
    yield TrainingRow(
        id=f"{task.name}/{good}/{showing}",
        kind="rewriting",
        type=f"complete, {showing}",
        prompt=template.render(request_showing(good, showing, task, source)),
        chosen=template.reply_for(good, good),
    )


def request_showing(wording: str, showing: Showing, task: Task, source: random.Random) -> OptimizationRequest:
    """A request about a wording with one to four of the task's examples, shown in one way."""
    brief = [each for each in task.examples if len(each.input) <= _LONGEST_SHOWN] or list(task.examples[:1])
    drawn = source.sample(brief, min(len(brief), source.randint(1, _MOST_SHOWN)))
    examples = shown(showing, drawn)
    feedback = None
    if showing == "feedback":
        feedback = f"Expected {examples[0].output!r}, got {examples[0].response!r}."
    return OptimizationRequest(wording, examples=examples, feedback=feedback)
