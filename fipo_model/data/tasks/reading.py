"""Files of tasks: one task a line, as in the shared `tasks.jsonl`, or labelled texts that make a task together."""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fipo_model import jsonl
from fipo_model.data.tasks.labelled import LabelledTexts, is_labelled
from fipo_model.data.tasks.task import USUAL_HASTY, Example, Task, usual_check
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow

_FAMILIES = Path(__file__).with_name("families.toml")


def read_tasks(path: Path, *, examples: int | None = None) -> Iterator[Task | BadRow]:
    """The tasks of a JSONL file, one at a time, each with its first `examples`; any other line is a `BadRow`.

    Rows of labelled texts (`task`, `text`, `label`, `labels`, `split`) are one task for each set, made of the training
    split, and come last. Raises `InputError` if the file cannot be read or holds no usable task.
    """
    names: set[str] = set()
    labelled = LabelledTexts()
    first_problem: BadRow | None = None
    for row in _parsed(jsonl.read_objects(path), labelled, examples):
        found = row if isinstance(row, BadRow) else _unless_known(*row, names)
        if isinstance(found, BadRow):
            first_problem = first_problem or found
        else:
            names.add(found.name)
        yield found
    if not names:
        raise InputError(f"{path} holds no usable task{f'; {first_problem}' if first_problem else ''}")


def parse_task(fields: dict[str, Any], *, examples: int | None = None) -> Task:
    """A task from one line's fields. Raises `InputError` that names the fault."""
    wordings = _texts(fields, "wordings")
    hasty = fields.get("hasty", USUAL_HASTY)
    if not isinstance(hasty, int) or isinstance(hasty, bool) or hasty < 1:
        raise InputError(f"hasty must be the number of hasty wordings, at least 1, not {hasty!r}")
    if len(wordings) <= hasty:
        raise InputError(f"the first {hasty} wordings are the hasty ones; of {len(wordings)}, none is left to be good")
    name = _text(fields, "task")
    parsed = _merged(_examples(fields))
    task = Task(
        name=name,
        family=fields.get("family", _known_families().get(name, name)),
        source=_text(fields, "source"),
        licence=_optional(fields, "licence"),
        note=_optional(fields, "note"),
        check=fields["check"] if "check" in fields else usual_check(parsed),
        hasty=wordings[:hasty],
        good=wordings[hasty:],
        examples=parsed,
    )
    return task if examples is None else first_examples(task, examples)


def first_examples(task: Task, count: int) -> Task:
    """The task with its first examples only. Raises `InputError` where it has fewer."""
    if len(task.examples) < count:
        raise InputError(f"task {task.name!r} has {len(task.examples)} examples, but {count} were asked for")
    return replace(task, examples=task.examples[:count])


def write_tasks(path: Path, tasks: Iterable[Task]) -> int:
    """Write or replace a file of tasks, and say how many there are."""
    count = 0
    with jsonl.replacing(path) as file:
        for task in tasks:
            file.write(jsonl.encode_object(task.to_fields()))
            count += 1
    return count


def _unless_known(line: int, task: Task, names: set[str]) -> Task | BadRow:
    return BadRow(line=line, reason=f"there is another task named {task.name!r}") if task.name in names else task


def _parsed(
    rows: Iterable[tuple[int, dict[str, Any]] | BadRow], labelled: LabelledTexts, examples: int | None
) -> Iterator[tuple[int, Task] | BadRow]:
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        line, fields = row
        try:
            if is_labelled(fields):
                labelled.add(fields, line)
            else:
                yield line, parse_task(fields, examples=examples)
        except InputError as error:
            yield BadRow(line=line, reason=str(error))
    for line, made in labelled.tasks():
        try:
            task = made()
            yield line, task if examples is None else first_examples(task, examples)
        except InputError as error:
            yield BadRow(line=line, reason=str(error))


def _merged(examples: Iterable[Example]) -> tuple[Example, ...]:
    """One example for each input: public sets have some twice, with other right outputs."""
    found: dict[str, Example] = {}
    for each in examples:
        known = found.setdefault(each.input, each)
        found[each.input] = replace(known, outputs=tuple(dict.fromkeys(known.outputs + each.outputs)))
    return tuple(found.values())


def _examples(fields: dict[str, Any]) -> Iterator[Example]:
    rows = fields.get("examples")
    if not isinstance(rows, list):
        raise InputError("the field examples is missing" if rows is None else "examples must be a list")
    for place, row in enumerate(rows, start=1):
        try:
            if not isinstance(row, dict):
                raise InputError("not an object")
            choices = _texts(row, "choices") if row.get("choices") is not None else None
            yield Example(input=_text(row, "input"), outputs=_texts(row, "outputs"), choices=choices)
        except InputError as error:
            raise InputError(f"example {place}: {error}") from error


def _text(fields: dict[str, Any], name: str) -> str:
    if fields.get(name) is None:
        raise InputError(f"the field {name} is missing")
    value = fields[name]
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}")
    return value


def _optional(fields: dict[str, Any], name: str) -> str | None:
    return None if fields.get(name) is None else _text(fields, name)


def _texts(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        raise InputError(f"the field {name} is missing")
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise InputError(f"{name} must be a list of texts")
    return tuple(value)


@cache
def _known_families() -> dict[str, str]:
    """The families of public tasks whose files name none, so that they stay with their made siblings."""
    families: dict[str, list[str]] = tomllib.loads(_FAMILIES.read_text(encoding="utf-8"))
    return {task: family for family, tasks in families.items() for task in tasks}
