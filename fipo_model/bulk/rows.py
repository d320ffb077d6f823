"""Rows of prompts, as they are read, and as they are written."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fipo_model import jsonl
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow
from fipo_model.optimizer import PromptOptimizer
from fipo_model.search.examples import read_examples
from fipo_model.types import OptimizationRequest, OptimizedPrompt, check_text

RowId = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt to optimize, and where it stands."""

    line: int
    id: RowId
    """The row's own `id`; its line number where it has none."""
    request: OptimizationRequest


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a JSONL file, one at a time; lines that cannot be used come as `BadRow`, blank ones not at all."""
    return parse_rows(jsonl.read_objects(path))


def parse_rows(items: Iterable[tuple[int, dict[str, Any]] | BadRow]) -> Iterator[Row | BadRow]:
    """The rows of objects with their line numbers. Ids that differ only in type (text or number) are the same.

    No two rows have one id, those that cannot be used among them (`failed_id`): they may be written, too.
    """
    used: dict[str, int] = {}
    for item in items:
        if isinstance(item, BadRow):
            yield _claim(item, used)
            continue
        line, fields = item
        try:
            row = parse_row(line, fields)
            if str(row.id) in used:
                raise InputError(f"the id {row.id!r} was already used on line {used[str(row.id)]}")
        except InputError as error:
            yield _claim(BadRow(line=line, reason=str(error), id=_free_id(fields, used)), used)
            continue
        used[str(row.id)] = line
        yield row


def _free_id(fields: Mapping[str, Any], used: dict[str, int]) -> RowId | None:
    """The id of an unusable row, if it is a valid id and no other row has it."""
    own = fields.get("id")
    is_id = isinstance(own, str | int) and not isinstance(own, bool) and str(own).isprintable()
    return own if is_id and str(own) not in used else None


def _claim(bad: BadRow, used: dict[str, int]) -> BadRow:
    """An unusable row whose id is now in use; where a row with an id of its own is called like its line, it yields."""
    id = failed_id(bad)
    while str(id) in used:
        id = f"{id}, unusable"
    used[str(id)] = bad.line
    return bad if id == failed_id(bad) else replace(bad, id=id)


def parse_row(line: int, fields: Mapping[str, Any]) -> Row:
    """The row of an object's fields. Raises `InputError` that says what is wrong with them."""
    if "instruction" not in fields:
        is_example = {"input", "output"} <= fields.keys()
        hint = "; rows of inputs and right outputs are the examples of one prompt (--examples)" if is_example else ""
        raise InputError(f"no field 'instruction' (it has {', '.join(map(repr, fields)) or 'none'}){hint}")
    number = line if fields.get("id") is None else fields["id"]
    if not isinstance(number, str | int) or isinstance(number, bool):
        raise InputError("the id must be text or a whole number")
    check_text("id", str(number))
    request = OptimizationRequest(
        fields["instruction"],
        context=_part(fields, "context"),
        silver_response=_part(fields, "silver_response"),
        golden_response=_part(fields, "golden_response"),
        examples=tuple(example.shown for example in read_examples(_part(fields, "examples") or ())),
        max_words=_part(fields, "max_words"),
        keep=_keep(fields),
    )
    return Row(line=line, id=number, request=request)


def _part(fields: Mapping[str, Any], name: str) -> Any:
    # Data sets write "" for missing values.
    return None if fields.get(name) == "" else fields.get(name)


def _keep(fields: Mapping[str, Any]) -> Any:
    keep = fields.get("keep")
    return tuple(keep) if isinstance(keep, list) else keep or ()


def output_row(row: Row, result: OptimizedPrompt, *, seconds: float, has_proposals: bool = False) -> dict[str, Any]:
    """What is written for a row; with `has_proposals`, also everything that the model proposed."""
    fields = {
        "id": row.id,
        "instruction": result.text,
        "naive_instruction": row.request.instruction,
        "outcome": result.outcome,
        "detail": result.detail,
        "seconds": round(seconds, 3),
        "model": result.model,
        "template": result.template,
    }
    return fields | ({"proposals": [asdict(candidate) for candidate in result.candidates]} if has_proposals else {})


def failed_id(bad: BadRow) -> RowId:
    """The id under which an unusable row is written."""
    return f"line {bad.line}" if bad.id is None else bad.id


def failed_row(bad: BadRow, *, prompt: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is written for an unusable row, where one is written: its prompt, and why."""
    return {
        "id": failed_id(bad),
        "instruction": prompt,
        "naive_instruction": prompt,
        "outcome": "failed",
        "detail": bad.reason,
        "seconds": 0.0,
        "model": settings["model"],
        "template": settings["template"],
    }


def optimize_rows(
    optimizer: PromptOptimizer, rows: Sequence[Row], *, has_proposals: bool = False
) -> list[dict[str, Any] | BadRow]:
    """What is written for each row, from one batch; `seconds` is a row's share of its time."""
    started = time.perf_counter()
    results = optimizer.optimize_each([row.request for row in rows])
    seconds = (time.perf_counter() - started) / max(1, len(rows))
    return [
        BadRow(line=row.line, reason=str(result), id=row.id)
        if isinstance(result, InputError)
        else output_row(row, result, seconds=seconds, has_proposals=has_proposals)
        for row, result in zip(rows, results, strict=True)
    ]
