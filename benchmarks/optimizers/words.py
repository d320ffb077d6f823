"""The summary in words: what was found, and the rows of the table in the terminal and on the page."""

from collections.abc import Iterator, Mapping
from typing import Any

from fipo_model.pages.figures import say_interval
from fipo_model.pages.markup import is_measured, percent, points
from optimizers.contenders import CONTENDERS
from optimizers.counting import MOST_CALLS, MOST_TIME

Summary = Mapping[str, Any]

HEADER = (
    "optimizer",
    "score, %",
    "gain, points",
    "seeds",
    "calls: task + proposer + rewriter",
    "tokens",
    "seconds (of the processor)",
    "words of the prompts",
)


def sentences(summary: Summary) -> Iterator[str]:
    """What was found about FIPO, first of all how it stands to its rivals, and what must be known to read it."""
    found = [text for name in summary["targets"] for text in _standing(name, summary["targets"][name])]
    yield from found or ["Not enough has run to hold FIPO against another optimizer yet."]
    if not all(one["complete"] for one in summary["targets"].values()):
        yield "This is unfinished: not every optimizer has three seeds on every task."
    for name, one in summary["protection"].items():
        if one["compiles"]:
            yield _protection(name, one)
    if summary["failed"]:
        yield f"{len(summary['failed'])} compiles failed, and say so in the tables: {', '.join(summary['failed'])}."
    yield _without_metric(summary["without_metric"])
    yield (
        "Gains are over the student on the same test rows, averaged over the seeds first; the intervals (95 %) are "
        "over rows and do not know of other seeds. Calls, tokens and seconds are those of the compile alone, as "
        "medians over the seeds. Time is the wall's without stops of the whole process, so what else the machine did "
        "is in it; the processor's time is this process's alone, and a server's is not in it."
    )


def table_rows(rows: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """One row for each optimizer of a task."""
    for name, row in rows.items():
        if not row["seeds"]:
            yield (name, f"failed: {row['first_error']}", "", f"0 of {row['failed']}", "", "", "", "")
            continue
        by_role = " + ".join(f"{calls:,.0f}" for calls in row["calls_by_role"].values())
        failed = f", {row['failed']} failed" if row["failed"] else ""
        same = f", {row['unchanged']} unchanged" if row["unchanged"] and name != "student" else ""
        demos = f" ({row['demos']:.0f} demos)" if row["demos"] else ""
        yield (
            name,
            say_interval(row["score"], lambda share: percent(share).removesuffix(" %")),
            say_interval(row["gain"], points) if is_measured(row["gain"]) else "",
            f"{row['seeds']}{failed}{same}",
            f"{row['calls']:,.0f}: {by_role}" if row["calls"] else "0",
            f"{row['tokens']:,.0f}",
            f"{row['seconds']:,.0f} ({row['processor_seconds']:,.0f})",
            f"{row['words']:.0f}{demos}",
        )


def _standing(name: str, targets: Mapping[str, Any]) -> Iterator[str]:
    tasks = targets["by_task"]
    if not tasks:
        return
    each = "; ".join(
        f"{task}: {_times(one['calls'])} the calls, {_times(one['seconds'])} the time and "
        f"{_times(one['processor_seconds'])} the processor's time of the cheapest of "
        f"{', '.join(one['rivals'])}, {say_interval(one['difference'], points)} points against {one['best_rival']} "
        f"({one['seeds']} {'seed' if one['seeds'] == 1 else 'seeds'})"
        for task, one in tasks.items()
    )
    calls, time = (_met(targets[key]) for key in ("calls_met", "time_met"))
    yield (
        f"{CONTENDERS[name][0]} ({name}): at most {MOST_CALLS:g} times the calls {calls}, at most {MOST_TIME:g} times "
        f"the time {time}, not below the best rival on {targets['tasks_not_below']} of {len(tasks)} tasks, above it "
        f"on {targets['tasks_above']}. {each}."
    )


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _times(ratio: float) -> str:
    return f"{ratio:.2g} times"


def _protection(name: str, one: Mapping[str, Any]) -> str:
    gain = points(one["mean_gain_on_test"])
    valset = (
        f"{one['below_on_valset']} of {one['measured_on_valset']} below the student on the valset"
        if one["measured_on_valset"]
        else "not measured on the valset"
    )
    return (
        f"{name}: {one['compiles']} compiles, {valset}, on the test rows {gain} points on average and "
        f"{one['below_on_test']} below the student.{_choice(one['usable_rewrites'])}"
    )


def _choice(rewrites: float | None) -> str:
    return "" if rewrites is None else f" A predictor had {rewrites:.1f} different usable rewrites on average."


def _without_metric(speed: Mapping[str, Any]) -> str:
    if speed["error"] is not None:
        return f"A program of five predictors without a metric could not be compiled: {speed['error']}"
    models, seconds = speed["costs"]["models"], speed["costs"]["seconds"]
    return (
        f"A program of five predictors without a metric took {seconds:.1f} s, {models['task']['calls']} calls of the "
        f"task model and {models['rewriter']['batches']} batch of {models['rewriter']['calls']} rewrites."
    )
