"""Many prompts from one JSONL file to another, on this machine: streaming, and resumed where an earlier run stopped.

The output is the ledger of what is done. A run that is started again on the same files repairs a half-written last
line, skips every id that is there, and appends: nothing is lost and nothing is done twice. An id with another prompt
than before is an error, because the rows there would belong to something else. OUT.work/ beside the output records its
settings, and keeps a second process away.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fipo_model import jobs, jsonl, places
from fipo_model.bulk.rows import Row, optimize_rows, read_rows
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow
from fipo_model.judge import LLMJudge
from fipo_model.optimizer import PromptOptimizer
from fipo_model.rewriter import Rewriter


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run has done so far."""

    written: int = 0
    rewritten: int = 0
    refused: int = 0
    """Rows whose prompt the model or its server refused; they are written, too."""
    already_done: int = 0
    bad: int = 0

    def count(self, made: Mapping[str, Any] | BadRow) -> None:
        """Count a row that was made, or could not be."""
        if isinstance(made, BadRow):
            self.bad += 1
            return
        self.written += 1
        self.rewritten += made["outcome"] == "optimized"
        self.refused += made["outcome"] == "refused"


Done = dict[str, int]
"""The ids of finished rows, as text, with the hash of their naive prompt: the texts would fill the memory."""

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

    If `optimizer` is a function that makes one, it is called only after everything that can be checked without it.
    Output rows hold id, instruction (to use: the rewrite, or the naive one), naive_instruction, outcome, detail (why
    the naive one was kept), seconds (the row's share of its batch), model and template; with `proposals`, also what the
    model proposed, each with text, outcome and detail. Raises `InputError` for unusable files, where another process is
    at work on `target`, and where `target` was made with other settings.
    """
    jsonl.check_apart(source, target)
    # Version 0.1 recorded no settings, so its rows have to show them.
    with jobs.claimed_file(target, kind="rewritten prompts", needs_note=False) as job:
        jsonl.check_writable(target)
        made = optimizer() if callable(optimizer) else optimizer
        settings = settings_of(made)
        job.check(settings)
        done = finished(target, settings)
        if done and places.is_file(source):  # before anything is added to rows of another job
            for row in read_rows(source):
                check_prompt(row, done, source)
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
    """`optimize_file` for an output that can only be written to, such as a pipe, without recording or resuming."""
    tally = Tally()
    batches = _Batches(optimizer, tally, report, has_proposals=proposals)
    for rows in batches.of(_waiting(source, {}, tally, report), batch_size):
        write(b"".join(map(jsonl.encode_object, rows)))
        report(tally, None)
    return tally


class _Batches:
    """Makes output rows from rows, and counts them."""

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
        rows = []
        for made in optimize_rows(self.optimizer, batch, has_proposals=self.has_proposals):
            self.tally.count(made)
            if isinstance(made, BadRow):
                self.report(self.tally, made)
            else:
                rows.append(made)
        return rows


def settings_of(optimizer: PromptOptimizer) -> dict[str, Any]:
    """The settings that rewrites depend on. A single candidate is greedy, so no seed changes it."""
    rewriter, judge = optimizer.rewriter, optimizer.judge
    judge_name = None if judge is None else type(judge).__qualname__
    return {
        "model": rewriter.name,
        "template": rewriter.template.name,
        "fidelity": sorted(rewriter.settings.enforced),
        "most_added_words": rewriter.settings.most_added_words,
        "strict_wording": rewriter.settings.strict_wording or None,
        "may_repeat": rewriter.settings.may_repeat or None,
        "least_likelihood": rewriter.least_likelihood,
        "second": _second_of(rewriter),
        "judge": f"{judge_name} on {judge.generator.name}" if isinstance(judge, LLMJudge) else judge_name,
        "candidates": rewriter.samples,
        "seed": rewriter.seed if rewriter.samples > 1 else None,
        "keep": sorted(rewriter.keep) or None,
        "max_words": rewriter.max_words,
    }


def _second_of(rewriter: Rewriter) -> str | None:
    if rewriter.second is None:
        return None
    return f"{rewriter.second.generator.name} from {rewriter.second.least_likelihood}"


def _waiting(source: Path, done: Done, tally: Tally, report: Report) -> Iterator[Row]:
    for row in read_rows(source):
        if isinstance(row, BadRow):
            tally.count(row)
            report(tally, row)
        elif str(row.id) not in done:
            yield row
        else:
            check_prompt(row, done, source)


def check_prompt(row: Row | BadRow, done: Done, source: str | Path) -> None:
    """Raise `InputError` where an earlier run had another prompt under a row's id."""
    if isinstance(row, Row) and done.get(str(row.id), hash(row.request.instruction)) != hash(row.request.instruction):
        raise InputError(
            f"the output was made from another input: its row with the id {row.id!r} has a different prompt from line "
            f"{row.line} of {source}. Choose another output, or give the rows ids of their own."
        )


def finished(target: Path, settings: Mapping[str, Any]) -> Done:
    """What an earlier run finished, after cutting off a last line it did not finish writing."""
    wanted = {name: settings[name] for name in ("model", "template")}
    done: Done = {}
    for fields in jobs.finished_rows(target, "id", "naive_instruction", *wanted):
        if changed := jobs.differences({name: fields[name] for name in wanted}, wanted):
            raise InputError(f"{target} holds prompts rewritten with other settings: {changed}. Choose another output.")
        done[str(fields["id"])] = hash(str(fields["naive_instruction"]))
    return done
