"""From tasks to the prompts on which a rewriter is trained by the worth of its rewrites."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from fipo_model.data.tasks import Example, Task, check_disjoint, part_of, read_tasks
from fipo_model.data.tasks.making import make_tasks
from fipo_model.errors import TrainingError, explain_missing
from fipo_model.jsonl import BadRow
from fipo_model.templates import Template
from fipo_model.training.rows import HAS_MARKUP, LeftOut, TrainingSet, chat_markup, conversation_lengths, in_words
from fipo_model.training.settings import TaskDataSettings
from fipo_model.types import OptimizationRequest, ShownExample

with explain_missing("train", "datasets", "transformers"):
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

EXERCISE = "exercise"
"""The column of a training set that holds the number of a row's exercise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """A wording to rewrite, and the examples of its task on which a rewrite is measured, none of which is shown."""

    id: str
    task: Task
    request: OptimizationRequest
    measured: tuple[Example, ...]


def read_exercises(settings: TaskDataSettings, *, seed: int) -> tuple[list[Exercise], LeftOut]:
    """The exercises made from tasks, and for each reason the lines and tasks that gave none.

    Raises `InputError` where tasks that are kept apart are among them, `TrainingError` where none is left.
    """
    left_out: LeftOut = defaultdict(list)
    tasks = list(islice(_tasks(settings, seed, left_out), settings.limit))
    if settings.held_out is not None:
        check_disjoint(tasks, [row for row in read_tasks(Path(settings.held_out)) if isinstance(row, Task)])
    exercises = [one for task in tasks for one in _exercises(task, settings, seed)]
    if not exercises:
        raise TrainingError(f"there is no task to train on: {in_words(left_out) or 'none was found'}")
    return exercises, left_out


def encode(
    exercises: Sequence[Exercise],
    settings: TaskDataSettings,
    left_out: LeftOut,
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
) -> TrainingSet:
    """The prompts of exercises as TRL takes them; what does not fit is added to `left_out`."""
    markup = chat_markup(tokenizer)
    prompts = [template.render(exercise.request) for exercise in exercises]
    lengths = conversation_lengths(prompts, tokenizer, add_generation_prompt=True)
    rows = []
    for number, (exercise, prompt, length) in enumerate(zip(exercises, prompts, lengths, strict=True)):
        said = "".join(message["content"] for message in prompt)
        if any(token in said for token in markup):
            left_out[HAS_MARKUP].append(exercise.id)
        elif length > settings.max_length:
            left_out[f"longer than {settings.max_length} tokens"].append(exercise.id)
        else:
            rows.append({"prompt": prompt, EXERCISE: number})
    if not rows:
        raise TrainingError(f"the tasks leave nothing to train on: {in_words(left_out)}")
    return TrainingSet(train=Dataset.from_list(rows), held_out=None, left_out=dict(left_out))


def _tasks(settings: TaskDataSettings, seed: int, left_out: LeftOut) -> Iterator[Task]:
    """Tasks with as many examples as are needed."""
    needed = settings.shown + settings.inputs
    if settings.train is None:
        yield from (task for task in make_tasks(examples=needed, seed=seed) if part_of(task) == "train")
        return
    for row in read_tasks(Path(settings.train)):
        if isinstance(row, BadRow):
            left_out[row.reason].append(f"line {row.line}")
        elif len(row.examples) < needed:
            left_out[f"fewer than {needed} examples"].append(row.name)
        else:
            yield row


def _exercises(task: Task, settings: TaskDataSettings, seed: int) -> Iterator[Exercise]:
    random = Random(f"{seed} {task.name}")
    examples = random.sample(task.examples, settings.shown + settings.inputs)
    pool, measured = examples[: settings.shown], tuple(examples[settings.shown :])
    requests = [request for wording in task.hasty[: settings.wordings] for request in _requests(wording, pool, random)]
    requests += [OptimizationRequest(wording) for wording in task.good[: settings.good_wordings]]
    for place, request in enumerate(requests):
        yield Exercise(id=f"{task.name}/{place}", task=task, request=request, measured=measured)


def _requests(wording: str, pool: Sequence[Example], random: Random) -> Iterator[OptimizationRequest]:
    """A wording alone, with some inputs, and with the right outputs of some."""
    yield OptimizationRequest(wording)
    if not pool:
        return
    for has_output in (False, True):
        shown = random.sample(pool, random.randint(1, len(pool)))
        examples = tuple(ShownExample(one.input, output=one.outputs[0] if has_output else None) for one in shown)
        yield OptimizationRequest(wording, examples=examples)
