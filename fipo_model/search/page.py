"""The report of a search as one page that needs nothing else."""

from collections.abc import Iterator, Mapping

from fipo_model.pages.document import Section, document
from fipo_model.pages.figures import IntervalChart, Table, span_of
from fipo_model.pages.numbers import level, say_interval, signed
from fipo_model.search.evidence import Interval
from fipo_model.search.results import Changed, SearchResult
from fipo_model.search.words import say_origin, say_outcome, sentences


def render_page(result: SearchResult) -> str:
    """The page for what a search did. Whatever its texts contain is shown, never interpreted."""
    gains = list(_gains(result))
    sections = [Section("texts", "What happened to the text" + ("s" if len(result.texts) > 1 else ""))]
    if gains:
        sections.insert(0, Section("gain", f"What was gained: {say_interval(gains[-1][1], signed)}"))
    if result.trials:
        sections.append(Section("trials", "What was tried"))
    return document(
        f"{__package__}/page.html.j2",
        title="FIPO searched for a better wording",
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


def _gains(result: SearchResult) -> Iterator[tuple[str, Interval]]:
    if not result.is_rewritten:
        return
    if result.chosen_on.gain is not None:
        yield "examples that decided", result.chosen_on.gain
    if result.held_out is not None and result.held_out.gain is not None:
        yield "other examples", result.held_out.gain


def _chart(gains: list[tuple[str, Interval]]) -> IntervalChart:
    caption = (
        f"What was found minus what was there, with {level(gains[0][1])} intervals over the examples. For the "
        "examples that decided, the interval does not allow for that choice: expect less on others."
    )
    span = span_of([interval for _, interval in gains], reference=0.0)
    return IntervalChart(caption=caption, rows=gains, span=span, reference=0.0, say=signed)


def _tabulate_proposals(text: Changed) -> Table:
    rows = [(one.text, say_outcome(one.outcome), one.detail, say_origin(one.origin)) for one in text.candidates]
    return Table(caption="Everything that was proposed", header=("text", "checks", "why", "made by"), rows=rows)


def _tabulate_trials(result: SearchResult) -> Table:
    # The same texts on more examples are the same attempt.
    numbers = {arm: number for number, arm in enumerate(dict.fromkeys(one.arm for one in result.trials), 1)}
    rows = [
        (numbers[one.arm], _say_changes(one.changed), f"{one.score:.3g}", one.examples, one.failed, one.missing)
        for one in result.trials
    ]
    header = ("attempt", "changed texts", "score", "examples", "failed", "not measured")
    return Table(caption="In order; what does well is tried on more examples", header=header, rows=rows)


def _say_changes(changed: Mapping[str, str]) -> str:
    if len(changed) == 1:
        return next(iter(changed.values()))
    return "; ".join(f"{name}: {text}" for name, text in changed.items()) or "none: as it was"
