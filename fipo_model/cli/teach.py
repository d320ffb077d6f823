"""`fipo data teach`: training rows from tasks, with a good wording as the text to add to a hasty one."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fipo_model import jsonl
from fipo_model.cli.notes import note
from fipo_model.pages.numbers import counted
from fipo_model.templates import find_template

if TYPE_CHECKING:
    from fipo_model.data.tasks.task import Task


def teach(
    source: Annotated[Path, typer.Argument(metavar="TASKS", help="JSONL file of tasks (docs/tasks.md).")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file of training rows to write or replace.")],
    *,
    template: Annotated[
        str, typer.Option(help="Template the model will be prompted with, by name or file.")
    ] = "fipo-2",
    seed: Annotated[int, typer.Option(help="Seed for the examples shown with each wording.")] = 0,
) -> None:
    """Make training rows for SFT from tasks: hasty wordings, shown in several ways, and the good wordings to add."""
    from fipo_model.data.tasks.teaching import teaching_rows

    jsonl.check_apart(source, target)
    tasks, bad = _tasks(source)
    rows = list(teaching_rows(tasks, find_template(template), seed=seed))
    with jsonl.replacing(target) as file:
        file.writelines(jsonl.encode_object(row.to_fields()) for row in rows)
    of_each = ", ".join(f"{count} {kind}" for kind, count in Counter(row.type for row in rows).most_common())
    note(f"{counted(len(rows), 'row')} from {counted(len(tasks), 'task')} written to {target}: {of_each}")
    if bad:
        sys.exit(1)


def _tasks(source: Path) -> "tuple[list[Task], int]":
    from fipo_model.data.tasks.reading import read_tasks

    tasks, bad = [], 0
    for found in read_tasks(source):
        if isinstance(found, jsonl.BadRow):
            bad += 1
            note(str(found))
        else:
            tasks.append(found)
    return tasks, bad
