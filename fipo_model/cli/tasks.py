"""`fipo data tasks`: a file of tasks to learn from, to develop with or to measure with."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fipo_model import jsonl
from fipo_model.cli.notes import note
from fipo_model.data.tasks.splitting import Part
from fipo_model.errors import InputError
from fipo_model.pages.numbers import counted

if TYPE_CHECKING:
    from fipo_model.data.tasks.task import Task


def tasks(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file of tasks to write or replace.")],
    *,
    also: Annotated[
        list[Path] | None, typer.Option(help="JSONL file of more tasks, or of labelled texts; may be repeated.")
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Examples of each task.")] = 40,
    seed: Annotated[int, typer.Option(help="Seed for the examples; tasks and splits do not depend on it.")] = 0,
    split: Annotated[Part | None, typer.Option(help="Only the tasks of one part. A family is never split.")] = None,
) -> None:
    """Write tasks made by rule, and tasks read from files. If some cannot be used, writes the rest and exits with 1."""
    from fipo_model.data.tasks.reading import write_tasks
    from fipo_model.data.tasks.splitting import part_of

    for source in also or []:
        jsonl.check_apart(source, target)
    tally: Counter[str] = Counter()
    found = [task for task in _all_tasks(also or [], examples, seed, tally) if split in (None, part_of(task))]
    if not found:
        raise InputError(f"there is no task in the part {split}")
    write_tasks(target, found)
    of_each = ", ".join(f"{count} {part}" for part, count in Counter(map(part_of, found)).most_common())
    families = len({task.family for task in found})
    written = (
        f"{counted(len(found), 'task')} ({of_each}) from {counted(families, 'family', 'families')} written to {target}"
    )
    note(f"{written}, {tally['bad']} could not be used")
    if tally["bad"]:
        sys.exit(1)


def _all_tasks(also: Sequence[Path], examples: int, seed: int, tally: Counter[str]) -> Iterator["Task"]:
    from fipo_model.data.tasks.making import make_tasks
    from fipo_model.data.tasks.reading import read_tasks

    names = set()
    for task in make_tasks(examples=examples, seed=seed):
        names.add(task.name)
        yield task
    for path in also:
        for row in read_tasks(path, examples=examples):
            if isinstance(row, jsonl.BadRow):
                problem = str(row)
            elif row.name in names:
                problem = f"there is another task named {row.name!r}"
            else:
                names.add(row.name)
                yield row
                continue
            tally["bad"] += 1
            note(f"{path}, {problem}")
