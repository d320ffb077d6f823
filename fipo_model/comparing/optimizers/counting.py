"""The records of a comparison summed up: scores with intervals, costs as medians over seeds, and the targets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from fipo_model.comparing.intervals import mean_interval
from fipo_model.comparing.optimizers.contenders import CONTENDERS, FIPO_ROWS, RIVALS, STUDENT
from fipo_model.comparing.optimizers.models import ROLES

MOST_CALLS, MOST_TIME = 0.1, 0.2
"""Targets: FIPO's share of the calls, and of the time, of the cheapest rival."""
FEWEST_SEEDS = 3

Record = Mapping[str, Any]
Records = Mapping[str, Record]


def key(task: str, contender: str, seed: int) -> str:
    """The name of a record."""
    return f"{seed}/{contender}/{task}"


def summarize(records: Records, tasks: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Count what was measured, task by task and contender by contender, and which targets are met."""
    own = {task: [one for one in records.values() if one["task"] == task] for task in tasks}
    table = {task: _summarize_task(found, seed) for task, found in own.items()}
    return {
        "tasks": table,
        "targets": {name: _check_targets(name, own, table=table, seed=seed) for name in FIPO_ROWS},
        "protection": {name: _check_protection(name, records.values()) for name in FIPO_ROWS},
        "failed": sorted(name for name, one in records.items() if one["error"] is not None),
    }


def _summarize_task(records: Sequence[Record], seed: int) -> dict[str, Any]:
    found = {}
    for name in CONTENDERS:
        own = [one for one in records if one["contender"] == name]
        if own:
            found[name] = _summarize_contender(own, records, seed)
    return found


def _summarize_contender(own: Sequence[Record], everyone: Sequence[Record], seed: int) -> dict[str, Any]:
    """Summarize scores and costs over the seeds that did not fail."""
    done = [one for one in own if one["error"] is None]
    errors = [one["error"] for one in own if one["error"] is not None]
    found: dict[str, Any] = {"seeds": len(done), "failed": len(errors), "first_error": errors[0] if errors else None}
    if not done:
        return found
    models = [one["costs"]["models"] for one in done]
    return found | {
        "score": mean_interval(_average_over_seeds(done), seed=seed),
        "scores": [one["score"] for one in done],
        "gain": _compare_with_student(done, everyone, seed),
        "calls": median(sum_cost(one, "calls") for one in done),
        "calls_by_role": {role: median(model[role]["calls"] for model in models) for role in ROLES},
        "batches_rewriter": median(model["rewriter"]["batches"] for model in models),
        "tokens": median(sum_cost(one, "input_tokens") + sum_cost(one, "output_tokens") for one in done),
        "seconds": median(one["costs"]["seconds"] for one in done),
        "processor_seconds": median(one["costs"]["processor_seconds"] for one in done),
        "words": median(one["program"]["words"] for one in done),
        "demos": median(one["program"]["demos"] for one in done),
        "unchanged": sum(_is_student(one, everyone) for one in done),
    }


def sum_cost(record: Record, what: str) -> int:
    """Add up a count over all the models of a compile."""
    return sum(record["costs"]["models"][role][what] for role in ROLES)


def _average_over_seeds(records: Sequence[Record]) -> list[float]:
    """Average each test row's score over the seeds, which share the rows; so rows are resampled."""
    return [fmean(scores) for scores in zip(*(one["test"] for one in records), strict=True)]


def compare_paired(ours: Sequence[Record], theirs: Sequence[Record], seed: int) -> dict[str, Any] | None:
    """Compare two contenders' scores on the same rows, over the seeds that both have; None if there is none."""
    seeds = {one["seed"] for one in ours} & {one["seed"] for one in theirs}
    if not seeds:
        return None
    own = _average_over_seeds([one for one in ours if one["seed"] in seeds])
    others = _average_over_seeds([one for one in theirs if one["seed"] in seeds])
    return mean_interval([mine - other for mine, other in zip(own, others, strict=True)], seed=seed)


def _compare_with_student(done: Sequence[Record], everyone: Sequence[Record], seed: int) -> dict[str, Any] | None:
    students = _done_by(everyone, STUDENT)
    return compare_paired(done, students, seed) if students and done[0]["contender"] != STUDENT else None


def _done_by(records: Iterable[Record], name: str) -> list[Record]:
    return [one for one in records if one["contender"] == name and one["error"] is None]


def _is_student(record: Record, everyone: Sequence[Record]) -> bool:
    return any(one["program"]["digest"] == record["program"]["digest"] for one in _done_by(everyone, STUDENT))


def _check_targets(
    name: str, own: Mapping[str, Sequence[Record]], *, table: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Compare FIPO with the cheapest and the best of its rivals on each task where any of them is done."""
    by_task = {}
    for task, rows in table.items():
        held = _hold_against_rivals(name, rows, records=own[task], seed=seed)
        if held is not None:
            by_task[task] = held
    found = by_task.values()
    return {
        "by_task": by_task,
        "calls_met": bool(found) and all(one["calls"] <= MOST_CALLS for one in found),
        "time_met": bool(found) and all(one["seconds"] <= MOST_TIME for one in found),
        "tasks_not_below": sum(one["not_below"] for one in found),
        "tasks_above": sum(one["above"] for one in found),
        "complete": all(_seeds_of(rows, one) >= FEWEST_SEEDS for rows in table.values() for one in (name, *RIVALS)),
    }


def _hold_against_rivals(
    name: str, rows: Mapping[str, Record], *, records: Sequence[Record], seed: int
) -> dict[str, Any] | None:
    rivals = {rival: rows[rival] for rival in RIVALS if _seeds_of(rows, rival)}
    if not rivals or not _seeds_of(rows, name):
        return None
    row = rows[name]
    best = max(rivals, key=lambda rival: rivals[rival]["score"]["value"])
    difference = compare_paired(_done_by(records, name), _done_by(records, best), seed)
    return {
        "rivals": sorted(rivals),
        "seeds": min(row["seeds"], rivals[best]["seeds"]),
        **{cost: _divide_by_cheapest(row, rivals, cost) for cost in ("calls", "seconds", "processor_seconds")},
        "best_rival": best,
        "difference": difference,
        "not_below": difference is not None and difference["high"] >= 0,
        "above": difference is not None and difference["value"] > 0,
    }


def _seeds_of(rows: Mapping[str, Record], name: str) -> int:
    """Count the seeds with which a contender is done."""
    return int(rows[name]["seeds"]) if name in rows else 0


def _divide_by_cheapest(row: Record, rivals: Mapping[str, Record], cost: str) -> float:
    """Take a cost as a share of the cheapest rival's."""
    return float(row[cost] / min(rival[cost] for rival in rivals.values()))


def _check_protection(name: str, records: Iterable[Record]) -> dict[str, Any]:
    """Count compiles that returned less than the student on the valset, and average the change on the test set."""
    records = list(records)
    students = {(one["task"], one["seed"]): one for one in _done_by(records, STUDENT)}
    done = [one for one in _done_by(records, name) if (one["task"], one["seed"]) in students]
    measured = [one["protected"] for one in done if one["protected"] is not None]
    usable = list(_count_usable_rewrites(done))
    gains = [one["score"] - students[one["task"], one["seed"]]["score"] for one in done]
    return {
        "compiles": len(done),
        "measured_on_valset": len(measured),
        "below_on_valset": sum(one["compiled"] < one["student"] for one in measured),
        "usable_rewrites": fmean(usable) if usable else None,
        "mean_gain_on_test": fmean(gains) if gains else None,
        "below_on_test": sum(gain < 0 for gain in gains),
    }


def _count_usable_rewrites(records: Sequence[Record]) -> Iterator[int]:
    """Count the different rewrites that passed the checks, for each predictor of each compile."""
    for one in records:
        for proposals in one.get("proposals", {}).values():
            yield len({proposal["text"] for proposal in proposals if proposal["outcome"] == "optimized"})
