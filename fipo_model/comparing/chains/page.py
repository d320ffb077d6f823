"""The result of a comparison as one page that needs nothing else, in the manner of `fipo eval`'s."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fipo_model.comparing.chains import counting, words
from fipo_model.comparing.chains.metrics import text_of
from fipo_model.comparing.chains.running import SIDES
from fipo_model.evaluation.page import sections
from fipo_model.pages.changes import LEGEND, changed_text, outcome_in_words
from fipo_model.pages.document import Section, document, listing
from fipo_model.pages.figures import figure, interval_chart, legend, share_chart, span_of
from fipo_model.pages.markup import is_measured, level, percent, table

_SHARES = {"better": "good", "equal": "open", "worse": "bad"}
_LONGEST_ERROR = 300

Results = Mapping[str, Any]


def render_page(results: Results) -> str:
    """The page for the results of a comparison. Whatever they contain is shown, never interpreted."""
    summary, rows = results["summary"], results["rows"]
    listed = listing(
        "rows",
        len(rows),
        search="Search inputs, references, outputs and errors",
        none="No row was run.",
        filters={"change": "Became"},
    )
    parts = [
        Section("scores", "How both chains scored", _scores(results)),
        Section("prompts", "What became of the prompts", _prompts(results["report"])),
        Section("costs", "Time and tokens", _costs(results)),
        Section("rows", "Row by row", listed),
        Section("made", "How it was made", _made(results)),
    ]
    return document(
        results["title"],
        words.sentences(summary),
        parts,
        style=_part("page.css"),
        script=_part("page.js"),
        data={"rows": [_row(record, summary) for record in rows]},
    )


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _scores(results: Results) -> str:
    summary = results["summary"]
    if "scale" not in summary:
        return "<p>No score was measured.</p>"
    say, gain = words.say_score(summary), words.say_gain(summary)
    difference = summary["difference"]
    if not is_measured(difference):
        return "<p>Too few rows could be scored to compare the chains.</p>" + _errors(results["rows"])
    levels = level(difference)
    span = span_of(list(summary["score"].values()), reference=0.0, least=0.01)
    span = span if summary["scale"] == "free" else (0.0, 1.0)
    drawn = interval_chart([(side, summary["score"][side]) for side in SIDES], span, reference=0.0, say=say)
    unit = ", in percentage points" if summary["scale"] == "binary" else ""
    parts = [
        figure(drawn, f"Mean score ({summary['metric']}) of each chain, with {levels} intervals."),
        figure(
            interval_chart(
                [("optimized less original", difference)],
                span_of([difference], reference=0.0, least=0.02),
                reference=0.0,
                say=gain,
            ),
            f"Difference of the scores, paired by row{unit}, with its {levels} interval; a filled dot: the interval "
            "leaves 0 out; a hollow dot: it includes 0.",
        ),
        figure(legend(_SHARES) + share_chart([_shares(summary)], _SHARES), "Rows that scored better, equal and worse."),
    ]
    return "".join(parts) + _errors(results["rows"])


def _shares(summary: Mapping[str, Any]) -> tuple[str, Mapping[str, float], str]:
    counts = summary["outcomes"]
    total = sum(counts.values()) or 1
    shares = {kind: count / total for kind, count in counts.items()}
    said = ", ".join(f"{kind} {count} ({percent(shares[kind])})" for kind, count in counts.items())
    return f"rows ({total:,})", shares, said


def _errors(records: Sequence[Mapping[str, Any]]) -> str:
    """Why runs failed: the kinds of errors, the most frequent first, each with the first that was seen."""
    examples: dict[tuple[str, str], str] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for side, error in ((side, run[side]["error"]) for record in records for run in record["runs"] for side in SIDES):
        if error is not None:
            kind, _, text = error.partition(": ")
            counts[side, kind] += 1
            examples.setdefault((side, kind), text.partition("\n")[0][:_LONGEST_ERROR])
    if not counts:
        return ""
    shown = [(side, kind, count, examples[side, kind]) for (side, kind), count in counts.most_common()]
    return table("Why runs failed", ("chain", "error", "runs", "the first of them"), shown)


def _costs(results: Results) -> str:
    summary = results["summary"]
    if "scale" not in summary:
        return "<p>Neither chain was run.</p>"
    _, *rows = words.table_rows(summary)
    size = results["made"]["settings"]["batch_size"]
    alone = summary["seconds_alone"]
    timed = (
        f"Alone: {alone['rows']} rows, each asked by itself; their median (p50) and 95th percentile (p95). "
        if alone
        else ""
    )
    return table("Time, tokens and length", ("what", *SIDES, "mean difference (95 % interval)"), rows) + (
        f'<p class="note">{timed}In batches: the median over batches of {size} rows, on which the chains took turns. '
        "Tokens are those that the model reports.</p>"
    )


def _prompts(report: Mapping[str, Any]) -> str:
    parts = [f'<p class="note">{LEGEND}</p>']
    for change in report["changes"]:
        detail = f" ({escape(change['detail'])})" if change["detail"] else ""
        parts.append(
            f'<h3><code dir="auto">{escape(change["where"] or "the prompt")}</code></h3>'
            f'<p dir="auto">{escape(_outcome(change["outcome"]))}{detail}</p>'
            f"{changed_text(change['naive'], change['text'])}"
        )
        proposed = change["candidates"][-1]["text"] if change["candidates"] else ""
        if change["outcome"] != "optimized" and proposed.strip() not in ("", change["naive"].strip()):
            text = f'<div class="text" dir="auto">{escape(proposed)}</div>'
            parts.append(f"<details><summary>Proposed and turned down</summary>{text}</details>")
    if not report["changes"]:
        parts.append("<p>The chain has no prompt text that could be rewritten.</p>")
    if report["unreached"]:
        left = [(part["where"] or "the whole", part["reason"]) for part in report["unreached"]]
        parts.append(table("Left out", ("where", "why"), left))
    return "".join(parts)


def _outcome(outcome: str) -> str:
    return (
        "turned down: a variable was lost or changed" if outcome == "variables_changed" else outcome_in_words(outcome)
    )


def _made(results: Results) -> str:
    optimizer = results["optimizer"]
    systems = {
        "original": {"what": f"the chain {results['summary']['chain']}", "model": "none", "template": "none"},
        "optimized": {"what": "its twin, with the prompts rewritten by the model named here", **optimizer},
    }
    bad = results["bad_rows"]
    left_out = (
        table(f"Rows that could not be used ({len(bad)})", ("why",), [(reason,) for reason in bad]) if bad else ""
    )
    return sections.made({"made": results["made"], "systems": systems}) + left_out


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
