"""What distinguishes functions when a search is resumed: their code and what it uses, not their names."""

import functools
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

_DEEPEST = 12


def digest_of(function: Callable[..., Any]) -> str:
    """A digest of what a callable does, the same in every process; two different lambdas get two digests.

    The functions and plain values that it uses from its own module count, too. For a callable object, and for one whose
    method this is, the code that its class has from its own module and the object's own values count.
    """
    parts = list(_parts(function, 0))
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _parts(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield type(value).__qualname__
    elif isinstance(value, CodeType):
        yield from (value.co_code.hex(), *value.co_names, *value.co_varnames)
        yield from _parts(value.co_consts, depth)
    elif isinstance(value, FunctionType):
        yield from _function(value, depth)
    elif isinstance(value, Mapping | list | tuple | set | frozenset | MethodType | functools.partial):
        for one in _members(value):
            yield from _parts(one, depth + 1)
    else:
        yield from _object(value, depth)


def _members(value: Any) -> list[Any]:
    """The parts of a value, in an order that is the same in every process."""
    if isinstance(value, MethodType):
        owner = value.__self__
        return [value.__func__, owner, _methods(owner), {} if inspect.isclass(owner) else _values(owner)]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, Mapping):
        return [(repr(key), value[key]) for key in sorted(value, key=repr)]
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)


def _function(value: FunctionType, depth: int) -> Iterator[str]:
    yield from _parts(value.__code__, depth)
    yield from _parts([value.__defaults__, value.__kwdefaults__], depth + 1)
    yield from _parts(_used(value), depth + 1)
    for cell in value.__closure__ or ():
        try:
            yield from _parts(cell.cell_contents, depth + 1)
        except ValueError:  # in a function whose definition is not complete yet
            yield "empty"


def _object(value: Any, depth: int) -> Iterator[str]:
    is_class = inspect.isclass(value)
    text = repr(value)
    if " at 0x" in text or is_class:
        text = value.__qualname__ if is_class else type(value).__qualname__
    yield text
    call = getattr(type(value), "__call__", None)  # noqa: B004 - its code, not whether it has one
    if isinstance(call, FunctionType):
        yield from _function(call, depth + 1)
        yield from _parts(_methods(value), depth + 1)
    if callable(value) and not is_class:
        yield from _parts(_values(value), depth + 1)


def _methods(value: Any) -> dict[str, FunctionType]:
    """The functions that an object's class, or a class itself, has from its own module, without Python's own names."""
    kind = value if inspect.isclass(value) else type(value)
    own = [vars(one) for one in reversed(kind.__mro__) if one.__module__ == kind.__module__]
    named = {name: getattr(one, "__func__", one) for members in own for name, one in members.items()}
    return {name: one for name, one in named.items() if isinstance(one, FunctionType) and not name.startswith("__")}


def _used(function: FunctionType) -> dict[str, Any]:
    """The code and plain values of its own module that a function names, except itself."""
    own = {
        name: function.__globals__[name] for name in sorted(_names(function.__code__)) if name in function.__globals__
    }
    return {name: one for name, one in own.items() if one is not function and _is_of(function.__module__, one)}


def _is_of(module: str, value: Any) -> bool:
    if isinstance(value, FunctionType):
        return value.__module__ == module
    return isinstance(value, str | int | float | list | tuple | set | frozenset | Mapping | re.Pattern)


def _names(code: CodeType) -> set[str]:
    """The names in a function's code and in that of the functions within it."""
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _values(value: Any) -> dict[str, Any]:
    """What an object holds, in its dictionary or in slots."""
    kinds = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    slots = [name for names in kinds for name in ([names] if isinstance(names, str) else names)]
    return {**getattr(value, "__dict__", {}), **{name: getattr(value, name) for name in slots if hasattr(value, name)}}
