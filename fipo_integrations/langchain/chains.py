"""Whole chains: every prompt in a tree of runnables rewritten at once."""

from collections.abc import Sequence
from typing import Any, TypeVar

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable
from pydantic import BaseModel

from fipo_integrations.langchain import proposals
from fipo_integrations.langchain.ahead import forms_ahead
from fipo_integrations.langchain.asking import Asking, Optimizer
from fipo_integrations.langchain.background import in_background
from fipo_integrations.langchain.evidence import Evidence, Metric
from fipo_integrations.langchain.examples import Example, check_inputs
from fipo_integrations.langchain.found import Found, find, with_changes
from fipo_integrations.langchain.prompts import Role, check_roles
from fipo_integrations.langchain.report import Report, Unreached
from fipo_integrations.langchain.search import choose_on_evidence
from fipo_integrations.langchain.tree import SWITCH, rebuilt, why_left_out
from fipo_model.errors import InputError
from fipo_model.search import SearchSettings
from fipo_model.store import RewriteStore

Chain = TypeVar("Chain", bound=Runnable | BaseModel)


def optimize_chain(  # noqa: PLR0913 - one parameter for each wish
    chain: Chain,
    *,
    optimizer: Optimizer | None = None,
    roles: tuple[Role, ...] | None = None,
    alternatives: bool = False,
    examples: Sequence[Example] = (),
    metric: Metric | None = None,
    search: SearchSettings | None = None,
    keep: tuple[str, ...] = (),
    max_words: int | None = None,
    feedback: str | None = None,
    store: RewriteStore | None = None,
    force: bool = False,
) -> tuple[Chain, Report]:
    """A chain with every prompt template rewritten in one batch, and a report; the original is unchanged.

    It goes through everything that LangChain builds from runnables: sequences, parallel and assigned steps, branches,
    bindings, retries, fallbacks, routers, configurable fields and alternatives, message history. It also goes through
    the agents, tools, retrievers and compressors in them, which you may also pass alone. The report lists what it
    cannot reach, such as a prompt inside a function. The other parameters are those of `optimize_prompt`.

    With `examples` (inputs and right outputs of the whole chain) and a `metric`, the chain runs with the rewrites, and
    its outputs decide.

    With `alternatives`, the new chain holds both versions, and
    `chain.with_config(configurable={"fipo_prompt": "original"})` is the original one. If nothing could be rewritten,
    the given chain comes back.
    """
    if not isinstance(chain, Runnable | BaseModel):
        raise InputError(f"a chain is a runnable, such as prompt | model, not {type(chain).__name__}")
    check_roles(roles)
    examples = list(examples)
    check_inputs(chain, examples)
    asking = Asking(optimizer=optimizer, keep=keep, max_words=max_words, feedback=feedback, store=store, force=force)
    found = _found(chain, roles)
    asking.check_kept(slot.text for slot in found.slots)
    if metric is None:
        if examples:
            raise InputError(
                'the examples of a chain need a metric, which says how good an output is: metric="exact", "contains", '
                '"f1", "json_fields" or a function. (optimize_prompt(prompt, examples=..., downstream=...) needs none.)'
            )
        report = proposals.rewrite(found.slots, asking)
    else:
        seen = Evidence(examples=examples, metric=metric, settings=SearchSettings.of(search))
        report = choose_on_evidence(found.slots, asking, seen, lambda report: _with_changes(chain, roles, report))
    report = found.completed(report)
    made = _with_changes(chain, roles, report)
    if alternatives and made is not chain:
        made = _with_both(chain, made)
    return made, report


aoptimize_chain = in_background(optimize_chain)
"""`optimize_chain` for asyncio: never blocks the event loop."""


def _found(chain: Any, roles: tuple[Role, ...] | None) -> Found:
    """Every text of a chain that may be rewritten, and what cannot be reached."""
    parts: list[Found] = []
    ahead = forms_ahead(chain)

    def collect(part: Any, where: str) -> Any:
        if isinstance(part, BasePromptTemplate):
            parts.append(find(part, roles, where, ahead=ahead.get(where)))
        elif reason := why_left_out(part):
            parts.append(Found(unreached=(Unreached(where=where, reason=reason),)))
        return part

    rebuilt(chain, "", collect)
    return Found(
        slots=tuple(slot for part in parts for slot in part.slots),
        unreached=tuple(each for part in parts for each in part.unreached),
        left_alone=tuple(each for part in parts for each in part.left_alone),
    )


def _with_changes(chain: Chain, roles: tuple[Role, ...] | None, report: Report) -> Chain:
    def replaced(part: Any, where: str) -> Any:
        return with_changes(part, roles, report, where) if isinstance(part, BasePromptTemplate) else part

    made: Chain = rebuilt(chain, "", replaced)
    return made


def _with_both(chain: Any, made: Any) -> Any:
    """A chain that holds the old one and the new one. Raises `InputError` where that is impossible."""
    if not isinstance(chain, Runnable):
        raise InputError(f"alternatives=True needs a runnable, not a {type(chain).__name__}")
    both = made.configurable_alternatives(ConfigurableField(id=SWITCH), default_key="optimized", original=chain)
    try:
        _ = both.config_specs
    except ValueError as error:  # the field would have two defaults
        raise InputError(
            "alternatives=True cannot hold both chains: a rewritten text is a configurable field, which can have only "
            f"one default ({error}). Keep the two chains apart."
        ) from error
    return both
