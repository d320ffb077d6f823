"""Prompt templates, rewritten once, before deployment."""

from collections.abc import Sequence
from typing import Any

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable

from fipo_integrations.langchain import proposals
from fipo_integrations.langchain.ahead import form_ahead
from fipo_integrations.langchain.asking import Asking, Optimizer
from fipo_integrations.langchain.background import in_background
from fipo_integrations.langchain.evidence import Evidence, Metric, as_chain
from fipo_integrations.langchain.examples import Example, check_inputs, prepare
from fipo_integrations.langchain.found import find, with_changes
from fipo_integrations.langchain.prompts import Role, check_roles
from fipo_integrations.langchain.report import Report
from fipo_integrations.langchain.search import choose_on_evidence
from fipo_integrations.langchain.variables import take_apart
from fipo_integrations.langchain.walking import Template
from fipo_model import Scorer
from fipo_model.errors import InputError
from fipo_model.search import SearchSettings
from fipo_model.store import RewriteStore


def optimize_prompt(  # noqa: PLR0913 - one parameter for each wish
    template: Template,
    *,
    optimizer: Optimizer | None = None,
    roles: tuple[Role, ...] | None = None,
    examples: Sequence[Example] = (),
    metric: Metric | None = None,
    downstream: Runnable[Any, Any] | Scorer | None = None,
    search: SearchSettings | None = None,
    keep: tuple[str, ...] = (),
    max_words: int | None = None,
    feedback: str | None = None,
    store: RewriteStore | None = None,
    force: bool = False,
) -> tuple[Template, Report]:
    """A template with its instruction rewritten, and a report; the template given stays as it is.

    Works on `PromptTemplate`, `ChatPromptTemplate` (static messages, text parts of multimodal ones, nested chats),
    `StructuredPrompt` and the prefix of a `FewShotPromptTemplate`. In a chat, `roles` says whose messages are
    rewritten. By default it is the first system message with words of its own, or without one, the last human message
    after every AI message. Data at the end of a text (variables, labels, examples, documents) stay word for word, and
    an addition comes before them. A rewrite that lost, doubled, renamed or invented a variable is not used.

    `examples` are pairs of the template's input and the golden response, rows with `input` and `output`, or LangSmith
    examples. `downstream` is the rest of the chain after the template. With it, the examples run once for the silver
    responses, and the rewriter sees both. With a `metric` as well, the chain's outputs decide which of several rewrites
    is used, if its lead is too large to be luck. `search` has the budget and the directory to resume from. If
    `downstream` is a `Scorer`, the likelihood of the golden responses decides.

    `keep` names texts of the template that a rewrite must have, `max_words` is the most words it may have, and
    `feedback` says what should improve. A `store` is looked up before the optimizer is asked, and keeps its
    results. `force` rewrites texts that FIPO wrote before.

    Raises `InputError` for a jinja2 template and for anything that is not a template. For a chain, use
    `optimize_chain`.
    """
    if not isinstance(template, BasePromptTemplate):
        instead = "PromptOptimizer.optimize" if isinstance(template, str) else "optimize_chain"
        what = "a bare text" if isinstance(template, str) else "the prompts of a chain"
        raise InputError(f"a prompt template is needed, not {type(template).__name__}; for {what} use {instead}")
    check_roles(roles)
    examples = list(examples)
    check_inputs(template, examples)
    asking = Asking(optimizer=optimizer, keep=keep, max_words=max_words, feedback=feedback, store=store, force=force)
    if metric is not None:
        as_chain(template, downstream)  # raises where a metric would have nothing to score
    found = find(template, roles, ahead=form_ahead(downstream))
    for slot in found.slots:
        if slot.format == "jinja2":
            take_apart(slot.text, slot.format)  # raises
    asking.check_kept(slot.text for slot in found.slots)
    if metric is not None or (downstream is not None and not isinstance(downstream, Runnable)):
        scorer = None if downstream is None or isinstance(downstream, Runnable) else downstream
        seen = Evidence(examples=examples, metric=metric, scorer=scorer, settings=SearchSettings.of(search))

        def build(report: Report) -> Any:
            made = with_changes(template, roles, report)
            return made if metric is None else as_chain(made, downstream)

        report = choose_on_evidence(found.slots, asking, seen, build)
    else:
        shown = prepare(examples, template, downstream if proposals.take(found.slots, asking)[0] else None)
        report = proposals.rewrite(found.slots, asking, shown)
    report = found.completed(report)
    return with_changes(template, roles, report), report


aoptimize_prompt = in_background(optimize_prompt)
"""`optimize_prompt` for asyncio: never blocks the event loop."""
