"""Sets of labelled texts as tasks: the text is the input, its label the right output.

Pure, except for reading its wordings.
"""

import tomllib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from fipo_model.data.tasks.task import Example, Task, check_text
from fipo_model.errors import InputError

_WORDINGS = Path(__file__).with_suffix(".toml")
_TEXTS = ("task", "text", "label", "split")


def is_labelled(fields: dict[str, Any]) -> bool:
    """Whether a row is a labelled text, not a task."""
    return "label" in fields and "examples" not in fields


class LabelledTexts:
    """Gathers the rows of the training split; the others are for measuring, and are not used."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Example]] = {}
        self._lines: dict[str, int] = {}

    def add(self, fields: dict[str, Any], line: int) -> None:
        """Take a row. Raises `InputError` for one that is incomplete or whose set has no wordings."""
        missing = next((name for name in (*_TEXTS, "labels") if fields.get(name) is None), None)
        if missing is not None:
            raise InputError(f"the field {missing} is missing")
        for field in _TEXTS:
            check_text(field, fields[field])
        labels = fields["labels"]
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise InputError("labels must be a list of texts")
        name = fields["task"]
        if name not in _wordings():
            raise InputError(f"there are no wordings for the set {name!r}, only for {', '.join(_wordings())}")
        example = Example(input=fields["text"], outputs=(fields["label"],), choices=tuple(labels))
        rows = self._rows.setdefault(name, {})
        self._lines.setdefault(name, line)
        if fields["split"] == "train":
            rows.setdefault(example.input, example)

    def tasks(self) -> Iterator[tuple[int, Callable[[], Task]]]:
        """For each set the line on which it begins, and a function that makes its task or raises `InputError`."""
        for name, rows in self._rows.items():
            yield self._lines[name], partial(_task, name, tuple(rows.values()))


def _task(name: str, examples: tuple[Example, ...]) -> Task:
    card = _wordings()[name]
    return Task(
        name=name,
        family=card["family"],
        source=card["source"],
        check="choice",
        hasty=tuple(card["hasty"]),
        good=tuple(card["good"]),
        examples=examples,
    )


@cache
def _wordings() -> dict[str, dict[str, Any]]:
    return tomllib.loads(_WORDINGS.read_text(encoding="utf-8"))
