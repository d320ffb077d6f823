"""The summary in words: one sentence of what was found, and the rows of the tables in the terminal and on the page."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fipo_model.comparing.chains.counting import FEWEST_DIFFERING
from fipo_model.comparing.chains.running import SIDES
from fipo_model.pages.figures import say_interval
from fipo_model.pages.markup import NOT_MEASURED, is_measured, level, percent, points, signed

HEADER = ("a row", *SIDES, "difference")
NOT_REPORTED = "not reported"
Summary = Mapping[str, Any]
Say = Callable[[float], str]


def say_score(summary: Summary) -> Say:
    """How scores are written: in per cent where each row is right or wrong."""
    return percent if summary["scale"] == "binary" else lambda score: f"{score:.3f}"


def say_gain(summary: Summary) -> Say:
    """How differences of scores are written."""
    return points if summary["scale"] == "binary" else signed


def sentences(summary: Summary) -> Iterator[str]:
    """What was found, first of all, and what must be known to read it."""
    prompts = summary["prompts"]
    if summary["verdict"] == "nothing rewritten":
        yield (
            "Nothing was rewritten, so the chain and its twin are the same. Neither was run, and no score was measured."
        )
        return
    yield _headline(summary)
    yield _outcomes(summary)
    if any(summary["failed"].values()):
        yield _failures(summary)
    if summary["left_out"]:
        left = _rows(summary["left_out"])
        yield f"The scores leave out {left} with a failed run, because nothing on their scale stands for a failure."
    yield (
        f"{prompts['rewritten']} of {prompts['texts']} prompt texts "
        f"{'was' if prompts['rewritten'] == 1 else 'were'} rewritten, from {prompts['words']['original']} words to "
        f"{prompts['words']['optimized']}."
    )


def table_rows(summary: Summary) -> Iterator[tuple[str, str, str, str]]:
    """What was compared: its name, the original's figure, the optimized chain's, and the mean difference."""
    is_binary = summary["scale"] == "binary"
    score: Say = (lambda share: percent(share).removesuffix(" %")) if is_binary else say_score(summary)
    yield (
        f"{summary['metric']}{', %' if is_binary else ''}",
        *(say_interval(summary["score"][side], score) for side in SIDES),
        say_interval(summary["difference"], say_gain(summary)),
    )
    yield ("failed runs", *(str(summary["failed"][side]) for side in SIDES), "")
    if alone := summary["seconds_alone"]:
        change = say_interval(alone["difference"], _signed(2))
        yield ("seconds alone, p50", *(f"{alone[side]['p50']:.3g}" for side in SIDES), change)
        yield ("seconds alone, p95", *(f"{alone[side]['p95']:.3g}" for side in SIDES), "")
    else:
        yield ("seconds alone", NOT_MEASURED, NOT_MEASURED, "")
    yield ("seconds in batches", *(f"{summary['seconds_in_batches'][side]:.3g}" for side in SIDES), "")
    for name in ("input_tokens", "output_tokens", "calls"):
        yield _cost_row(name, summary)
    words = summary["prompts"]["words"]
    yield (
        "words of the prompts",
        *(str(words[side]) for side in SIDES),
        f"{summary['prompts']['length_ratio']:.2f} times",
    )


def _cost_row(name: str, summary: Summary) -> tuple[str, str, str, str]:
    what = "calls of models" if name == "calls" else name.replace("_", " ")
    if (cost := summary[name]) is None:
        return what, NOT_REPORTED, NOT_REPORTED, ""
    missing = summary["rows"] - cost["rows"]
    note = f" ({NOT_REPORTED} for {_rows(missing)})" if missing else ""
    before, after = (f"{cost[side]:.4g}" for side in SIDES)
    return f"{what}{note}", before, after, say_interval(cost["difference"], _signed(1))


def _signed(digits: int) -> Say:
    return lambda number: f"{number:+.{digits}f}".replace("-", "\u2212") if number else "0"


def _headline(summary: Summary) -> str:
    difference, unit = summary["difference"], " percentage points" if summary["scale"] == "binary" else ""
    where = f"over {_rows(summary['rows'] - summary['left_out'])}"
    if not is_measured(difference):
        return f"The scores ({summary['metric']}) could not be compared {where}."
    say = say_gain(summary)
    bounds = f"{level(difference)} interval {say(difference['low'])} to {say(difference['high'])}"
    change = f"the score ({summary['metric']}) changed by {say(difference['value'])}{unit} ({bounds})"
    if summary["verdict"] == "better":
        return f"The optimized chain is better: {where} {change}."
    if summary["verdict"] == "worse":
        return f"The optimized chain is worse: {where} {change}."
    differing = summary["outcomes"]["better"] + summary["outcomes"]["worse"]
    few = ""
    if differing < FEWEST_DIFFERING:
        agreeing = f"and fewer than {FEWEST_DIFFERING} prove nothing even if they agree"
        few = (
            f" Only {_rows(differing)} scored differently, {agreeing}." if differing else " Every row scored the same."
        )
    return f"No difference was shown: {where} {change}.{few}"


def _outcomes(summary: Summary) -> str:
    counts = summary["outcomes"]
    return f"Row by row: {counts['better']} better, {counts['equal']} equal, {counts['worse']} worse."


def _failures(summary: Summary) -> str:
    both = " and ".join(f"{summary['failed'][side]} of the {side} chain" for side in SIDES)
    scored = "are left out" if summary["scale"] == "free" else "score 0"
    return f"Of {summary['runs']} runs each, {both} failed; these {scored}, and the rows below say why."


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count:,} rows"
