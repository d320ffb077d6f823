"""All tasks made by rule: what the modules draw, with the wordings of the file of the same name."""

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from fipo_model.data.tasks.making import (
    classification,
    dates,
    extraction,
    formats,
    lists,
    mails,
    numerals,
    objects,
    programs,
    strings,
    tables,
    units,
)
from fipo_model.data.tasks.making.drawing import Make
from fipo_model.data.tasks.task import Example, Task
from fipo_model.errors import InputError

ROOMS: tuple[ModuleType, ...] = (
    *(strings, lists, numerals, units, dates, tables, objects, mails, programs, formats, extraction, classification),
)
SOURCE = "made by rule"
LICENCE = "Apache-2.0"

# Draws for each requested example. Kinds of fifty words give forty different ones in about a hundred draws.
_DRAWS = 100


def make_tasks(*, examples: int = 40, seed: int = 0) -> Iterator[Task]:
    """All tasks, each with that many different examples, the same ones for the same seed.

    Raises `InputError` where a task has fewer.
    """
    if examples < 1:
        raise InputError(f"a task needs at least one example, not {examples}")
    for room in ROOMS:
        for name, card in wordings(room).items():
            yield Task(
                name=name,
                family=card["family"],
                source=SOURCE,
                licence=LICENCE,
                check=card.get("check"),
                hasty=tuple(card["hasty"]),
                good=tuple(card["good"]),
                examples=_drawn(name, room.MAKERS[name], examples, seed),
            )


@cache
def wordings(room: ModuleType) -> dict[str, dict[str, Any]]:
    """The tasks of a module by their names: family, check, hasty and good wordings."""
    file = Path(__file__).with_name(f"{room.__name__.rpartition('.')[2]}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def _drawn(name: str, make: Make, count: int, seed: int) -> tuple[Example, ...]:
    random = Random(f"{seed} {name}")
    found: dict[str, Example] = {}
    for _ in range(_DRAWS * count):
        example = make(random)
        found.setdefault(example.input, example)
        if len(found) == count:
            return tuple(found.values())
    raise InputError(f"task {name!r} has only {len(found)} different examples, but {count} were asked for")
