"""Chains and agents as trees, whose parts can be visited and replaced."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter, is_, itemgetter
from types import FunctionType, MethodType
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableGenerator,
    RunnableLambda,
    RunnableSerializable,
)
from langchain_core.runnables.configurable import RunnableConfigurableAlternatives
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import BaseTool
from pydantic import BaseModel

from fipo_integrations.langchain.proposals import ALREADY
from fipo_integrations.langchain.runnable import FIPORunnable

Visit = Callable[[Any, str], Any]
"""What becomes of a part at a place: itself, or what stands there instead."""

SWITCH = "fipo_prompt"
"""The id of the configurable field by which a chain made with `alternatives=True` goes back to its own prompts."""

_OPAQUE = "FIPO cannot look inside; if it makes prompts, use optimize_prompt or FIPORunnable there"
_GRAPH = (
    "it is a compiled graph, which FIPO cannot change: give an agent FIPOMiddleware when it is made, and a node its "
    "prompt from optimize_prompt"
)
_DEEPEST = 2  # how deep a foreign object is searched


def rebuilt(part: Any, where: str, visit: Visit, above: tuple[int, ...] = ()) -> Any:
    """A part of a chain with its leaves replaced by what `visit` makes of them; the same object if nothing differs.

    Runnables, agents, tools, retrievers and compressors are pydantic models whose fields hold others, alone or in
    lists, tuples and mappings. That is true of all of LangChain's, so the classes need not be known one by one.
    """
    if id(part) in above:
        return part

    def inside(value: Any, name: str) -> Any:
        return rebuilt(value, where + name, visit, (*above, id(part)))

    dot = "." if where else ""
    if isinstance(part, list | tuple | Mapping):
        return _rebuilt_items(part, inside)
    if isinstance(part, RunnableWithMessageHistory):
        return _rebuilt_history(part, inside, dot) or visit(part, where)
    if not _is_inner(part):
        return visit(part, where) if isinstance(part, Runnable) or _is_holder(part) else part
    if isinstance(part, RunnableConfigurableAlternatives):
        for key, alternative in part.alternatives.items():
            if not isinstance(alternative, Runnable):  # a function that makes the alternative when it is chosen
                visit(alternative, f"{where}{dot}alternatives[{key!r}]")
    if isinstance(part, BaseTool) and held_prompts(part):
        visit(part, where)
    fields = _fields(part)
    made = {name: inside(value, f"{dot}{name}") for name, value in fields.items()}
    changed = {name: new for name, new in made.items() if new is not fields[name]}
    return part.model_copy(update=changed) if changed else part


def parts_of(part: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """What a part of a chain holds, in order, with the places that `rebuilt` names."""
    dot = "." if where else ""
    held: Iterable[tuple[str, Any]] = ()
    if isinstance(part, Mapping):
        held = ((f"[{key!r}]", value) for key, value in part.items())
    elif isinstance(part, list | tuple):
        held = ((f"[{place}]", value) for place, value in enumerate(part))
    elif isinstance(part, RunnableWithMessageHistory):
        held = [(f"{dot}runnable", _of_history(part))]
    elif _is_inner(part):
        held = ((f"{dot}{name}", value) for name, value in _fields(part).items())
    for name, value in held:
        if isinstance(value, list | tuple | Mapping):
            yield from parts_of(value, where + name)
        else:
            yield where + name, value


def _fields(part: Any) -> dict[str, Any]:
    # Not by getattr, because deprecated fields would warn.
    return {name: value for name, value in vars(part).items() if name in type(part).model_fields}


def _is_inner(part: Any) -> bool:
    if not isinstance(part, BaseModel) or isinstance(part, BasePromptTemplate | FIPORunnable | BaseMessage):
        return False
    return not is_switch(part) and (isinstance(part, RunnableSerializable) or not isinstance(part, Runnable))


def _rebuilt_items(part: Any, inside: Callable[[Any, str], Any]) -> Any:
    if isinstance(part, Mapping):
        entries = {key: inside(value, f"[{key!r}]") for key, value in part.items()}
        return part if all(entries[key] is part[key] for key in part) else entries
    items = [inside(value, f"[{place}]") for place, value in enumerate(part)]
    if all(map(is_, items, part)):
        return part
    return type(part)(*items) if hasattr(part, "_fields") else type(part)(items)  # options are a named tuple


def _rebuilt_history(part: Any, inside: Callable[[Any, str], Any], dot: str) -> Any:
    """A chain with message history made anew; None if the chain that it wraps cannot be found."""
    inner = _of_history(part)
    if inner is None:
        return None
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


def _of_history(part: Any) -> Any:
    """The chain that one with message history wraps, which it keeps in a function; None if it cannot be found."""
    steps = [step for step in descendants(part.bound) if isinstance(step, RunnableLambda)]
    wrapped = [dep for step in steps for dep in step.deps if isinstance(dep, RunnableBinding)]
    if not wrapped:
        return None
    # The first configuration is the history's own listener, which a new history adds by itself.
    return wrapped[0].model_copy(update={"config_factories": wrapped[0].config_factories[1:]})


def descendants(part: Any) -> Iterator[Any]:
    found: list[Any] = []

    def note(leaf: Any, where: str) -> Any:
        found.append(leaf)
        return leaf

    rebuilt(part, "", note)
    return iter(found)


def why_left_out(part: Any) -> str:
    """Why a leaf of a chain holds prompts that cannot be rewritten; empty where there is nothing to report."""
    if isinstance(part, FIPORunnable):
        return "it rewrites at run time, including what was rewritten here: leave out one of the two"
    if is_switch(part):
        return ALREADY
    if held := held_prompts(part):
        what = "a function" if isinstance(part, RunnableLambda) else f"a {type(part).__name__}"
        prompts = "a prompt" if held == 1 else f"{held} prompts"
        return f"it is {what} that holds {prompts}: give it the rewritten one with optimize_prompt"
    if isinstance(part, RunnableLambda):
        return "" if isinstance(getattr(part, "func", None), itemgetter | attrgetter) else _OPAQUE
    if isinstance(part, RunnableGenerator | RunnableWithMessageHistory):
        return _OPAQUE
    if type(part).__module__.startswith("langgraph."):
        return _GRAPH
    return _OPAQUE if not isinstance(part, RunnableSerializable) else ""


def is_switch(part: Any) -> bool:
    return isinstance(part, RunnableConfigurableAlternatives) and part.which.id == SWITCH


def held_prompts(part: Any) -> int:
    """How many prompts a function closes over, a tool calls, or an object of an unknown class holds."""
    if isinstance(part, RunnableLambda):
        held = [leaf for dep in part.deps for leaf in descendants(dep)]
    elif isinstance(part, BaseTool):
        held = list(_held([getattr(part, "func", None) or getattr(part, "coroutine", None)], 0))
    elif isinstance(part, Runnable | BaseModel):
        return 0
    else:
        held = list(_held([part], 0))
    return len({id(leaf) for leaf in held if isinstance(leaf, BasePromptTemplate)})


def _is_holder(part: Any) -> bool:
    is_plain = type(part).__module__ == "builtins" or isinstance(part, type | BaseModel | FunctionType | MethodType)
    return not is_plain and held_prompts(part) > 0


def _held(values: Any, depth: int) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Runnable | BaseModel):
            yield from descendants(value)
        elif depth > _DEEPEST or isinstance(value, type):
            continue
        elif isinstance(value, MethodType):
            yield from _held([value.__self__], depth + 1)
        elif isinstance(value, FunctionType):
            yield from _held(inspect.getclosurevars(value).nonlocals.values(), depth + 1)
        elif isinstance(value, list | tuple):
            yield from _held(value, depth + 1)
        elif hasattr(value, "__dict__"):
            yield from _held(list(vars(value).values()), depth + 1)
