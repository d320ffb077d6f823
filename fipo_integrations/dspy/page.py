"""The report of a compile as one page that needs nothing else."""

from collections.abc import Iterator, Mapping
from typing import Any

from fipo_integrations.dspy.results import Measured, Report
from fipo_model.errors import explain_missing
from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.figures import IntervalChart, Table, span_of
from fipo_model.pages.numbers import level, points, say_interval
from fipo_model.search import Changed, Interval, Level, say_limit

with explain_missing("dspy", "jinja2"):
    from fipo_model.pages.document import Section, document

_OUTCOMES = {
    "not_preferred": "left alone: no rewrite was shown to be better",
    "field_invented": "turned down: names a field that does not exist",
    "protected": "left alone: an agent's protocol",
    "out_of_budget": "left alone: the budget ran out first",
    "unusable": "left alone: it could not be rewritten",
}


def render_page(report: Mapping[str, Any]) -> str:
    """The page for the `fipo_report` of a compiled program. Whatever its texts contain is shown, never interpreted."""
    return render_report(Report.from_fields(report))


def render_report(report: Report) -> str:
    """The page for what a compile did."""
    measured = report.measured
    gain = _gain_of(report)
    sections = [Section("predictors", "What happened to the instructions")]
    if gain is not None:
        sections.insert(0, Section("gain", f"What was gained: {say_interval(gain, points)}"))
    if measured is not None and measured.trials:
        sections.append(Section("trials", "What was tried"))
    return document(
        f"{__package__}/page.html.j2",
        title="FIPO compiled a program",
        sentences=_summarize(report),
        sections=sections,
        content={
            "gain": None if gain is None else _chart(gain),
            "predictors": report.predictors,
            "left_alone": report.left_alone,
            "say_outcome": _say_outcome,
            "tabulate_proposals": _tabulate_proposals,
            "trials": None if measured is None else _tabulate_trials(measured),
        },
    )


def _summarize(report: Report) -> Iterator[str]:
    rewritten = sum(row.is_rewritten for row in report.predictors)
    were = "instruction was" if len(report.predictors) == 1 else "instructions were"
    changed = f"{rewritten} of {len(report.predictors)} {were} rewritten"
    measured = report.measured
    if measured is None:
        yield f"{changed}. Nothing was measured: there was no metric."
    else:
        scores = measured.scores
        yield f"{changed}; the program {_say_scores(scores.student, scores.compiled, _is_changed(report))}."
        if measured.demonstrations:
            yield f"Demonstrations: {measured.demonstrations}."
        resumed = measured.metric_calls_resumed
        before = f", {resumed} of them in an earlier run" if resumed else ""
        yield f"It took {measured.metric_calls} runs of the program{before}."
        if measured.stopped_by is not None:
            yield f"The search was ended by {say_limit(measured.stopped_by)} before everything was compared."
    if report.model is not None:
        yield f"The rewrites are by {report.model}."


def _is_changed(report: Report) -> bool:
    has_demos = report.measured is not None and report.measured.demos > 0
    return has_demos or any(row.is_rewritten for row in report.predictors)


def _say_scores(student: Level, compiled: Level, is_changed: bool) -> str:
    gained = f"goes from {student.score:g} % to {compiled.score:g} %" if is_changed else f"stays at {student.score:g} %"
    return f"{gained} on {student.examples} {'example' if student.examples == 1 else 'examples'}"


def _gain_of(report: Report) -> Interval | None:
    """The gain as a fraction; None where nothing was measured or rewritten."""
    gain = None if report.measured is None else report.measured.gain
    if gain is None or not _is_changed(report):
        return None
    return Interval(value=gain.value / 100, low=gain.low / 100, high=gain.high / 100, level=gain.level)


def _chart(gain: Interval) -> IntervalChart:
    caption = (
        f"The compiled program's score minus the student's, in percentage points, with its {level(gain)} interval "
        "over the examples. The interval does not allow for the choice of the rewrite on the same examples: expect "
        "less on others."
    )
    span = span_of([gain], reference=0.0)
    return IntervalChart(caption=caption, rows=[("gain", gain)], span=span, reference=0.0, say=points)


def _tabulate_proposals(predictor: Changed) -> Table:
    rows = [(one.text, _say_outcome(one.outcome), one.detail) for one in predictor.candidates]
    return Table(caption="Everything that was proposed", header=("text", "checks", "why"), rows=rows)


def _say_outcome(outcome: str) -> str:
    return _OUTCOMES.get(outcome) or outcome_in_words(outcome)


def _tabulate_trials(measured: Measured) -> Table:
    rows = [
        (number, _say_changes(trial.changed), f"{trial.score:g} %", trial.examples, trial.failed)
        for number, trial in enumerate(measured.trials, 1)
    ]
    header = ("trial", "changed instructions", "score", "examples", "failed")
    return Table(caption="In order", header=header, rows=rows)


def _say_changes(changed: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in changed.items()) or "none: the student"
