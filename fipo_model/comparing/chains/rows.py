"""The rows both chains are asked: JSON lines with `input`, and where the metric needs it a right output."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fipo_model import jsonl
from fipo_model.errors import InputError
from fipo_model.search.examples import right_outputs

_FEWEST = 2  # one row shows nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question, and what its answer is compared with."""

    id: str
    line: int
    input: str | dict[str, Any]
    reference: Any = None


Unfit = Callable[[Any], str]
"""Why a metric cannot use a reference; empty if it can."""


def read_rows(path: Path, unfit: Unfit, limit: int | None) -> tuple[list[Row], list[str]]:
    """Read the usable rows of a file, at most `limit`, and say what is wrong with each unusable line among them.

    Raises `InputError` if there are not two.
    """
    rows: dict[str, Row] = {}
    bad: list[str] = []
    for item in jsonl.read_objects(path):
        if len(rows) == limit:
            break
        if isinstance(item, jsonl.BadRow):
            bad.append(str(item))
            continue
        line, fields = item
        try:
            row = _make_row(line, fields, unfit)
            if row.id in rows:
                raise InputError(f"the id {row.id!r} occurs twice; the first row counts")
        except InputError as error:
            bad.append(f"line {line}: {error}")
            continue
        rows[row.id] = row
    if len(rows) < _FEWEST:
        first = f"; {bad[0]}" if bad else ""
        raise InputError(f"a comparison needs at least {_FEWEST} usable rows, but {path} has {len(rows)}{first}")
    return list(islice(rows.values(), limit)), bad


def _make_row(line: int, fields: dict[str, Any], unfit: Unfit) -> Row:
    if "input" not in fields:
        raise InputError(f"there is no `input`; the fields are {', '.join(map(repr, fields)) or 'none'}")
    given, right = fields["input"], right_outputs(fields)
    if not isinstance(given, str | dict):
        raise InputError(f"`input` must be text or an object, as the chain takes it, not {type(given).__name__}")
    name = fields.get("id", f"line {line}")
    if not isinstance(name, str | int):
        raise InputError("`id` must be text or a whole number")
    if len(right) > 1:
        raise InputError(f"`outputs` has {len(right)} right outputs, but a comparison takes one: give it as `output`")
    reference = right[0] if right else None
    reason = unfit(reference)
    if reason:
        raise InputError(reason)
    return Row(id=str(name), line=line, input=given, reference=reference)
