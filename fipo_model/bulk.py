"""Many prompts from one JSONL file to another: streaming, and resumed where an earlier run stopped.

The output is the ledger of what is done. A run that is started again on the same files repairs a half-written last
line, skips every id that is there, and appends: nothing is lost and nothing is done twice. An id that stands for
another prompt than before is an error: the rows there would be somebody else's. OUT.work/ beside the output notes the
settings that it was made with, and keeps a second process away from it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl, places
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow
from fipo_model.judge import LLMJudge
from fipo_model.optimizer import PromptOptimizer
from fipo_model.types import OptimizationRequest, OptimizedPrompt, check_text

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
    refused: int = 0
    """Rows whose prompt the model or its server refused; they are written, too."""
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


Report = Callable[[Tally, BadRow | None], None]
"""Told of every step: the tally so far, and the row that could not be used if that is the news."""


def optimize_file(
    optimizer: PromptOptimizer | Callable[[], PromptOptimizer],
    source: Path,
    target: Path,
    *,
    batch_size: int,
    report: Report,
    proposals: bool = False,
) -> Tally:
    """Optimize every row of `source` into `target`, `batch_size` rows at a time.

    A function that makes the optimizer is called when everything that can be refused without it was looked at. Output
    rows hold id, instruction (to use: the rewrite, or the naive one), naive_instruction, outcome, detail (why the naive
    one was kept), seconds (the row's share of its batch), model and template; with `proposals`, also what the model
    proposed, each with text, outcome and detail. Raises `InputError` for files that cannot be used, where another
    process is at work on `target`, and where that was made with other settings.
    """
    jsonl.check_apart(source, target)
    # Version 0.1 noted no settings; what its rows say of them must do.
    with jobs.claimed_file(target, kind="rewritten prompts", needs_note=False) as job:
        jsonl.check_writable(target)
        made = optimizer() if callable(optimizer) else optimizer
        settings = _settings(made)
        job.check(settings)
        done = _resume(target, made)
        if done and places.is_file(source):  # before anything is added to rows that are somebody else's
            for row in read_rows(source):
                _check_prompt(row, done, source)
        job.begin(settings)
        tally = Tally(already_done=len(done))
        report(tally, None)
        batches = _Batches(made, tally, report, has_proposals=proposals)
        for rows in batches.of(_waiting(source, done, tally, report), batch_size):
            jobs.append(target, rows)
            report(tally, None)
        return tally


def optimize_stream(
    optimizer: PromptOptimizer,
    source: Path,
    write: Callable[[bytes], object],
    *,
    batch_size: int,
    report: Report,
    proposals: bool = False,
) -> Tally:
    """`optimize_file` for an output that can only be written to, such as a pipe: nothing is noted, nothing resumed."""
    tally = Tally()
    batches = _Batches(optimizer, tally, report, has_proposals=proposals)
    for rows in batches.of(_waiting(source, {}, tally, report), batch_size):
        write(b"".join(map(jsonl.encode_object, rows)))
        report(tally, None)
    return tally


class _Batches:
    """Makes output rows of rows, and counts them."""

    def __init__(self, optimizer: PromptOptimizer, tally: Tally, report: Report, *, has_proposals: bool) -> None:
        self.optimizer = optimizer
        self.tally = tally
        self.report = report
        self.has_proposals = has_proposals

    def of(self, waiting: Iterator[Row], size: int) -> Iterator[list[dict[str, Any]]]:
        """The output rows, batch by batch."""
        while batch := list(islice(waiting, size)):
            yield self._optimize(batch)

    def _optimize(self, batch: list[Row]) -> list[dict[str, Any]]:
        started = time.perf_counter()
        results = self.optimizer.optimize_each([row.request for row in batch])
        seconds = (time.perf_counter() - started) / len(batch)
        rows = []
        for row, result in zip(batch, results, strict=True):
            if isinstance(result, InputError):
                self.tally.bad += 1
                self.report(self.tally, BadRow(line=row.line, reason=str(result)))
                continue
            rows.append(_fields(row, result, seconds) | (_proposals(result) if self.has_proposals else {}))
            self.tally.written += 1
            self.tally.rewritten += result.is_rewritten
            self.tally.refused += result.outcome == "refused"
        return rows


def _proposals(result: OptimizedPrompt) -> dict[str, Any]:
    return {"proposals": [asdict(candidate) for candidate in result.candidates]}


def _settings(optimizer: PromptOptimizer) -> dict[str, Any]:
    """What the rewrites depend on. A single candidate is greedy: no seed changes it."""
    rewriter, judge = optimizer.rewriter, optimizer.judge
    judge_name = None if judge is None else type(judge).__qualname__
    return {
        "model": rewriter.name,
        "template": rewriter.template.name,
        "fidelity": sorted(rewriter.settings.enforced),
        "most_added_words": rewriter.settings.most_added_words,
        "strict_wording": rewriter.settings.strict_wording or None,
        "judge": f"{judge_name} on {judge.generator.name}" if isinstance(judge, LLMJudge) else judge_name,
        "candidates": rewriter.samples,
        "seed": rewriter.seed if rewriter.samples > 1 else None,
        "keep": sorted(rewriter.keep) or None,
        "max_words": rewriter.max_words,
    }


def _waiting(source: Path, done: dict[RowId, int], tally: Tally, report: Report) -> Iterator[Row]:
    for row in read_rows(source):
        if isinstance(row, BadRow):
            tally.bad += 1
            report(tally, row)
        elif row.id not in done:
            yield row
        else:
            _check_prompt(row, done, source)


def _check_prompt(row: Row | BadRow, done: dict[RowId, int], source: Path) -> None:
    if isinstance(row, Row) and done.get(row.id, hash(row.request.instruction)) != hash(row.request.instruction):
        raise InputError(
            f"the output was made from another input: there, the row with the id {row.id!r} has another prompt than on "
            f"line {row.line} of {source}. Choose another output, or give the rows ids of their own."
        )


def _parse(line: int, fields: dict[str, Any]) -> Row:
    if "instruction" not in fields:
        raise InputError(f"no field 'instruction' (it has {', '.join(map(repr, fields)) or 'none'})")
    number = line if fields.get("id") is None else fields["id"]
    if not isinstance(number, str | int) or isinstance(number, bool):
        raise InputError("the id must be a text or a whole number")
    check_text("id", str(number))
    request = OptimizationRequest(
        fields["instruction"],
        context=_part(fields, "context"),
        silver_response=_part(fields, "silver_response"),
        golden_response=_part(fields, "golden_response"),
        max_words=_part(fields, "max_words"),
        keep=_keep(fields),
    )
    return Row(line=line, id=number, request=request)


def _part(fields: dict[str, Any], name: str) -> Any:
    # Data sets write "" for what is not there.
    return None if fields.get(name) == "" else fields.get(name)


def _keep(fields: dict[str, Any]) -> Any:
    keep = fields.get("keep")
    return tuple(keep) if isinstance(keep, list) else keep or ()


def _fields(row: Row, result: OptimizedPrompt, seconds: float) -> dict[str, Any]:
    return {
        "id": row.id,
        "instruction": result.text,
        "naive_instruction": row.request.instruction,
        "outcome": result.outcome,
        "detail": result.detail,
        "seconds": round(seconds, 3),
        "model": result.model,
        "template": result.template,
    }


def _resume(target: Path, optimizer: PromptOptimizer) -> dict[RowId, int]:
    """The ids an earlier run finished, after cutting off a last line it did not finish writing.

    With each goes the hash of its naive prompt; the texts themselves would fill the memory.
    """
    wanted = {"model": optimizer.rewriter.name, "template": optimizer.rewriter.template.name}
    done: dict[RowId, int] = {}
    for fields in jobs.finished_rows(target, "id", "naive_instruction", *wanted):
        if changed := jobs.differences({name: fields[name] for name in wanted}, wanted):
            raise InputError(f"{target} holds prompts rewritten with other settings: {changed}. Choose another output.")
        done[fields["id"]] = hash(str(fields["naive_instruction"]))
    return done
