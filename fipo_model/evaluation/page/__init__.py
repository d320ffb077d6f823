"""The result of an evaluation as one page: what was found, in figures, tables and examples."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from fipo_model.evaluation.page import sections
from fipo_model.evaluation.page.examples import example_data
from fipo_model.evaluation.page.summary import summarize
from fipo_model.pages.changes import LEGEND
from fipo_model.pages.document import Section, document, listing

__all__ = ["render_page"]

_READING = (
    f"{LEGEND} Gain: how much likelier the golden response became, in nats per token; examples without one come last."
)


def render_page(results: Mapping[str, Any], examples: Sequence[Mapping[str, Any]]) -> str:
    """The page for the results and the examples of an evaluation. Whatever they contain is shown, never interpreted."""
    listed = listing(
        "examples",
        len(examples),
        search="Search prompts, proposals, contexts and responses",
        none="No examples were kept.",
        filters={"system": "System", "data": "Data set", "outcome": "Outcome", "model": "Gain of"},
        note=_READING,
    )
    parts = [
        Section("gain", "How likely the golden response is", sections.golden_gain(results["golden_gain"])),
        Section("preference", "Which of two prompts is better", sections.preference(results["preference"])),
        Section("benchmarks", "Accuracy on benchmarks", sections.benchmarks(results["benchmarks"])),
        Section("outcomes", "What became of the prompts", sections.outcomes(results["rewriting"])),
        Section("fidelity", "What was kept", sections.fidelity(results["rewriting"])),
        Section("made", "How it was made", sections.made(results)),
        Section("examples", "Before and after", listed),
    ]
    script = files(__name__).joinpath("page.js").read_text(encoding="utf-8")
    return document(results["title"], summarize(results), parts, script=script, data=example_data(examples))
