"""The result of an evaluation as one page that needs nothing else: what was found, in figures, tables and examples."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from fipo_model.evaluation.page import sections
from fipo_model.evaluation.page.examples import example_data
from fipo_model.evaluation.page.summary import summarize

__all__ = ["render_page"]


def render_page(results: Mapping[str, Any], examples: Sequence[Mapping[str, Any]]) -> str:
    """The page for the results and the examples of an evaluation. Whatever they contain is shown, never interpreted."""
    script = _part("page.js")
    headline, *more = summarize(results)
    page = Template(_part("page.html")).substitute(
        title=escape(results["title"]),
        style=_part("page.css"),
        policy=_policy(script),
        headline=_sentence(headline),
        more="".join(f"<li>{_sentence(sentence)}</li>" for sentence in more),
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


def _sentence(text: str) -> str:
    # A line does not end between a number and its sign.
    return escape(text).replace(" %", "&nbsp;%")


def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Forbids the page every request and every script but its own, should a text ever slip through unescaped."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; form-action 'none'"
