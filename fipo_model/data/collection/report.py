"""What became of the records of a job, in numbers. Pure."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fipo_model.data.collection.cases import REASONS, Case
from fipo_model.data.collection.settings import BuildSettings
from fipo_model.data.collection.workplace import Workplace
from fipo_model.data.records import PARTS
from fipo_model.jsonl import BadRow
from fipo_model.types import count_words


def make_report(
    cases: Sequence[Case], bad_rows: Sequence[BadRow], workplace: Workplace, settings: BuildSettings
) -> dict[str, Any]:
    """Counts of every reason to fail, what the judge said, what it took, and the lengths of the accepted records.

    `records` adds up: what was read is accepted, failed or waiting (for more calls). `words` are counted in the
    accepted records; `calls` over all runs, whether or not something came back.
    """
    failed = Counter(case.failure.reason for case in cases if case.failure is not None)
    waiting = sum(case.stage is not None for case in cases)
    spent = {stage: asdict(spent) for stage, spent in workplace.spent.items()}
    return {
        "is_complete": waiting == 0,
        "records": {
            "read": len(cases),
            "accepted": sum(case.is_accepted for case in cases),
            "failed": failed.total(),
            "waiting": waiting,
        },
        "bad_rows": len(bad_rows),
        "failed": {reason: failed[reason] for reason in REASONS},
        "silver_truncated": sum(case.is_silver_truncated for case in cases),
        "rejected_outcomes": dict(Counter(c.rejected_outcome for c in cases if c.rejected_outcome).most_common()),
        "judge": _judged(cases),
        "calls": {"allowed": settings.max_calls, "sent": workplace.calls, "by_stage": spent},
        "words": _lengths(cases),
        "settings": workplace.settings,
    }


def _judged(cases: Sequence[Case]) -> dict[str, Any]:
    """The verdicts. The agreement is the share of pairs without a tie: one rewrite was preferred in both orders."""
    verdicts = [case.verdict for case in cases if case.verdict is not None]
    winners = Counter(verdict.winner for verdict in verdicts)
    decided = winners["challenger"] + winners["incumbent"]
    # What follows the colon quotes the judge.
    ties = Counter(verdict.reason.partition(":")[0] for verdict in verdicts if verdict.winner == "tie")
    return {
        "judged": len(verdicts),
        "prefers_chosen": winners["challenger"],
        "prefers_rejected": winners["incumbent"],
        "tie": winners["tie"],
        "ties": dict(ties.most_common()),
        "agreement": round(decided / len(verdicts), 4) if verdicts else None,
    }


def lengths_of(cases: Sequence[Case]) -> dict[str, list[int]]:
    """The lengths in words of each part of the accepted records."""
    records = [case.record for case in cases if case.is_accepted]
    lengths = {part: [count_words(text) for r in records if (text := getattr(r, part)) is not None] for part in PARTS}
    return {part: counts for part, counts in lengths.items() if counts}


def _lengths(cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    return {
        part: {
            "count": len(counts),
            "mean": round(statistics.fmean(counts), 1),
            "median": statistics.median(counts),
            "min": min(counts),
            "max": max(counts),
        }
        for part, counts in lengths_of(cases).items()
    }
