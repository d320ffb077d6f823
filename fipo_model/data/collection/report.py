"""What happened to the records of a job, in numbers. Pure."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fipo_model.data.collection.cases import REASONS, Case, Stage
from fipo_model.data.collection.settings import BuildSettings
from fipo_model.data.collection.workplace import Spent, Workplace
from fipo_model.data.records import PARTS
from fipo_model.jsonl import BadRow
from fipo_model.types import count_words


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCounts:
    """What was read is accepted, failed or waiting for more calls."""

    read: int
    accepted: int
    failed: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdicts on pairs of a chosen and a rejected rewrite."""

    judged: int
    prefers_chosen: int
    prefers_rejected: int
    tie: int
    ties: Mapping[str, int]
    """By their reasons."""
    agreement: float | None
    """The share of pairs without a tie, in which one rewrite was preferred in both orders; None without a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Conversations sent over all runs, whether or not something came back."""

    allowed: int | None
    sent: int
    by_stage: Mapping[Stage, Spent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How long texts are, in words."""

    count: int
    mean: float
    median: float
    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a job so far. `to_fields` is the only way from here to JSON."""

    is_complete: bool
    records: RecordCounts
    bad_rows: int
    failed: Mapping[str, int]
    """By every reason there is."""
    silver_truncated: int
    rejected_outcomes: Mapping[str, int]
    judge: Judged
    calls: Calls
    words: Mapping[str, Lengths]
    """Of each part of the accepted records."""
    settings: Mapping[str, Any] | None

    def to_fields(self) -> dict[str, Any]:
        """The fields of the report's file, in their order."""
        return asdict(self)


def make_report(
    cases: Sequence[Case], bad_rows: Sequence[BadRow], workplace: Workplace, settings: BuildSettings
) -> Report:
    """Counts of every reason to fail, the judge's verdicts, the cost, and the lengths of the accepted records."""
    failed = Counter(case.failure.reason for case in cases if case.failure is not None)
    records = RecordCounts(
        read=len(cases),
        accepted=sum(case.is_accepted for case in cases),
        failed=failed.total(),
        waiting=sum(case.stage is not None for case in cases),
    )
    rejected = Counter(case.rejected_outcome for case in cases if case.rejected_outcome)
    return Report(
        is_complete=records.waiting == 0,
        records=records,
        bad_rows=len(bad_rows),
        failed={reason: failed[reason] for reason in REASONS},
        silver_truncated=sum(case.is_silver_truncated for case in cases),
        rejected_outcomes=dict(rejected.most_common()),
        judge=_count_verdicts(cases),
        calls=Calls(allowed=settings.max_calls, sent=workplace.calls, by_stage=workplace.spent),
        words={part: _summarize(counts) for part, counts in lengths_of(cases).items()},
        settings=workplace.settings,
    )


def lengths_of(cases: Sequence[Case]) -> dict[str, list[int]]:
    """The lengths in words of each part of the accepted records, of the parts that any record has."""
    records = [case.record for case in cases if case.is_accepted]
    lengths = {}
    for part in PARTS:
        texts = [getattr(record, part) for record in records]
        counts = [count_words(text) for text in texts if text is not None]
        if counts:
            lengths[part] = counts
    return lengths


def _count_verdicts(cases: Sequence[Case]) -> Judged:
    verdicts = [case.verdict for case in cases if case.verdict is not None]
    winners = Counter(verdict.winner for verdict in verdicts)
    decided = winners["challenger"] + winners["incumbent"]
    # What follows the colon quotes the judge.
    ties = Counter(verdict.reason.partition(":")[0] for verdict in verdicts if verdict.winner == "tie")
    return Judged(
        judged=len(verdicts),
        prefers_chosen=winners["challenger"],
        prefers_rejected=winners["incumbent"],
        tie=winners["tie"],
        ties=dict(ties.most_common()),
        agreement=round(decided / len(verdicts), 4) if verdicts else None,
    )


def _summarize(counts: Sequence[int]) -> Lengths:
    return Lengths(
        count=len(counts),
        mean=round(statistics.fmean(counts), 1),
        median=statistics.median(counts),
        min=min(counts),
        max=max(counts),
    )
