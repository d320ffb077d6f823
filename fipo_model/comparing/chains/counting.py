"""What was measured, counted: paired figures with intervals, made from the rows as results.json has them."""

import statistics as plain
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from fipo_integrations.langchain import Report
from fipo_model.comparing.chains.running import SIDES
from fipo_model.evaluation import statistics
from fipo_model.types import count_words

Record = Mapping[str, Any]
Verdict = Literal["better", "worse", "no difference shown", "nothing rewritten"]
Scale = Literal["binary", "unit", "free"]

FEWEST_DIFFERING = 6
"""Fewer rows that differ show nothing: five that are all better happen by chance in 6 % of cases (sign test)."""
_COSTS = ("input_tokens", "output_tokens", "calls")


def prompts(report: Report) -> dict[str, Any]:
    """What became of the chain's prompts, and how much longer those that were rewritten are."""
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
        "words": words,
        "length_ratio": words["optimized"] / words["original"] if rewritten else None,
    }


def comparison(records: Sequence[Record], *, seed: int) -> dict[str, Any]:
    """Scores and costs of both sides and their differences, paired by row; repeated runs of a row are averaged first.

    A failed run scores 0 where all scores are between 0 and 1; on another scale nothing stands for a failure, and its
    row is left out of the scores.
    """
    scale = scale_of(records)
    scores = {side: [_score(record, side, scale) for record in records] for side in SIDES}
    pairs = [(before, after) for before, after in zip(*scores.values(), strict=True) if None not in (before, after)]
    sides = zip(SIDES, zip(*pairs, strict=True) if pairs else ((), ()), strict=True)
    gains = [after - before for before, after in pairs]
    counts = {
        "better": sum(gain > 0 for gain in gains),
        "equal": sum(gain == 0 for gain in gains),
        "worse": sum(gain < 0 for gain in gains),
    }
    difference = _difference(gains, scale, seed)
    return {
        "scale": scale,
        "rows": len(records),
        "left_out": len(records) - len(pairs),
        "score": {side: _score_interval(values, scale, seed) for side, values in sides},
        "difference": difference,
        "outcomes": counts,
        "verdict": verdict(difference, counts),
        "runs": sum(len(record["runs"]) for record in records),
        "failed": {side: sum(run[side]["error"] is not None for run in _runs(records)) for side in SIDES},
        "seconds_alone": _alone(records, seed),
        "seconds_in_batches": _in_batches(records),
        **{name: _cost(records, name, seed) for name in _COSTS},
    }


def scale_of(records: Sequence[Record]) -> Scale:
    """Whether every row is right or wrong, every score a share of one, or anything."""
    known = [run[side]["score"] for run in _runs(records) for side in SIDES if run[side]["error"] is None]
    if not all(0 <= score <= 1 for score in known):
        return "free"
    is_once = all(len(record["runs"]) == 1 for record in records)
    return "binary" if is_once and all(score in (0, 1) for score in known) else "unit"


def verdict(difference: Mapping[str, Any] | None, counts: Mapping[str, int]) -> Verdict:
    """What may be said of a difference."""
    if difference is None or counts["better"] + counts["worse"] < FEWEST_DIFFERING:
        return "no difference shown"
    if difference["low"] > 0:
        return "better"
    return "worse" if difference["high"] < 0 else "no difference shown"


def change_of(record: Record, scale: Scale) -> tuple[str, float | None]:
    """What became of one row: "better", "worse", "equal" or "failed" in either chain, and by how much it changed.

    By nothing that could be said where it failed on a scale on which nothing stands for a failure.
    """
    before, after = (_score(record, side, scale) for side in SIDES)
    gain = None if before is None or after is None else after - before
    if gain is None or any(run[side]["error"] is not None for run in record["runs"] for side in SIDES):
        return "failed", gain
    return ("better" if gain > 0 else "worse" if gain < 0 else "equal"), gain


def _runs(records: Sequence[Record]) -> list[Mapping[str, Any]]:
    return [run for record in records for run in record["runs"]]


def _score(record: Record, side: str, scale: Scale) -> float | None:
    worst = None if scale == "free" else 0.0
    found = [worst if run[side]["error"] is not None else run[side]["score"] for run in record["runs"]]
    return None if None in found else plain.fmean(found)


def _score_interval(values: Sequence[float], scale: Scale, seed: int) -> dict[str, Any] | None:
    if scale == "binary" and values:
        return asdict(statistics.share(round(sum(values)), len(values)))
    return _mean(values, seed)


def _difference(gains: Sequence[float], scale: Scale, seed: int) -> dict[str, Any] | None:
    if scale == "binary" and gains:
        gained, lost = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        return asdict(statistics.share_difference(gained, lost, len(gains)))
    return _mean(gains, seed)


def _mean(values: Sequence[float], seed: int) -> dict[str, Any] | None:
    return asdict(statistics.mean(values, seed=seed)) if len(values) > 1 else None


def _alone(records: Sequence[Record], seed: int) -> dict[str, Any] | None:
    """Seconds of a row by itself, over the rows that were timed in both chains."""
    timed = [record["seconds_alone"] for record in records if record["seconds_alone"] is not None]
    timed = [seconds for seconds in timed if None not in seconds.values()]
    if len(timed) < 2:
        return None
    found: dict[str, Any] = {"rows": len(timed)}
    for side in SIDES:
        taken = [seconds[side] for seconds in timed]
        p95 = plain.quantiles(taken, n=20, method="inclusive")[-1]  # never longer than the longest that was seen
        found[side] = {"p50": plain.median(taken), "p95": p95}
    gains = [seconds["optimized"] - seconds["original"] for seconds in timed]
    return {**found, "difference": _mean(gains, seed)}


def _in_batches(records: Sequence[Record]) -> dict[str, float]:
    """Seconds a row when several are asked at once; medians, which a slow first batch does not move."""
    return {side: plain.median(run[side]["seconds"] for run in _runs(records)) for side in SIDES}


def _cost(records: Sequence[Record], name: str, seed: int) -> dict[str, Any] | None:
    """A cost of a row over the rows for which both chains report it in every run; None if there are none."""
    pairs = [
        [plain.fmean(run[side][name] for run in record["runs"]) for side in SIDES]
        for record in records
        if all(run[side][name] is not None for run in record["runs"] for side in SIDES)
    ]
    if not pairs:
        return None
    before, after = zip(*pairs, strict=True)
    return {
        "rows": len(pairs),
        "original": plain.fmean(before),
        "optimized": plain.fmean(after),
        "difference": _mean([new - old for old, new in pairs], seed),
    }
