"""The summary in words: what was found, and the rows of the table in the terminal and on the page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fipo_model.comparing.intervals import read_interval
from fipo_model.comparing.optimizers.contenders import CONTENDERS
from fipo_model.comparing.optimizers.counting import MOST_CALLS, MOST_TIME
from fipo_model.comparing.words import Summary, say_percent_alone
from fipo_model.pages.numbers import is_measured, points, say_interval

HEADER = (
    "optimizer",
    "score, %",
    "gain, points",
    "seeds",
    "calls: task + proposer + rewriter",
    "tokens",
    "seconds (processor)",
    "words in the prompts",
)
AGAINST = (
    "FIPO's",
    "task",
    "rivals",
    "best",
    "points above it",
    "seeds",
    "times the calls",
    "times the time",
    "times the processor time",
)


def sentences(summary: Summary) -> Iterator[str]:
    """Say what was found about FIPO, first how it compares with its rivals, and what a reader must know."""
    found = [_say_standing(name, targets) for name, targets in summary["targets"].items() if targets["by_task"]]
    yield from found or ["Not enough has run yet to compare FIPO with another optimizer."]
    if not all(one["complete"] for one in summary["targets"].values()):
        yield "This is unfinished: not every optimizer has three seeds on every task."
    for name, one in summary["protection"].items():
        if one["compiles"]:
            yield _say_protection(name, one)
    if summary["failed"]:
        yield f"{len(summary['failed'])} compiles failed, as the tables show: {', '.join(summary['failed'])}."
    yield _say_without_metric(summary["without_metric"])
    yield (
        "Gains are over the student on the same test rows, averaged over the seeds first. The 95 % intervals are over "
        "rows and do not cover other seeds. Calls, tokens and seconds are those of the compile alone, as medians over "
        "the seeds. Time is wall-clock time, not counting stops of the whole process, so other work on the machine "
        "lengthens it. Processor time is that of this process alone, without a server's."
    )


def tables(summary: Summary) -> Iterator[tuple[str, Sequence[str], Iterator[tuple[str, ...]]]]:
    """Give the titles, headers and rows of the tables: FIPO against its rivals, then each task."""
    yield "FIPO against its rivals", AGAINST, against_rivals(summary)
    for task, rows in summary["tasks"].items():
        yield task, HEADER, table_rows(rows)


def table_rows(rows: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Write a row under the `HEADER` for each optimizer of a task."""
    for name, row in rows.items():
        if not row["seeds"]:
            yield (name, f"failed: {row['first_error']}", "", f"0 of {row['failed']}", "", "", "", "")
            continue
        by_role = " + ".join(f"{calls:,.0f}" for calls in row["calls_by_role"].values())
        failed = f", {row['failed']} failed" if row["failed"] else ""
        same = f", {row['unchanged']} unchanged" if row["unchanged"] and name != "student" else ""
        gain = read_interval(row["gain"])
        demos = f" ({row['demos']:.0f} demos)" if row["demos"] else ""
        yield (
            name,
            say_interval(read_interval(row["score"]), say_percent_alone),
            say_interval(gain, points) if is_measured(gain) else "",
            f"{row['seeds']}{failed}{same}",
            f"{row['calls']:,.0f}: {by_role}" if row["calls"] else "0",
            f"{row['tokens']:,.0f}",
            f"{row['seconds']:,.0f} ({row['processor_seconds']:,.0f})",
            f"{row['words']:.0f}{demos}",
        )


def against_rivals(summary: Summary) -> Iterator[tuple[str, ...]]:
    """Write a row under `AGAINST` for each FIPO contender and task: its score and costs against its rivals'."""
    for name, targets in summary["targets"].items():
        for task, one in targets["by_task"].items():
            costs = (f"{one[cost]:.2g}" for cost in ("calls", "seconds", "processor_seconds"))
            score = say_interval(read_interval(one["difference"]), points)
            yield (name, task, ", ".join(one["rivals"]), one["best_rival"], score, str(one["seeds"]), *costs)


def _say_standing(name: str, targets: Mapping[str, Any]) -> str:
    tasks = targets["by_task"].values()
    calls, time, processor = (
        _say_range([one[cost] for one in tasks]) for cost in ("calls", "seconds", "processor_seconds")
    )
    below, above = targets["tasks_not_below"], targets["tasks_above"]
    calls_met, time_met = (_say_met(targets[target]) for target in ("calls_met", "time_met"))
    return (
        f"{CONTENDERS[name][0]} is not shown to be below the best rival on {below} of {len(tasks)} tasks, and scores "
        f"above it on {above}. It takes {calls} times the calls of the cheapest rival (target {MOST_CALLS:g}: "
        f"{calls_met}) and {time} times its time (target {MOST_TIME:g}: {time_met}; {processor} times its processor "
        "time)."
    )


def _say_met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _say_range(ratios: Sequence[float]) -> str:
    low, high = f"{min(ratios):.2g}", f"{max(ratios):.2g}"
    return low if low == high else f"{low} to {high}"


def _say_protection(name: str, one: Mapping[str, Any]) -> str:
    gain = points(one["mean_gain_on_test"])
    valset = (
        f"{one['below_on_valset']} of {one['measured_on_valset']} below the student on the valset"
        if one["measured_on_valset"]
        else "not measured on the valset"
    )
    return (
        f"{name}: {one['compiles']} compiles, {valset}; on the test rows, {gain} points on average and "
        f"{one['below_on_test']} below the student.{_say_choice(one['usable_rewrites'])}"
    )


def _say_choice(rewrites: float | None) -> str:
    return "" if rewrites is None else f" A predictor had {rewrites:.1f} different usable rewrites on average."


def _say_without_metric(speed: Mapping[str, Any]) -> str:
    if speed["error"] is not None:
        return f"Without a metric, a program of five predictors could not be compiled: {speed['error']}"
    models, seconds = speed["costs"]["models"], speed["costs"]["seconds"]
    return (
        f"Without a metric, a program of five predictors took {seconds:.1f} s, {models['task']['calls']} calls of the "
        f"task model and {models['rewriter']['batches']} batch of {models['rewriter']['calls']} rewrites."
    )
