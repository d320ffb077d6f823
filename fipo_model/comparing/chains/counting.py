"""Measurements summed up: paired figures with intervals, made from the rows in results.json."""

import statistics as plain
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from fipo_integrations.langchain import Report
from fipo_model.comparing.chains.running import SIDES
from fipo_model.comparing.intervals import mean_interval
from fipo_model.evaluation import statistics
from fipo_model.types import count_words

Record = Mapping[str, Any]
Verdict = Literal["better", "worse", "no difference shown", "nothing rewritten"]
Scale = Literal["binary", "unit", "free"]

FEWEST_DIFFERING = 6
"""Fewer rows that differ show nothing: five that are all better happen by chance in 6 % of cases (sign test)."""
_COSTS = ("input_tokens", "output_tokens", "calls")


def count_prompts(report: Report) -> dict[str, Any]:
    """Count what happened to the chain's prompts, and how much longer those that were rewritten are."""
    rewritten = [change for change in report.changes if change.outcome == "optimized"]
    words = {
        "original": sum(count_words(change.naive) for change in rewritten),
        "optimized": sum(count_words(change.text) for change in rewritten),
    }
    return {
        "texts": len(report.changes),
        "rewritten": len(rewritten),
        "outcomes": dict(Counter(change.outcome for change in report.changes)),
        "unreached": len(report.unreached),
        "left_alone": len(report.left_alone),
        "words": words,
        "length_ratio": words["optimized"] / words["original"] if rewritten else None,
    }


def summarize(records: Sequence[Record], *, seed: int) -> dict[str, Any]:
    """Compare scores and costs of both sides, paired by row; repeated runs of a row are averaged first.

    A failed run scores 0 where all scores are between 0 and 1; on any other scale a failure has no score, and its row
    is left out.
    """
    scale = scale_of(records)
    pairs = list(_scored_pairs(records, scale))
    scores = {"original": [before for before, _ in pairs], "optimized": [after for _, after in pairs]}
    gains = [after - before for before, after in pairs]
    counts = {
        "better": sum(gain > 0 for gain in gains),
        "equal": sum(gain == 0 for gain in gains),
        "worse": sum(gain < 0 for gain in gains),
    }
    difference = _difference_interval(gains, scale, seed)
    return {
        "scale": scale,
        "rows": len(records),
        "left_out": len(records) - len(pairs),
        "score": {side: _score_interval(scores[side], scale, seed) for side in SIDES},
        "difference": difference,
        "outcomes": counts,
        "verdict": reach_verdict(difference, counts),
        "runs": sum(len(record["runs"]) for record in records),
        "failed": {side: sum(run[side]["error"] is not None for run in _runs_of(records)) for side in SIDES},
        "seconds_alone": _summarize_time_alone(records, seed),
        "seconds_in_batches": _summarize_time_in_batches(records),
        **{name: _average_cost(records, name, seed) for name in _COSTS},
    }


def scale_of(records: Sequence[Record]) -> Scale:
    """Find whether every row is right or wrong, every score a share of one, or anything."""
    known = [run[side]["score"] for run in _runs_of(records) for side in SIDES if run[side]["error"] is None]
    if not all(0 <= score <= 1 for score in known):
        return "free"
    is_once = all(len(record["runs"]) == 1 for record in records)
    return "binary" if is_once and all(score in (0, 1) for score in known) else "unit"


def reach_verdict(difference: Mapping[str, Any] | None, counts: Mapping[str, int]) -> Verdict:
    """Say no more of a difference than it shows."""
    if difference is None or counts["better"] + counts["worse"] < FEWEST_DIFFERING:
        return "no difference shown"
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "no difference shown"


def change_of(record: Record, scale: Scale) -> tuple[str, float | None]:
    """Say what happened to a row: "better", "worse", "equal" or "failed" in either chain, and by how much it changed.

    The change is None for a failure on a scale on which failures have no score.
    """
    before, after = (_average_score(record, side, scale) for side in SIDES)
    gain = None if before is None or after is None else after - before
    if gain is None or any(run[side]["error"] is not None for run in record["runs"] for side in SIDES):
        return "failed", gain
    if gain == 0:
        return "equal", gain
    return ("better" if gain > 0 else "worse"), gain


def _runs_of(records: Sequence[Record]) -> list[Mapping[str, Any]]:
    return [run for record in records for run in record["runs"]]


def _scored_pairs(records: Sequence[Record], scale: Scale) -> Iterator[tuple[float, float]]:
    """The scores of both sides, of each row that has them."""
    for record in records:
        before, after = (_average_score(record, side, scale) for side in SIDES)
        if before is not None and after is not None:
            yield before, after


def _average_score(record: Record, side: str, scale: Scale) -> float | None:
    """Average the runs of a row; None if one failed and failures have no score."""
    has_failed = any(run[side]["error"] is not None for run in record["runs"])
    if has_failed and scale == "free":
        return None
    return plain.fmean(0.0 if run[side]["error"] is not None else run[side]["score"] for run in record["runs"])


def _score_interval(values: Sequence[float], scale: Scale, seed: int) -> dict[str, Any] | None:
    if scale == "binary" and values:
        return asdict(statistics.share(round(sum(values)), len(values)))
    return mean_interval(values, seed=seed)


def _difference_interval(gains: Sequence[float], scale: Scale, seed: int) -> dict[str, Any] | None:
    if scale == "binary" and gains:
        gained, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        return asdict(statistics.share_difference(gained, lost, len(gains)))
    return mean_interval(gains, seed=seed)


def _summarize_time_alone(records: Sequence[Record], seed: int) -> dict[str, Any] | None:
    """Summarize the seconds for a row by itself, over the rows that were timed in both chains."""
    measured = [record["seconds_alone"] for record in records if record["seconds_alone"] is not None]
    timed = [seconds for seconds in measured if None not in seconds.values()]
    if len(timed) < 2:
        return None
    found: dict[str, Any] = {"rows": len(timed)}
    for side in SIDES:
        taken = [seconds[side] for seconds in timed]
        p95 = plain.quantiles(taken, n=20, method="inclusive")[-1]  # never longer than the longest seen
        found[side] = {"p50": plain.median(taken), "p95": p95}
    gains = [seconds["optimized"] - seconds["original"] for seconds in timed]
    return {**found, "difference": mean_interval(gains, seed=seed)}


def _summarize_time_in_batches(records: Sequence[Record]) -> dict[str, float]:
    """Summarize the seconds per row when several are asked at once. Medians, which a slow first batch does not move."""
    return {side: plain.median(run[side]["seconds"] for run in _runs_of(records)) for side in SIDES}


def _average_cost(records: Sequence[Record], name: str, seed: int) -> dict[str, Any] | None:
    """Average what a row costs, over the rows for which both chains report it in every run; None if there are none."""
    pairs = list(_cost_pairs(records, name))
    if not pairs:
        return None
    return {
        "rows": len(pairs),
        "original": plain.fmean(before for before, _ in pairs),
        "optimized": plain.fmean(after for _, after in pairs),
        "difference": mean_interval([after - before for before, after in pairs], seed=seed),
    }


def _cost_pairs(records: Sequence[Record], name: str) -> Iterator[tuple[float, float]]:
    """What a row cost each side, for each row whose runs all report it."""
    for record in records:
        before, after = ([run[side][name] for run in record["runs"]] for side in SIDES)
        if None not in before and None not in after:
            yield plain.fmean(before), plain.fmean(after)
