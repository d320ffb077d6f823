"""Whole chains: every prompt in a tree of runnables rewritten at once."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter, is_, itemgetter
from typing import Any, TypeVar

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableBinding,
    RunnableGenerator,
    RunnableLambda,
    RunnableSerializable,
)
from langchain_core.runnables.configurable import RunnableConfigurableAlternatives
from langchain_core.runnables.history import RunnableWithMessageHistory

from fipo_integrations.langchain import proposals
from fipo_integrations.langchain.prompts import Role, check_roles
from fipo_integrations.langchain.proposals import Slot
from fipo_integrations.langchain.report import Report, Unreached
from fipo_integrations.langchain.runnable import FIPORunnable
from fipo_integrations.langchain.templates import ALREADY, slots_of, with_changes
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError

_Chain = TypeVar("_Chain", bound=Runnable)
# What becomes of a runnable at a place: itself, or what stands there instead.
_Visit = Callable[[Any, str], Any]

SWITCH = "fipo_prompt"
"""The id of the configurable field by which a chain made with `alternatives=True` goes back to its own prompts."""

_OPAQUE = "FIPO cannot look inside; if it makes prompts, use optimize_prompt or FIPORunnable there"


def optimize_chain(
    chain: _Chain,
    *,
    optimizer: PromptOptimizer | None = None,
    roles: tuple[Role, ...] | None = None,
    alternatives: bool = False,
) -> tuple[_Chain, Report]:
    """A chain with every prompt template in it rewritten, in one model call, and a report; the original is untouched.

    Goes through everything that LangChain builds of runnables: sequences, parallel and assigned steps, branches,
    bindings, retries, fallbacks, routers, configurable fields and alternatives, message history. What cannot be
    reached, such as a prompt that a function holds, is in the report. `roles` is as in `optimize_prompt`.

    With `alternatives`, the new chain holds both, and `chain.with_config(configurable={"fipo_prompt": "original"})` is
    the original one. Where nothing could be rewritten, the chain that was given comes back.
    """
    if not isinstance(chain, Runnable):
        raise InputError(f"a chain is a runnable, such as prompt | model, not {type(chain).__name__}")
    check_roles(roles)
    slots, unreached = _collected(chain, roles)
    report = proposals.rewrite(slots, optimizer)

    def replace(part: Any, where: str) -> Any:
        if not isinstance(part, BasePromptTemplate):
            return part
        return with_changes(part, roles, report, where)

    made = _rebuilt(chain, "", replace)
    if alternatives and made is not chain:
        which = ConfigurableField(id=SWITCH)
        made = made.configurable_alternatives(which, default_key="optimized", original=chain)
        _check_fields(made)
    return made, Report(changes=report.changes, unreached=(*report.unreached, *unreached))


def _collected(chain: Any, roles: tuple[Role, ...] | None) -> tuple[list[Slot], list[Unreached]]:
    """Every text of a chain that may be rewritten, and what cannot be reached."""
    slots: list[Slot] = []
    unreached: list[Unreached] = []

    def collect(part: Any, where: str) -> Any:
        if isinstance(part, BasePromptTemplate):
            own, reason = slots_of(part, roles, where)
            slots.extend(own)
        else:
            reason = _why_left_out(part)
        if reason:
            unreached.append(Unreached(where=where, reason=reason))
        return part

    _rebuilt(chain, "", collect)
    return slots, unreached


def _check_fields(chain: Runnable[Any, Any]) -> None:
    """Raise `InputError` for a configurable prompt text: the field would have two defaults."""
    try:
        _ = chain.config_specs
    except ValueError as error:
        raise InputError(
            "alternatives=True cannot hold both chains: a text that was rewritten is a configurable field, and one can "
            f"have one default ({error}). Keep the two chains apart."
        ) from error


def _rebuilt(part: Any, where: str, visit: _Visit, above: tuple[int, ...] = ()) -> Any:
    """A part of a chain with its leaves replaced by what `visit` makes of them; the very same one if nothing differs.

    Runnables are pydantic models whose fields hold runnables, alone or in lists, tuples and mappings. That is true of
    all of LangChain's, so the classes need not be known one by one.
    """
    if id(part) in above:
        return part

    def inside(value: Any, name: str) -> Any:
        return _rebuilt(value, where + name, visit, (*above, id(part)))

    dot = "." if where else ""
    if isinstance(part, list | tuple | Mapping):
        return _rebuilt_items(part, inside)
    if isinstance(part, RunnableWithMessageHistory):
        return _rebuilt_history(part, inside, dot) or visit(part, where)
    is_inner = isinstance(part, RunnableSerializable) and not isinstance(part, BasePromptTemplate | FIPORunnable)
    if not is_inner or _is_switch(part):
        return visit(part, where) if isinstance(part, Runnable) else part
    if isinstance(part, RunnableConfigurableAlternatives):
        for key, alternative in part.alternatives.items():
            if not isinstance(alternative, Runnable):  # a function that makes it when it is chosen
                visit(alternative, f"{where}{dot}alternatives[{key!r}]")
    fields = {name: getattr(part, name) for name in type(part).model_fields}
    made = {name: inside(value, f"{dot}{name}") for name, value in fields.items()}
    changed = {name: new for name, new in made.items() if new is not fields[name]}
    return part.model_copy(update=changed) if changed else part


def _rebuilt_items(part: Any, inside: Callable[[Any, str], Any]) -> Any:
    if isinstance(part, Mapping):
        entries = {key: inside(value, f"[{key!r}]") for key, value in part.items()}
        return part if all(entries[key] is part[key] for key in part) else entries
    items = [inside(value, f"[{place}]") for place, value in enumerate(part)]
    if all(map(is_, items, part)):
        return part
    return type(part)(*items) if hasattr(part, "_fields") else type(part)(items)  # options are a named tuple


def _rebuilt_history(part: Any, inside: Callable[[Any, str], Any], dot: str) -> Any:
    """A chain with message history, which keeps the chain it wraps in a function and has to be made anew.

    None if that chain cannot be found.
    """
    steps = [step for step in _descendants(part.bound) if isinstance(step, RunnableLambda)]
    wrapped = [dep for step in steps for dep in step.deps if isinstance(dep, RunnableBinding)]
    if not wrapped:
        return None
    # The first configuration is the listener by which the history takes note, and which a new one adds by itself.
    inner = wrapped[0].model_copy(update={"config_factories": wrapped[0].config_factories[1:]})
    new = inside(inner, f"{dot}runnable")
    if new is inner:
        return part
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*RunnableWithMessageHistory", category=DeprecationWarning)
        return type(part)(
            new,
            part.get_session_history,
            input_messages_key=part.input_messages_key,
            output_messages_key=part.output_messages_key,
            history_messages_key=part.history_messages_key,
            history_factory_config=part.history_factory_config,
        )


def _descendants(part: Any) -> Iterator[Any]:
    found: list[Any] = []

    def note(leaf: Any, where: str) -> Any:
        found.append(leaf)
        return leaf

    _rebuilt(part, "", note)
    return iter(found)


def _why_left_out(part: Any) -> str:
    """Why a leaf of a chain holds prompts that cannot be rewritten; empty where there is nothing to tell."""
    if isinstance(part, FIPORunnable):
        return "it rewrites at run time, also what was rewritten here: leave one of the two out"
    if _is_switch(part):
        return ALREADY
    if isinstance(part, RunnableLambda):
        held = [leaf for dep in part.deps for leaf in _descendants(dep) if isinstance(leaf, BasePromptTemplate)]
        if held:
            prompts = "a prompt" if len(held) == 1 else f"{len(held)} prompts"
            return f"it is a function that holds {prompts}: give it the rewritten one with optimize_prompt"
        return "" if isinstance(getattr(part, "func", None), itemgetter | attrgetter) else _OPAQUE
    if isinstance(part, RunnableGenerator | RunnableWithMessageHistory):
        return _OPAQUE
    return _OPAQUE if not isinstance(part, RunnableSerializable) else ""


def _is_switch(part: Any) -> bool:
    return isinstance(part, RunnableConfigurableAlternatives) and part.which.id == SWITCH
