"""The result of an evaluation as one page: what was found, in figures, tables and examples."""

from collections.abc import Sequence
from importlib.resources import files

from fipo_model.errors import explain_missing
from fipo_model.evaluation.page import sections
from fipo_model.evaluation.page.examples import example_data
from fipo_model.evaluation.page.summary import summarize
from fipo_model.evaluation.page.tasks import show_tasks
from fipo_model.evaluation.results import Example, Results

with explain_missing("eval", "jinja2"):
    from fipo_model.pages.document import Script, Section, document

__all__ = ["render_page"]

_SECTIONS = (
    Section("gain", "How likely the golden response is"),
    Section("tasks", "Task gain and task accuracy"),
    Section("preference", "Which of two prompts is better"),
    Section("benchmarks", "Accuracy on benchmarks"),
    Section("outcomes", "What happened to the prompts"),
    Section("fidelity", "What was kept"),
    Section("made", "How it was made"),
    Section("examples", "Before and after"),
)


def render_page(results: Results, examples: Sequence[Example]) -> str:
    """The page for the results and the examples of an evaluation. Whatever they contain is shown, never interpreted."""
    return document(
        f"{__name__}/page.html.j2",
        title=results.title,
        sentences=summarize(results),
        sections=_SECTIONS,
        content={
            "gains": sections.show_gains(results.golden_gain),
            "tasks": show_tasks(results.tasks),
            "preferences": sections.show_preferences(results.preference),
            "accuracies": sections.show_benchmarks(results.benchmarks),
            "shares": sections.show_outcomes(results.rewriting),
            "kept": sections.tabulate_kept(results.rewriting),
            "leaked": sections.tabulate_leaks(results.rewriting),
            "made": sections.tabulate_making(results.made, results.systems),
            "examples": len(examples),
        },
        script=Script(code=_read_script(), data=example_data(examples)),
    )


def _read_script() -> str:
    return files(__name__).joinpath("page.js").read_text(encoding="utf-8")
