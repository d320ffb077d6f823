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
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_TEXTS = (str, bytes, int, float, complex, type(None), type(...))
_PLAIN = (*_TEXTS, list, tuple, set, frozenset, Mapping, re.Pattern, functools.partial)


def digest_of(function: Callable[..., Any]) -> str:
    """A digest of what a callable does, the same in every process; two different lambdas get two digests.

    The functions, classes and plain values that it uses from its own module count, too. For a callable object, and for
    one whose method this is, the code that its class has from its own module and what the object holds count.
    """
    parts = list(_Reader().parts(function, 0))
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "replace")).hexdigest()[:12]


@functools.singledispatch
def state_of(value: Any) -> Any:
    """What an object holds that makes it what it is.

    A framework registers its own classes (`state_of.register`) whose objects also hold what comes up as they are used.
    """
    try:
        return value.__getstate__()  # without what the object would not keep when it is copied or saved
    except Exception:  # noqa: BLE001 - an object that cannot be saved still is what it holds
        return vars(value) if hasattr(value, "__dict__") else None


class _Reader:
    """Reads what functions are made of. What it has read is not read again, or classes would be endless."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # by their ids, which are theirs as long as they live

    def parts(self, value: Any, depth: int) -> Iterator[str]:
        """What a value is made of, as texts, in an order that is the same in every process."""
        if isinstance(value, _TEXTS):
            yield repr(value)
        elif depth > _DEEPEST or id(value) in self._seen:
            yield getattr(value, "__qualname__", type(value).__qualname__)
        elif isinstance(value, CodeType):
            yield from (value.co_code.hex(), *value.co_names, *value.co_varnames)
            yield from self.parts(value.co_consts, depth)
        elif isinstance(value, Mapping | list | tuple | set | frozenset | MethodType | functools.partial):
            for one in _members(value):
                yield from self.parts(one, depth + 1)
        else:
            self._seen[id(value)] = value
            yield from self._function(value, depth) if isinstance(value, FunctionType) else self._object(value, depth)

    def _function(self, value: FunctionType, depth: int) -> Iterator[str]:
        yield from self.parts(value.__code__, depth)
        yield from self.parts([value.__defaults__, value.__kwdefaults__], depth + 1)
        yield from self.parts(_used(value), depth + 1)
        for cell in value.__closure__ or ():
            try:
                yield from self.parts(cell.cell_contents, depth + 1)
            except ValueError:  # in a function whose definition is not complete yet
                yield "empty"

    def _object(self, value: Any, depth: int) -> Iterator[str]:
        if inspect.isclass(value):
            yield value.__qualname__
            yield from self.parts([_methods(value), _class_values(value)], depth + 1)
        elif _is_registered(value):
            yield type(value).__qualname__
            yield from self.parts(state_of(value), depth + 1)
        elif isinstance(function := inspect.unwrap(value), FunctionType):  # within an `lru_cache`, say
            yield from self.parts(function, depth + 1)
        else:
            text = repr(value)
            yield type(value).__qualname__ if _ADDRESS.search(text) else text
            call = getattr(type(value), "__call__", None)  # noqa: B004 - its code, not whether it has one
            if isinstance(call, FunctionType):
                yield from self._function(call, depth + 1)
                yield from self.parts(_methods(type(value)), depth + 1)
            if callable(value):
                yield from self.parts(state_of(value), depth + 1)


def _members(value: Any) -> list[Any]:
    """The parts of a value, in an order that is the same in every process."""
    if isinstance(value, MethodType):
        owner = value.__self__
        return [value.__func__, owner, *([] if inspect.isclass(owner) else [_methods(type(owner)), state_of(owner)])]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, Mapping):
        return [(repr(key), value[key]) for key in sorted(value, key=repr)]
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)


def _methods(kind: type) -> dict[str, FunctionType]:
    """The functions that a class has from its own module, also within properties, without Python's own names."""
    own = [vars(one) for one in reversed(kind.__mro__) if one.__module__ == kind.__module__]
    named = {name: _function_in(one) for members in own for name, one in members.items()}
    return {name: one for name, one in named.items() if isinstance(one, FunctionType) and not name.startswith("__")}


def _function_in(member: Any) -> Any:
    """What a member of a class runs: of a property, a class method, or something that is wrapped."""
    for name in ("fget", "__func__", "func"):
        member = getattr(member, name, None) or member
    return inspect.unwrap(member)


def _class_values(kind: type) -> dict[str, Any]:
    """The plain values that a class has from its own module, such as the members of an Enum, and its annotations."""
    own = [vars(one) for one in reversed(kind.__mro__) if one.__module__ == kind.__module__]
    plain = {name: one for members in own for name, one in members.items() if isinstance(one, (*_PLAIN, kind))}
    annotations = {name: _ADDRESS.sub("", repr(one)) for name, one in inspect.get_annotations(kind).items()}
    return {name: one for name, one in plain.items() if not name.startswith("_")} | annotations


def _used(function: FunctionType) -> dict[str, Any]:
    """The code and plain values of its own module that a function names, except itself."""
    own = {
        name: function.__globals__[name] for name in sorted(_names(function.__code__)) if name in function.__globals__
    }
    return {name: one for name, one in own.items() if one is not function and _is_of(function.__module__, one)}


def _is_of(module: str, value: Any) -> bool:
    if inspect.isclass(value) or isinstance(inspect.unwrap(value), FunctionType):
        return bool(inspect.unwrap(value).__module__ == module)
    return isinstance(value, _PLAIN) or _is_registered(value)


def _is_registered(value: Any) -> bool:
    """Whether a framework says what makes such an object what it is."""
    return state_of.dispatch(type(value)) is not state_of.dispatch(object)


def _names(code: CodeType) -> set[str]:
    """The names in a function's code and in that of the functions within it."""
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*map(_names, inner))
