"""Many prompts from one JSONL file to another: streaming, and going on where an earlier run stopped.

The output is the record of what is done. A run that is started again on the same files repairs a half-written last
line, skips every id that is there, and appends: nothing is lost and nothing is done twice.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fipo_model import jsonl
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow
from fipo_model.optimizer import PromptOptimizer
from fipo_model.types import OptimizationRequest, OptimizedPrompt

RowId = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt to optimize, and where it stands."""

    line: int
    id: RowId
    """The row's own `id`; its line number where it has none."""
    request: OptimizationRequest


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run did, as it stands."""

    written: int = 0
    rewritten: int = 0
    already_done: int = 0
    bad: int = 0


def read_rows(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a JSONL file, one at a time; lines that cannot be used come as `BadRow`, blank ones not at all."""
    used: dict[RowId, int] = {}
    for item in jsonl.read_objects(path):
        if isinstance(item, BadRow):
            yield item
            continue
        line, fields = item
        try:
            row = _parse(line, fields)
            if row.id in used:
                raise InputError(f"the id {row.id!r} was already used on line {used[row.id]}")
        except InputError as error:
            yield BadRow(line=line, reason=str(error))
            continue
        used[row.id] = line
        yield row


def optimize_file(
    optimizer: PromptOptimizer,
    source: Path,
    target: Path,
    *,
    batch_size: int,
    report: Callable[[Tally, BadRow | None], None],
) -> Tally:
    """Optimize every row of `source` into `target`, `batch_size` rows at a time.

    `report` hears of every step: the tally so far, and the row that could not be used if that is the news. Output rows
    hold id, instruction (to use: the rewrite, or the naive one), naive_instruction, outcome, seconds (the row's share
    of its batch), model and template. Raises `InputError` for files that cannot be used.
    """
    if source.exists() and target.exists() and source.samefile(target):
        raise InputError(f"the input and the output are the same file, {source}")
    done = _resume(target, optimizer)
    tally = Tally(already_done=len(done))
    with jsonl.opened(target, "ab") as output:
        waiting = _waiting(source, done, tally, report)
        while batch := list(islice(waiting, batch_size)):
            started = time.perf_counter()
            results = optimizer.optimize_each([row.request for row in batch])
            seconds = (time.perf_counter() - started) / len(batch)
            for row, result in zip(batch, results, strict=True):
                if isinstance(result, InputError):
                    tally.bad += 1
                    report(tally, BadRow(line=row.line, reason=str(result)))
                    continue
                output.write(_encode(row, result, seconds))
                tally.written += 1
                tally.rewritten += result.is_rewritten
            output.flush()
            report(tally, None)
    return tally


def _waiting(
    source: Path, done: set[RowId], tally: Tally, report: Callable[[Tally, BadRow | None], None]
) -> Iterator[Row]:
    for row in read_rows(source):
        if isinstance(row, BadRow):
            tally.bad += 1
            report(tally, row)
        elif row.id not in done:
            yield row


def _parse(line: int, fields: dict[str, Any]) -> Row:
    if "instruction" not in fields:
        raise InputError(f"no field 'instruction' (it has {', '.join(map(repr, fields)) or 'none'})")
    if not isinstance(number := fields.get("id", line), str | int):
        raise InputError("the id must be a text or a whole number")
    request = OptimizationRequest(
        fields["instruction"],
        context=fields.get("context") or None,
        silver_response=fields.get("silver_response") or None,
        golden_response=fields.get("golden_response") or None,
    )
    return Row(line=line, id=number, request=request)


def _encode(row: Row, result: OptimizedPrompt, seconds: float) -> bytes:
    fields = {
        "id": row.id,
        "instruction": result.text,
        "naive_instruction": row.request.instruction,
        "outcome": result.outcome,
        "seconds": round(seconds, 3),
        "model": result.model,
        "template": result.template,
    }
    return jsonl.encode_object(fields)


def _resume(target: Path, optimizer: PromptOptimizer) -> set[RowId]:
    """The ids an earlier run finished, after cutting off a last line it did not finish writing."""
    return {_finished(target, line, content, optimizer) for line, content in jsonl.finished_lines(target)}


def _finished(target: Path, line: int, content: bytes, optimizer: PromptOptimizer) -> RowId:
    other = f"{target} already exists and is not this job's output"
    try:
        fields: dict[str, Any] = json.loads(content)
        number: RowId = fields["id"]
        made_with = (fields["model"], fields["template"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{other}: its line {line} is not a row written by FIPO. Choose another output.") from error
    wanted = (optimizer.generator.name, optimizer.template.name)
    if made_with != wanted:
        raise InputError(f"{other}: it was made with {made_with}, not {wanted}. Choose another output.")
    return number
