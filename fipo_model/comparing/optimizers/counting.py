"""The records of a comparison, counted: scores with intervals, costs as medians over seeds, and the targets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

from fipo_model.comparing.optimizers.contenders import CONTENDERS, FIPO_ROWS, RIVALS, STUDENT
from fipo_model.comparing.optimizers.models import ROLES
from fipo_model.evaluation import statistics

MOST_CALLS, MOST_TIME = 0.1, 0.2
"""Targets: FIPO's share of the calls, and of the time, of the cheapest rival."""
FEWEST_SEEDS = 3

Records = Mapping[str, Mapping[str, Any]]


def key(task: str, contender: str, seed: int) -> str:
    """The name of a record."""
    return f"{seed}/{contender}/{task}"


def summarize(records: Records, tasks: Sequence[str], *, seed: int) -> dict[str, Any]:
    """What was measured, task by task and contender by contender, and which targets are met."""
    own = {task: [one for one in records.values() if one["task"] == task] for task in tasks}
    table = {task: _task(found, seed) for task, found in own.items()}
    return {
        "tasks": table,
        "targets": {name: _targets(name, own, table, seed) for name in FIPO_ROWS},
        "protection": {name: _protection(name, records.values()) for name in FIPO_ROWS},
        "failed": sorted(name for name, one in records.items() if one["error"] is not None),
    }


def _task(records: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    return {
        name: _contender(own, records, seed)
        for name in CONTENDERS
        if (own := [one for one in records if one["contender"] == name])
    }


def _contender(own: Sequence[Mapping[str, Any]], everyone: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Scores over the seeds that did not fail; costs of those alone, too."""
    done = [one for one in own if one["error"] is None]
    errors = [one["error"] for one in own if one["error"] is not None]
    found: dict[str, Any] = {"seeds": len(done), "failed": len(errors), "first_error": errors[0] if errors else None}
    if not done:
        return found
    models = [one["costs"]["models"] for one in done]
    return found | {
        "score": _interval(_by_row(done), seed),
        "scores": [one["score"] for one in done],
        "gain": _gain(done, everyone, seed),
        "calls": median(total(one, "calls") for one in done),
        "calls_by_role": {role: median(model[role]["calls"] for model in models) for role in ROLES},
        "batches_rewriter": median(model["rewriter"]["batches"] for model in models),
        "tokens": median(total(one, "input_tokens") + total(one, "output_tokens") for one in done),
        "seconds": median(one["costs"]["seconds"] for one in done),
        "processor_seconds": median(one["costs"]["processor_seconds"] for one in done),
        "words": median(one["program"]["words"] for one in done),
        "demos": median(one["program"]["demos"] for one in done),
        "unchanged": sum(_is_student(one, everyone) for one in done),
    }


def total(record: Mapping[str, Any], what: str) -> int:
    """A count over all the models of a compile."""
    return sum(record["costs"]["models"][role][what] for role in ROLES)


def _by_row(records: Sequence[Mapping[str, Any]]) -> list[float]:
    """Each test row's mean score over the seeds: what the seeds share is a row, so rows are what is resampled."""
    return [fmean(scores) for scores in zip(*(one["test"] for one in records), strict=True)]


def _interval(values: Sequence[float], seed: int) -> dict[str, Any] | None:
    return None if len(values) < 2 else asdict(statistics.mean(values, seed=seed))


def paired(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any] | None:
    """How two contenders' scores on the same rows differ, over the seeds that both have; None if there is none."""
    seeds = {one["seed"] for one in ours} & {one["seed"] for one in theirs}
    if not seeds:
        return None
    sides = [_by_row([one for one in side if one["seed"] in seeds]) for side in (ours, theirs)]
    return _interval([mine - other for mine, other in zip(*sides, strict=True)], seed)


def _gain(done: Sequence[Mapping[str, Any]], everyone: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any] | None:
    students = _of(everyone, STUDENT)
    return paired(done, students, seed) if students and done[0]["contender"] != STUDENT else None


def _of(records: Iterable[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [one for one in records if one["contender"] == name and one["error"] is None]


def _is_student(record: Mapping[str, Any], everyone: Sequence[Mapping[str, Any]]) -> bool:
    return any(one["program"]["digest"] == record["program"]["digest"] for one in _of(everyone, STUDENT))


def _targets(
    name: str, own: Mapping[str, Sequence[Mapping[str, Any]]], table: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """FIPO against the cheapest and the best of its rivals on each task where any of them is done."""
    found = {}
    for task, rows in table.items():
        rivals = {rival: rows[rival] for rival in RIVALS if rows.get(rival, {}).get("seeds")}
        if not rivals or not rows.get(name, {}).get("seeds"):
            continue
        best = max(rivals, key=lambda rival: rivals[rival]["score"]["value"])
        difference = paired(_of(own[task], name), _of(own[task], best), seed)
        found[task] = {
            "rivals": sorted(rivals),
            "seeds": min(rows[name]["seeds"], rivals[best]["seeds"]),
            **{cost: _share(rows[name], rivals, cost) for cost in ("calls", "seconds", "processor_seconds")},
            "best_rival": best,
            "difference": difference,
            "not_below": difference is not None and difference["high"] >= 0,
            "above": difference is not None and difference["value"] > 0,
        }
    return {
        "by_task": found,
        "calls_met": bool(found) and all(one["calls"] <= MOST_CALLS for one in found.values()),
        "time_met": bool(found) and all(one["seconds"] <= MOST_TIME for one in found.values()),
        "tasks_not_below": sum(one["not_below"] for one in found.values()),
        "tasks_above": sum(one["above"] for one in found.values()),
        "complete": all(
            table[task].get(row, {}).get("seeds", 0) >= FEWEST_SEEDS for task in table for row in (name, *RIVALS)
        ),
    }


def _usable(records: Sequence[Mapping[str, Any]]) -> list[int]:
    """How many different rewrites that passed the checks there were, for each predictor of each compile."""
    return [
        len({proposal["text"] for proposal in proposals if proposal["outcome"] == "optimized"})
        for one in records
        for proposals in one.get("proposals", {}).values()
    ]


def _share(row: Mapping[str, Any], rivals: Mapping[str, Mapping[str, Any]], cost: str) -> float:
    """A cost as a share of the cheapest rival's."""
    return row[cost] / min(rival[cost] for rival in rivals.values())


def _protection(name: str, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether any compile returned less than the student on the valset, and the mean change on the test set.

    And how many rewrites there were to choose from: different ones for a predictor that passed the checks.
    """
    records = list(records)
    students = {(one["task"], one["seed"]): one for one in _of(records, STUDENT)}
    done = [one for one in _of(records, name) if (one["task"], one["seed"]) in students]
    measured = [one["protected"] for one in done if one["protected"] is not None]
    gains = [one["score"] - students[one["task"], one["seed"]]["score"] for one in done]
    return {
        "compiles": len(done),
        "measured_on_valset": len(measured),
        "below_on_valset": sum(one["compiled"] < one["student"] for one in measured),
        "usable_rewrites": fmean(usable) if (usable := _usable(done)) else None,
        "mean_gain_on_test": fmean(gains) if gains else None,
        "below_on_test": sum(gain < 0 for gain in gains),
    }
