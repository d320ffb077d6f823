"""What distinguishes chains when a search is resumed: their models, prompts and code, the same in every process."""

import dis
import functools
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from enum import Enum
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableBinding, RunnableLambda, RunnableParallel
from pydantic import BaseModel

from fipo_model import search as searching

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NAMES = ("model_name", "model", "model_id")
_PLACES = ("base_url", "openai_api_base", "azure_endpoint", "anthropic_api_url", "endpoint", "endpoint_url", "host")
_PLAIN = (str, bytes, int, float, type, type(None), ModuleType, BaseMessage)
# What does not change as a chain runs.
_LASTING = (
    *(str, bytes, int, float, complex, type(None), type(...), type, Enum, re.Pattern, tuple, frozenset, list, dict),
    *(CodeType, FunctionType, MethodType, BuiltinFunctionType, functools.partial),
    *(operator.itemgetter, operator.attrgetter),
)
_FILLED = (MutableMapping, MutableSequence, MutableSet)
_WHOLE = (BaseLanguageModel, BasePromptTemplate)
"""What holds no other part of a chain."""
_CONTAINERS = (Runnable, BaseModel, FunctionType, MethodType, functools.partial, list, tuple, Mapping)
_DEEPEST = 2  # how deep a foreign object is searched


def identity(chain: Any) -> dict[str, Any]:
    """The names of a chain's models, and a digest of all that decides what it says.

    What functions change as they run does not count, nor what foreign objects remember.
    """
    parts = list(_parts(chain, {}, 0))
    models = {_named(part) for part in parts if isinstance(part, BaseLanguageModel)}
    said = {str(place): _say(part) for place, part in enumerate(parts)}
    return {"models": sorted(models), "chain": searching.digest(said)}


@searching.state_of.register  # for metrics that ask a judge
def _model(model: BaseLanguageModel) -> dict[str, Any]:
    """What LangChain itself tells models apart by, in its cache and in traces, and where they are."""
    places = {name: str(getattr(model, name)) for name in _PLACES if getattr(model, name, None) is not None}
    return {**model._identifying_params, **places}


def _without_addresses(value: object) -> str:
    """A value as Python shows it, except for places in memory, which differ from process to process."""
    return _ADDRESS.sub("", repr(value))


def _parts(value: Any, known: dict[int, Any], depth: int) -> Iterator[Any]:
    """The runnables of a chain, those that its functions use, and the functions themselves."""
    if id(value) in known or isinstance(value, _PLAIN):
        return
    known[id(value)] = value  # kept, so that nothing else gets its id
    if isinstance(value, Runnable) or (callable(value) and not depth):
        yield value
    if not isinstance(value, _WHOLE):
        is_foreign = not isinstance(value, _CONTAINERS)
        for inner in _within(value, may_look=depth < _DEEPEST):
            yield from _parts(inner, known, depth + is_foreign)


def _within(value: Any, *, may_look: bool) -> Iterable[Any]:
    """What a part of a chain consists of, in an order that is the same in every process."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, RunnableLambda):
        return [*value.deps, getattr(value, "func", None), getattr(value, "afunc", None)]
    if isinstance(value, FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, BaseModel):
        return [own for name, own in vars(value).items() if name in type(value).model_fields]
    return list(getattr(value, "__dict__", {}).values()) if may_look or isinstance(value, Runnable) else ()


def _is_empty(cell: CellType) -> bool:
    """Whether it belongs to a function whose definition is not complete yet."""
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def _say(part: Any) -> str:
    """What a part is, without the parts that it consists of."""
    if isinstance(part, BaseLanguageModel):
        return f"{_named(part)} {_without_addresses(_model(part))}"
    if isinstance(part, BasePromptTemplate):
        return _without_addresses(part)
    if isinstance(part, RunnableBinding):
        return f"{_named(part)} {_digest({**part.kwargs, '': part.config.get('configurable')})}"
    if isinstance(part, Runnable):
        return f"{_named(part)} {_digest([type(part), _settings_of(part)])}"
    return f"{_named(part)} {_digest(part if isinstance(part, _LASTING) else type(part))}"


def _digest(held: Any) -> str:
    """A digest of code and constants; other parts of a chain come by themselves, and objects change as it runs."""
    return searching.digest_of(held, by_type=lambda value: not isinstance(value, _LASTING))


def _settings_of(part: Runnable[Any, Any]) -> dict[str, Any]:
    """The fields of a runnable that nothing fills or sets as it runs, such as a parser's schema; a parallel's names."""
    if isinstance(part, RunnableParallel):
        return {"names": sorted(part.steps__)}
    code = [one.__code__ for kind in type(part).__mro__ for one in vars(kind).values() if isinstance(one, FunctionType)]
    set_here = {one.argval for own in code for one in dis.get_instructions(own) if one.opname == "STORE_ATTR"}
    fields = {name: own for name, own in vars(part).items() if name in getattr(type(part), "model_fields", {})}
    return {name: own for name, own in fields.items() if name not in set_here and not isinstance(own, _FILLED)}


def _named(part: Any) -> str:
    """A part's class, and the name that it has for its model."""
    params = part._identifying_params if isinstance(part, BaseLanguageModel) else {}
    names = (params.get(name) or getattr(part, name, None) for name in _NAMES)
    return " ".join([type(part).__qualname__, *[name for name in names if isinstance(name, str)][:1]])
