"""The report of a search as one page that needs nothing else."""

from collections.abc import Iterator, Mapping

from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.document import Section, document
from fipo_model.pages.figures import IntervalChart, Table, span_of
from fipo_model.pages.numbers import level, say_interval, signed
from fipo_model.search.evidence import Interval
from fipo_model.search.results import Changed, Compared, SearchResult

_OUTCOMES = {
    "not_preferred": "left alone: no rewrite was shown to be better",
    "out_of_budget": "left alone: the budget did not reach it",
    "unusable": "left alone: it could not be rewritten",
}


def render_page(result: SearchResult) -> str:
    """The page for what a search did. Whatever its texts contain is shown, never interpreted."""
    gains = list(_gains(result))
    sections = [Section("texts", "What became of the text" + ("s" if len(result.texts) > 1 else ""))]
    if gains:
        sections.insert(0, Section("gain", f"What was gained: {say_interval(gains[-1][1], signed)}"))
    if result.trials:
        sections.append(Section("trials", "What was tried"))
    return document(
        f"{__package__}/page.html.j2",
        title="FIPO searched for better words",
        sentences=sentences(result),
        sections=sections,
        content={
            "gain": _chart(gains) if gains else None,
            "texts": result.texts,
            "say_outcome": say_outcome,
            "tabulate_proposals": _tabulate_proposals,
            "trials": _tabulate_trials(result),
        },
    )


def sentences(result: SearchResult) -> Iterator[str]:
    """What a search did, in words."""
    rewritten = sum(one.is_rewritten for one in result.texts)
    were = "text was" if len(result.texts) == 1 else "texts were"
    yield f"{rewritten} of {len(result.texts)} {were} rewritten. Scores are {result.measured_by}."
    if result.is_rewritten:
        yield _say_compared("the examples that decided", result.chosen_on)
        if result.held_out is None:
            yield "Too few examples for some to be set aside: on others, expect less."
        else:
            yield _say_compared("examples that decided nothing", result.held_out)
    again = f", and {result.tried_again} runs again because they had failed" if result.tried_again else ""
    resumed = f", {result.metric_calls_resumed} of them in an earlier start" if result.metric_calls_resumed else ""
    yield f"It took {result.metric_calls} measurements{resumed}{again}."
    if result.first_failure is not None:
        yield f"The first failure: {result.first_failure}"
    if result.stopped_by is not None:
        yield f"{result.stopped_by} ended the search before everything was compared."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in result.notes)
    if result.model is not None:
        yield f"The rewrites are by {result.model}."


def _say_compared(where: str, found: Compared) -> str:
    gain = "" if found.gain is None else f": {say_interval(found.gain, signed)}, a {level(found.gain)} interval"
    return f"On {where} ({found.after.examples}) from {found.before.score:.3g} to {found.after.score:.3g}{gain}."


def _gains(result: SearchResult) -> Iterator[tuple[str, Interval]]:
    if not result.is_rewritten:
        return
    if result.chosen_on.gain is not None:
        yield "examples that decided", result.chosen_on.gain
    if result.held_out is not None and result.held_out.gain is not None:
        yield "other examples", result.held_out.gain


def _chart(gains: list[tuple[str, Interval]]) -> IntervalChart:
    caption = (
        f"What was found less what was there, with {level(gains[0][1])} intervals over the examples. That of examples "
        "that decided does not know of it: expect less on others."
    )
    span = span_of([interval for _, interval in gains], reference=0.0)
    return IntervalChart(caption=caption, rows=gains, span=span, reference=0.0, say=signed)


def say_outcome(outcome: str) -> str:
    """What a reader is told about an outcome."""
    return _OUTCOMES.get(outcome) or outcome_in_words(outcome)


def _tabulate_proposals(text: Changed) -> Table:
    rows = [(one.text, say_outcome(one.outcome), one.detail) for one in text.candidates]
    return Table(caption="All that was proposed", header=("text", "checks", "why"), rows=rows)


def _tabulate_trials(result: SearchResult) -> Table:
    rows = [
        (number, _say_changes(one.changed), f"{one.score:.3g}", one.examples, one.failed, one.missing)
        for number, one in enumerate(result.trials, 1)
    ]
    header = ("trial", "texts that are not as they were", "score", "examples", "failed", "not measured")
    return Table(caption="In their order", header=header, rows=rows)


def _say_changes(changed: Mapping[str, str]) -> str:
    if len(changed) == 1:
        return next(iter(changed.values()))
    return "; ".join(f"{name}: {text}" for name, text in changed.items()) or "none: as it was"
