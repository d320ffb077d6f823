"""The result of a comparison as one page that needs nothing else, in the manner of `fipo eval`'s."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from fipo_model.comparing.chains import counting, words
from fipo_model.comparing.chains.running import SIDES
from fipo_model.comparing.intervals import read_interval
from fipo_model.evaluation.page.sections import tabulate_making
from fipo_model.evaluation.results import Made, SystemDescription
from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.document import Script, Section, document
from fipo_model.pages.figures import IntervalChart, Look, ShareChart, ShareRow, Table, span_of
from fipo_model.pages.numbers import Interval, is_measured, level, percent
from fipo_model.search.metrics import text_of

_SECTIONS = (
    Section("scores", "How both chains scored"),
    Section("prompts", "What happened to the prompts"),
    Section("costs", "Time and tokens"),
    Section("rows", "Row by row"),
    Section("made", "How it was made"),
)
_SHARES: Mapping[str, Look] = {"better": "good", "equal": "open", "worse": "bad"}
_LONGEST_ERROR = 300

Results = Mapping[str, Any]


def render_page(results: Results) -> str:
    """The page for the results of a comparison. Whatever they contain is shown, never interpreted."""
    summary, rows = results["summary"], results["rows"]
    was_run = "scale" in summary
    difference = read_interval(summary["difference"]) if was_run else None
    charts = [] if difference is None or not is_measured(difference) else _chart_scores(summary, difference)
    return document(
        f"{__package__}/page.html.j2",
        title=results["title"],
        sentences=words.sentences(summary),
        sections=_SECTIONS,
        content={
            "was_run": was_run,
            "scores": charts,
            "shares": _chart_shares(summary) if charts else None,
            "errors": _tabulate_errors(rows) if was_run else None,
            "changes": results["report"]["changes"],
            "turned_down": _turned_down,
            "say_outcome": _say_outcome,
            "unreached": _tabulate_unreached(
                [*results["report"]["unreached"], *results["report"].get("left_alone", ())]
            ),
            "costs": _tabulate_costs(summary) if was_run else None,
            "alone": summary["seconds_alone"] if was_run else None,
            "batch_size": results["made"]["settings"]["batch_size"],
            "rows": len(rows),
            "made": [*_tabulate_making(results), *_tabulate_bad_rows(results["bad_rows"])],
        },
        script=Script(code=_read_script(), data={"rows": [_row(record, summary) for record in rows]}),
    )


def _read_script() -> str:
    return files(__package__).joinpath("page.js").read_text(encoding="utf-8")


def _chart_scores(summary: Mapping[str, Any], difference: Interval) -> list[IntervalChart]:
    """Both chains' scores, and their difference."""
    levels = level(difference)
    scores = {side: read_interval(summary["score"][side]) for side in SIDES}
    span = span_of(list(scores.values()), reference=0.0, least=0.01)
    unit = ", in percentage points" if summary["scale"] == "binary" else ""
    dots = "a filled dot: the interval excludes 0; a hollow dot: it includes 0"
    return [
        IntervalChart(
            caption=f"Mean score ({summary['metric']}) of each chain, with {levels} intervals.",
            rows=list(scores.items()),
            span=span if summary["scale"] == "free" else (0.0, 1.0),
            reference=0.0,
            say=words.say_score(summary),
        ),
        IntervalChart(
            caption=f"Difference between the scores, paired by row{unit}, with its {levels} interval; {dots}.",
            rows=[("optimized minus original", difference)],
            span=span_of([difference], reference=0.0, least=0.02),
            reference=0.0,
            say=words.say_gain(summary),
        ),
    ]


def _chart_shares(summary: Mapping[str, Any]) -> ShareChart:
    counts = summary["outcomes"]
    total = sum(counts.values()) or 1
    shares = {kind: count / total for kind, count in counts.items()}
    said = ", ".join(f"{kind} {count} ({percent(shares[kind])})" for kind, count in counts.items())
    row = ShareRow(f"rows ({total:,})", shares, said)
    return ShareChart(caption="Rows that scored better, equal and worse.", rows=[row], kinds=_SHARES)


def _tabulate_errors(records: Sequence[Mapping[str, Any]]) -> Table | None:
    """Why runs failed: the kinds of errors, the most frequent first, each with the first that was seen."""
    examples: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for run in (run for record in records for run in record["runs"]):
        for side in SIDES:
            error = run[side]["error"]
            if error is not None:
                kind, _, text = error.partition(": ")
                counts[side, kind] += 1
                examples.setdefault((side, kind), text.partition("\n")[0][:_LONGEST_ERROR])
    rows = [(side, kind, count, examples[side, kind]) for (side, kind), count in counts.most_common()]
    header = ("chain", "error", "runs", "first message")
    return Table(caption="Why runs failed", header=header, rows=rows) if rows else None


def _tabulate_costs(summary: Mapping[str, Any]) -> Table:
    _, *rows = words.table_rows(summary)
    header = ("what", *SIDES, "mean difference (95 % interval)")
    return Table(caption="Time, tokens and length", header=header, rows=rows)


def _turned_down(change: Mapping[str, Any]) -> str:
    """The last proposal that is not used; empty if there is none."""
    proposed: str = change["candidates"][-1]["text"] if change["candidates"] else ""
    is_shown = change["outcome"] == "optimized" or proposed.strip() in ("", change["naive"].strip())
    return "" if is_shown else proposed


def _say_outcome(outcome: str) -> str:
    if outcome == "variables_changed":
        return "turned down: a variable was lost or changed"
    return outcome_in_words(outcome)


def _tabulate_unreached(unreached: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [(part["where"] or "the whole chain", part["reason"]) for part in unreached]
    return Table(caption="Left out", header=("where", "why"), rows=rows) if rows else None


def _tabulate_making(results: Results) -> list[Table]:
    chain, twin = (
        f"the chain {results['summary']['chain']}",
        "its twin, with the prompts rewritten by the model named here",
    )
    systems = {
        "original": SystemDescription(kind="chain", what=chain, model="none", template="none"),
        "optimized": SystemDescription(kind="chain", what=twin, **results["optimizer"]),
    }
    return tabulate_making(Made.from_fields(results["made"]), systems)


def _tabulate_bad_rows(reasons: Sequence[str]) -> list[Table]:
    caption = f"Rows that could not be used ({len(reasons)})"
    return [Table(caption=caption, header=("why",), rows=[(reason,) for reason in reasons])] if reasons else []


def _row(record: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    change, gain = counting.change_of(record, summary["scale"])
    say = words.say_gain(summary)
    return {
        "id": record["id"],
        "line": record["line"],
        "change": change,
        "gain": gain,
        "score": sum(run["optimized"]["score"] or 0 for run in record["runs"]),
        "said": None if gain is None else say(gain) + (" points" if summary["scale"] == "binary" and gain else ""),
        "input": _readable(record["input"]),
        "reference": None if record["reference"] is None else _readable(record["reference"]),
        "outputs": {side: [_output(run[side]) for run in record["runs"]] for side in SIDES},
    }


def _output(run: Mapping[str, Any]) -> dict[str, Any]:
    is_failed = run["error"] is not None
    score = "failed" if is_failed else f"score {run['score']:.4g}"
    return {"text": run["error"] if is_failed else text_of(run["output"]), "said": score, "failed": is_failed}


def _readable(value: Any) -> str:
    """An input as a person would write it: `name: value` lines for an object of plain values."""
    if not isinstance(value, dict) or any(isinstance(inner, dict | list) for inner in value.values()):
        return text_of(value)
    return "\n".join(f"{name}: {text_of(inner)}" for name, inner in value.items())
