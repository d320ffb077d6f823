"""The report of a compile as one page that needs nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fipo_model.pages.changes import LEGEND, changed_text, outcome_in_words
from fipo_model.pages.document import Section, document
from fipo_model.pages.figures import figure, interval_chart, say_interval, span_of
from fipo_model.pages.markup import level, points, table

Report = Mapping[str, Any]

_OUTCOMES = {
    "not_preferred": "left alone: no rewrite was shown to be better",
    "field_invented": "turned down: names a field there is not",
    "protected": "left alone: an agent's protocol",
    "out_of_budget": "left alone: the budget did not reach it",
    "unusable": "left alone: it could not be rewritten",
}


def render_page(report: Report) -> str:
    """The page for the `fipo_report` of a compiled program. Whatever its texts contain is shown, never interpreted."""
    parts = [*_gain(report), _predictors(report["predictors"]), *_trials(report.get("trials"))]
    return document("FIPO compiled a program", _sentences(report), parts)


def _sentences(report: Report) -> Iterator[str]:
    rows = report["predictors"]
    rewritten = sum(row["text"] != row["naive"] for row in rows)
    changed = f"{rewritten} of {len(rows)} {'instruction was' if len(rows) == 1 else 'instructions were'} rewritten"
    scores = report["scores"]
    if scores is None:
        yield f"{changed}. Nothing was measured: there was no metric."
    else:
        student, compiled = (scores[side]["score"] for side in ("student", "compiled"))
        gained = f"goes from {student:g} % to {compiled:g} %" if rewritten else f"stays at {student:g} %"
        examples = scores["student"]["examples"]
        yield f"{changed}; the program {gained} on {examples} {'example' if examples == 1 else 'examples'}."
        remembered = report["metric_calls_resumed"]
        before = f", {remembered} of them in an earlier start" if remembered else ""
        yield f"It took {report['metric_calls']} runs of the program{before}."
        if report["stopped_by"] is not None:
            yield f"{report['stopped_by']} ended the search before everything was compared."
    if report["model"] is not None:
        yield f"The rewrites are by {report['model']}."


def _gain(report: Report) -> Iterator[Section]:
    gain = report.get("gain")
    if gain is None or all(row["text"] == row["naive"] for row in report["predictors"]):
        return
    shares = {**gain, **{side: gain[side] / 100 for side in ("value", "low", "high")}}
    caption = (
        f"The compiled program's score less the student's, in percentage points, with its {level(gain)} interval "
        "over the examples. The interval does not know that the rewrite was chosen on the same examples: expect less "
        "on others."
    )
    chart = interval_chart([("gain", shares)], span_of([shares], reference=0.0), reference=0.0, say=points)
    yield Section("gain", f"What was gained: {say_interval(shares, points)}", figure(chart, caption))


def _predictors(rows: Sequence[Mapping[str, Any]]) -> Section:
    shown = "".join(map(_predictor, rows)) or "<p>The program has none that may be rewritten.</p>"
    return Section("predictors", "What became of the instructions", f'<p class="note">{LEGEND}</p>{shown}')


def _predictor(row: Mapping[str, Any]) -> str:
    detail = f" ({escape(row['detail'])})" if row["detail"] else ""
    proposed = [(each["text"], _outcome(each["outcome"]), each["detail"]) for each in row["candidates"]]
    all_of_them = table("All that was proposed", ("text", "checks", "why"), proposed) if proposed else "<p>Nothing.</p>"
    return (
        f'<h3><code dir="auto">{escape(row["name"])}</code></h3>'
        f'<p dir="auto">{escape(_outcome(row["outcome"]))}{detail}</p>{changed_text(row["naive"], row["text"])}'
        f"<details><summary>Proposals: {len(proposed)}</summary>{all_of_them}</details>"
    )


def _outcome(outcome: str) -> str:
    return _OUTCOMES.get(outcome) or outcome_in_words(outcome)


def _trials(trials: Sequence[Mapping[str, Any]] | None) -> Iterator[Section]:
    if not trials:
        return
    rows = [
        (number, _changes(trial["changed"]), f"{trial['score']:g} %", trial["examples"], trial["failed"])
        for number, trial in enumerate(trials, 1)
    ]
    header = ("trial", "instructions that are not the student's", "score", "examples", "failed")
    yield Section("trials", "What was tried", table("In their order", header, rows))


def _changes(changed: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in changed.items()) or "none: the student"
