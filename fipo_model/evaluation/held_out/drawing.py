"""The tasks to measure on, and which of their examples are shown, which decide, and which measure."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random

from fipo_model.data.tasks import Example, Task, check_disjoint, part_of, read_tasks
from fipo_model.data.tasks.making import make_tasks
from fipo_model.errors import InputError
from fipo_model.evaluation.settings import TaskSettings
from fipo_model.jsonl import BadRow
from fipo_model.pages.numbers import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A task, with its examples in three disjoint parts."""

    task: Task
    shown: tuple[Example, ...]
    """What a rewriter may see."""
    deciding: tuple[Example, ...]
    """On which the best good wording is chosen."""
    measured: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Tasks to measure on, and the wordings that systems were trained to write."""

    tasks: Sequence[Drawn]
    targets: Mapping[str, Sequence[str]]
    """By family of tasks."""
    bad_rows: Sequence[str] = field(default=())
    """Why lines of the file could not be used."""

    def digest(self) -> str:
        """The SHA-256 of everything drawn, because figures depend on the examples."""
        drawn = [_fields(one) for one in self.tasks]
        return hashlib.sha256(json.dumps([drawn, self.targets], sort_keys=True).encode()).hexdigest()


def read_held_out(settings: TaskSettings, *, seed: int) -> HeldOut:
    """The tasks of a file, or FIPO's own, with their examples drawn.

    Unusable tasks, such as those with too few examples, are listed in `bad_rows`. Raises `InputError` where fewer than
    two are left, or where tasks that were trained on are among them.
    """
    bad_rows: list[str] = []
    drawn: list[Drawn] = []
    for task in islice(_tasks(settings, seed, bad_rows), settings.limit):
        try:
            drawn.append(_draw(task, settings, seed))
        except InputError as error:
            bad_rows.append(str(error))
    if len(drawn) < 2:
        why = f"; {bad_rows[0]}" if bad_rows else ""
        raise InputError(
            f"{_source(settings)}: only {counted(len(drawn), 'task')} can be used, but figures need at least two{why}"
        )
    return HeldOut(tasks=drawn, targets=_targets(settings, [one.task for one in drawn]), bad_rows=bad_rows)


def _tasks(settings: TaskSettings, seed: int, bad_rows: list[str]) -> Iterator[Task]:
    if settings.path is None:
        made = make_tasks(examples=_needed(settings), seed=seed)
        yield from (task for task in made if part_of(task) == settings.part)
        return
    for row in read_tasks(Path(settings.path)):
        if isinstance(row, BadRow):
            bad_rows.append(str(row))
        else:
            yield row


def _draw(task: Task, settings: TaskSettings, seed: int) -> Drawn:
    needed = _needed(settings)
    if len(task.examples) < needed:
        raise InputError(
            f"task {task.name!r} has {len(task.examples)} examples, but {needed} are needed: {settings.shown} to "
            f"show, {settings.inputs} to choose the best wording on, {settings.inputs} to measure on"
        )
    examples = Random(f"{seed} {task.name}").sample(task.examples, needed)
    shown, rest = examples[: settings.shown], examples[settings.shown :]
    return Drawn(
        task=task,
        shown=tuple(shown),
        deciding=tuple(rest[: settings.inputs]),
        measured=tuple(rest[settings.inputs :]),
    )


def _targets(settings: TaskSettings, held_out: Sequence[Task]) -> dict[str, list[str]]:
    if settings.train is None:
        trained_on = [task for task in make_tasks(examples=1) if part_of(task) == "train"]
    else:
        trained_on = [row for row in read_tasks(Path(settings.train)) if isinstance(row, Task)]
        check_disjoint(trained_on, held_out)
    targets: dict[str, list[str]] = {}
    for task in trained_on:
        targets.setdefault(task.family, []).extend(task.good)
    return targets


def _needed(settings: TaskSettings) -> int:
    return settings.shown + 2 * settings.inputs


def _source(settings: TaskSettings) -> str:
    return settings.path or f"FIPO's own tasks, {settings.part}"


def _fields(one: Drawn) -> dict[str, object]:
    parts = {"shown": one.shown, "deciding": one.deciding, "measured": one.measured}
    examples = {name: [example.to_fields() for example in part] for name, part in parts.items()}
    return one.task.to_fields() | {"examples": examples}
