"""The result of an evaluation as one page that needs nothing else: what was found, in figures, tables and examples."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from fipo_model.evaluation.page import sections
from fipo_model.evaluation.page.examples import example_data
from fipo_model.evaluation.page.markup import content_policy, sentence
from fipo_model.evaluation.page.summary import summarize

__all__ = ["render_page"]


def render_page(results: Mapping[str, Any], examples: Sequence[Mapping[str, Any]]) -> str:
    """The page for the results and the examples of an evaluation. Whatever they contain is shown, never interpreted."""
    script = _part("page.js")
    headline, *more = summarize(results)
    page = Template(_part("page.html")).substitute(
        title=escape(results["title"]),
        style=_part("page.css"),
        policy=content_policy(script),
        headline=sentence(headline),
        more="".join(f"<li>{sentence(text)}</li>" for text in more),
        golden_gain=sections.golden_gain(results["golden_gain"]),
        preference=sections.preference(results["preference"]),
        benchmarks=sections.benchmarks(results["benchmarks"]),
        outcomes=sections.outcomes(results["rewriting"]),
        fidelity=sections.fidelity(results["rewriting"]),
        made=sections.made(results),
        count=f"{len(examples):,}",
        data=example_data(examples),
        script=script,
    )
    # Half of a surrogate pair, which a model's reply may hold, could not be written to a file.
    return page.encode("utf-8", "replace").decode("utf-8")


def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
