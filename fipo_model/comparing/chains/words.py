"""The summary in words: a sentence with the findings, and the rows of the tables in the terminal and on the page."""

from collections.abc import Iterator, Mapping
from typing import Any

from fipo_model.comparing.chains.counting import FEWEST_DIFFERING
from fipo_model.comparing.chains.running import SIDES
from fipo_model.comparing.intervals import read_interval
from fipo_model.comparing.words import Summary, say_percent_alone
from fipo_model.pages.numbers import (
    NOT_MEASURED,
    Say,
    counted,
    is_measured,
    level,
    percent,
    points,
    say_interval,
    signed,
)

HEADER = ("a row", *SIDES, "difference")
NOT_REPORTED = "not reported"


def say_score(summary: Summary) -> Say:
    """Choose how scores are written: in per cent where each row is right or wrong."""
    return percent if summary["scale"] == "binary" else _say_decimal


def _say_decimal(score: float) -> str:
    return f"{score:.3f}"


def say_gain(summary: Summary) -> Say:
    """Choose how differences of scores are written."""
    return points if summary["scale"] == "binary" else signed


def sentences(summary: Summary) -> Iterator[str]:
    """Say what was found, and then what a reader must know to understand it."""
    if summary["verdict"] == "nothing rewritten":
        yield (
            "Nothing was rewritten, so the chain and its twin are the same. Neither was run, and no score was measured."
        )
        return
    yield _say_headline(summary)
    yield _say_outcomes(summary)
    if any(summary["failed"].values()):
        yield _say_failures(summary)
    if summary["left_out"]:
        left = counted(summary["left_out"], "row")
        yield f"The scores leave out {left} with a failed run, because their scale has no value for a failure."
    yield _say_prompts(summary["prompts"])


def table_rows(summary: Summary) -> Iterator[tuple[str, ...]]:
    """Write each figure as a row under the `HEADER`: its name, both chains', and the mean difference."""
    is_binary = summary["scale"] == "binary"
    score = say_percent_alone if is_binary else say_score(summary)
    yield (
        f"{summary['metric']}{', %' if is_binary else ''}",
        *(say_interval(read_interval(summary["score"][side]), score) for side in SIDES),
        say_interval(read_interval(summary["difference"]), say_gain(summary)),
    )
    yield ("failed runs", *(str(summary["failed"][side]) for side in SIDES), "")
    alone = summary["seconds_alone"]
    if alone:
        change = say_interval(read_interval(alone["difference"]), _say_signed(2))
        yield ("seconds alone, p50", *(f"{alone[side]['p50']:.3g}" for side in SIDES), change)
        yield ("seconds alone, p95", *(f"{alone[side]['p95']:.3g}" for side in SIDES), "")
    else:
        yield ("seconds alone", NOT_MEASURED, NOT_MEASURED, "")
    yield ("seconds in batches", *(f"{summary['seconds_in_batches'][side]:.3g}" for side in SIDES), "")
    for name in ("input_tokens", "output_tokens", "calls"):
        yield _cost_row(name, summary)
    words = summary["prompts"]["words"]
    yield (
        "words in the prompts",
        *(str(words[side]) for side in SIDES),
        f"{summary['prompts']['length_ratio']:.2f} times",
    )


def _cost_row(name: str, summary: Summary) -> tuple[str, ...]:
    what = "model calls" if name == "calls" else name.replace("_", " ")
    cost = summary[name]
    if cost is None:
        return what, NOT_REPORTED, NOT_REPORTED, ""
    missing = summary["rows"] - cost["rows"]
    note = f" ({NOT_REPORTED} for {counted(missing, 'row')})" if missing else ""
    before, after = (f"{cost[side]:.4g}" for side in SIDES)
    return f"{what}{note}", before, after, say_interval(read_interval(cost["difference"]), _say_signed(1))


def _say_signed(digits: int) -> Say:
    def say(number: float) -> str:
        return f"{number:+.{digits}f}".replace("-", "\u2212") if number else "0"

    return say


def _say_prompts(prompts: Mapping[str, Any]) -> str:
    before, after = (prompts["words"][side] for side in SIDES)
    were = "was" if prompts["rewritten"] == 1 else "were"
    return (
        f"{prompts['rewritten']} of {prompts['texts']} prompt texts {were} rewritten, from {before} words to {after}."
    )


def _say_headline(summary: Summary) -> str:
    difference = read_interval(summary["difference"])
    where = f"over {counted(summary['rows'] - summary['left_out'], 'row')}"
    if difference is None or not is_measured(difference):
        return f"The scores ({summary['metric']}) could not be compared {where}."
    say = say_gain(summary)
    unit = " percentage points" if summary["scale"] == "binary" else ""
    bounds = f"{level(difference)} interval {say(difference.low)} to {say(difference.high)}"
    change = f"the score ({summary['metric']}) changed by {say(difference.value)}{unit} ({bounds})"
    if summary["verdict"] == "better":
        return f"The optimized chain is better: {where} {change}."
    if summary["verdict"] == "worse":
        return f"The optimized chain is worse: {where} {change}."
    return f"No difference was shown: {where} {change}.{_say_few(summary['outcomes'])}"


def _say_few(outcomes: Mapping[str, int]) -> str:
    """Say where too few rows scored differently to show any difference."""
    differing = outcomes["better"] + outcomes["worse"]
    if differing == 0:
        return " Every row scored the same."
    if differing < FEWEST_DIFFERING:
        agreeing = f"and fewer than {FEWEST_DIFFERING} prove nothing even if they agree"
        return f" Only {counted(differing, 'row')} scored differently, {agreeing}: compare on more rows."
    return ""


def _say_outcomes(summary: Summary) -> str:
    counts = summary["outcomes"]
    return f"Row by row: {counts['better']} better, {counts['equal']} equal, {counts['worse']} worse."


def _say_failures(summary: Summary) -> str:
    both = " and ".join(f"{summary['failed'][side]} of the {side} chain" for side in SIDES)
    scored = "are left out" if summary["scale"] == "free" else "score 0"
    return f"Of {summary['runs']} runs each, {both} failed. They {scored}; the rows below say why."
