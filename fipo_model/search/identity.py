"""What distinguishes metrics and data when a search is resumed: code and values, not names or places in memory."""

import copyreg
import dis
import functools
import hashlib
import inspect
import os
import pickle
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from fipo_model.search.changing import FILLED, cached_in, changed_attributes, changed_by, is_changed, within
from fipo_model.search.sources import names_in_class, source_of_class

_DEEPEST = 40
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_CREDENTIAL = re.compile(
    r"(?:^|_)(?:api_?)?key(?:_|$)|secret|password|credential|authorization|(?:^|_)token(?:_provider)?$|headers$",
    re.IGNORECASE,
)
# Of the user's own code, where a "key" may be that of a row.
_PLAIN_CREDENTIAL = re.compile(
    r"api_?key|secret|password|credential|authorization|(?:access|auth|bearer|refresh|session)_?token|^bearer$"
    r"|(?:extra|default)_headers$",
    re.IGNORECASE,
)
_CONTAINERS = (Mapping, list, tuple, set, frozenset)
_TEXTS = (str, bytes, int, float, complex, type(None), type(...))
_BY_THEMSELVES = ("__call__", "forward")  # what runs an object, a framework's, too


def digest_of(function: Any, *, by_type: Callable[[Any], bool] | None = None) -> str:
    """A digest of what a metric does, the same in every process; two different lambdas get two digests.

    Its code counts, and so do the functions, classes and values that it uses, unless they are of an installed package:
    functions and classes from there count by their names, and objects (clients, say) by their texts, except for values
    such as dates and arrays. What its own code changes as it runs, such as a cache, does not count (see `changed_by`).
    For a callable object, and for one whose method this is, the code of its class and what the object holds count.
    `by_type` tells the objects of which only the type counts.
    """
    return _hashed(_Reader(by_type=by_type).parts(function, is_whole=True))


def digest_of_data(value: Any) -> str:
    """A digest of all that a value holds, the same in every process.

    An object that does not tell what it holds counts as itself alone, so that it is another one in another process.
    """
    return _hashed(_Reader(is_data=True).parts(value))


@functools.singledispatch
def state_of(value: Any) -> Any:
    """What an object holds that makes it what it is: what pickle would keep of it, its attributes by their names.

    A framework registers its own classes (`state_of.register`) whose objects also hold what comes up as they are used.
    """
    reduce = copyreg.dispatch_table.get(type(value))
    found: Any = value.__reduce_ex__(4) if reduce is None else reduce(value)
    if isinstance(found, str):  # the name of a constant
        return found
    arguments, state, items, pairs = (*found[1:5], None, None, None)[:4]
    rest = [arguments, list(items or ()), list(pairs or ())]
    own, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if all(isinstance(one, dict | None) for one in (own, slots)):
        return {**(own or {}), **(slots or {}), "": rest}
    return [*rest, state]


def without_credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a client without those whose names are of keys, tokens or headers: they are renewed now and then."""
    return {name: own for name, own in options.items() if not _CREDENTIAL.search(str(name))}


def _hashed(parts: Iterator[str]) -> str:
    found = hashlib.sha256()
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:%b" % (len(text), text))
    return found.hexdigest()[:16]


class _Reader:
    """Reads what values are made of. Code that it has read is not read again, or classes would be endless."""

    def __init__(self, *, is_data: bool = False, by_type: Callable[[Any], bool] | None = None) -> None:
        self._is_data, self._by_type = is_data, by_type
        self._code: dict[int, tuple[int, Any]] = {}
        """What was read, by ids, which are theirs as long as they live, with its place."""
        self._within: dict[int, Any] = {}
        """What is being read, from the outside in."""
        self._called = {*_BY_THEMSELVES}
        self._changed: dict[int, tuple[set[str], Any]] = {}
        """The attributes of objects that functions change."""
        self._is_in_value = False

    def parts(self, value: Any, *, is_whole: bool = False) -> Iterator[str]:
        """What a value is made of, as texts, in an order that is the same in every process.

        `is_whole` says that an object counts with all it holds, even if it is of an installed package.
        """
        if isinstance(value, _TEXTS):
            yield _ADDRESS.sub("", repr(value))
        elif id(value) in self._code:
            yield f"code {self._code[id(value)][0]}"
        elif id(value) in self._within:
            yield f"within {list(self._within).index(id(value))}"
        elif self._by_type is not None and self._by_type(value):
            yield type(value).__qualname__
        elif len(self._within) > _DEEPEST or isinstance(value, ModuleType):
            yield type(value).__qualname__ if isinstance(value, _CONTAINERS) else _shown(value)  # sets have no order
        elif value is os.environ:  # another one in every terminal
            yield "environ"
        else:
            if inspect.isclass(value) or isinstance(value, FunctionType):
                self._code[id(value)] = (len(self._code), value)
            self._within[id(value)] = value
            yield f"{type(value).__qualname__}("
            yield from self._inner(value, is_whole=is_whole)
            yield ")"
            del self._within[id(value)]

    def _inner(self, value: Any, *, is_whole: bool) -> Iterator[str]:
        if isinstance(value, (CodeType, *_CONTAINERS)):
            for one in _members(value, has_credentials=self._is_data):
                yield from self.parts(one)
        elif isinstance(value, functools.partial):
            yield from self.parts(value.func, is_whole=True)
            yield from self.parts([value.args, value.keywords])
        elif isinstance(value, MethodType):
            self._called.add(value.__func__.__name__)
            yield from self.parts(value.__func__)
            yield from self.parts(value.__self__, is_whole=True)
        elif inspect.isclass(value):
            yield from self._class(value, is_whole=is_whole)
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        else:
            yield from self._object(value, is_whole=is_whole)

    def _function(self, function: FunctionType) -> Iterator[str]:
        changed, held = changed_by(function.__code__), _held_by(function)
        if hasattr(function, "__wrapped__") and _is_installed(function.__globals__.get("__name__")):
            # What a decorator keeps count with is its own matter.
            held = {name: one for name, one in held.items() if isinstance(one, (*_TEXTS, FunctionType, dict))}
        self._called |= _names(function.__code__, are_global=False)
        yield from self.parts(function.__code__)
        for name, value in held.items():
            yield name
            if not is_changed(name, value, changed) and not _PLAIN_CREDENTIAL.search(name):
                if attributes := within(name, changed):
                    self._changed[id(value)] = (attributes, value)
                yield from self.parts(value)

    def _class(self, kind: type, *, is_whole: bool) -> Iterator[str]:
        yield _shown(kind)
        if self._is_data or (_is_installed(kind.__module__) and not is_whole):
            return
        yield source_of_class(kind)
        yield from self.parts(_named_by_class(kind))
        methods, values = _methods(kind), _class_values(kind)
        changed = changed_attributes(methods, self._called)
        yield from self.parts(methods)
        yield from self.parts({name: one for name, one in values.items() if not is_changed(name, one, changed)})

    def _object(self, value: Any, *, is_whole: bool) -> Iterator[str]:
        kind = type(value)
        function = _unwrapped(value) if _is_installed(kind.__module__) else value
        if isinstance(function, FunctionType):  # within an `lru_cache`, say
            yield from self.parts(function)
            return
        yield from self.parts(kind, is_whole=is_whole and not _is_registered(value))
        if is_whole or self._is_data or _is_read(value):
            yield from self._state(value)
        else:
            yield _saved(value) if self._is_in_value else _shown(value)

    def _state(self, value: Any) -> Iterator[str]:
        kind, before = type(value), self._is_in_value
        try:
            state = state_of(value)
        except Exception:  # noqa: BLE001 - an object that cannot be saved still is what it holds
            state = vars(value) if hasattr(value, "__dict__") else None
            if state is None:
                yield str(id(value)) if self._is_data else _shown(value)
        if isinstance(state, Mapping) and not self._is_data:
            changed = changed_attributes(_methods(kind), self._called) | cached_in(kind)
            changed |= self._changed.get(id(value), (set[str](), None))[0]
            state = {name: own for name, own in state.items() if not is_changed(name, own, changed)}
            state = without_credentials(state) if _is_installed(kind.__module__) else state
        self._is_in_value = before or (_is_installed(kind.__module__) and not _is_registered(value))
        yield from self.parts(state)
        self._is_in_value = before


def _shown(value: Any) -> str:
    """A function or a class by its name, and an object by its text, where this is not one in angle brackets."""
    if isinstance(name := getattr(value, "__qualname__", None) or getattr(value, "__name__", None), str):
        return f"{getattr(value, '__module__', '')}.{name}"
    text = _ADDRESS.sub("", repr(value))
    return type(value).__qualname__ if text.startswith("<") else text


def _saved(value: Any) -> str:
    """What belongs to a value, such as the memory of a tensor or the columns of a table; a client's connections not."""
    try:
        # What is saved of a tensor differs from process to process.
        saved = value.__array__() if hasattr(type(value), "__array__") else value
        return repr(pickle.dumps(saved, protocol=4))
    except Exception:  # noqa: BLE001 - whatever its own code raises
        return _shown(value)


def _unwrapped(value: Any) -> Any:
    """What a decorated function runs; not of objects that have whatever attribute they are asked for."""
    try:
        return inspect.unwrap(value) if callable(value) else value
    except ValueError:  # whatever it is asked for, such an object answers with another one
        return value


def _is_installed(module: str | None) -> bool:
    """Whether a module is Python's own or of an installed package, and not the user's code."""
    path = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    is_pythons = (module or "").partition(".")[0] in sys.stdlib_module_names
    return is_pythons or re.search(r"(?:site|dist)-packages", path) is not None


def _is_read(value: Any) -> bool:
    """Whether an object counts with what it holds: one of the user's, one that is registered, or a value.

    A value is what equals another one that holds the same. Others are clients, models, locks and the like.
    """
    return (
        not _is_installed(type(value).__module__)
        or _is_registered(value)
        or "__eq__" in {name for kind in type(value).__mro__[:-1] for name in vars(kind)}
    )


def _is_registered(value: Any) -> bool:
    """Whether a framework says what makes such an object what it is."""
    return state_of.dispatch(type(value)) is not state_of.dispatch(object)


def _members(value: Any, *, has_credentials: bool) -> list[Any]:
    """The parts of code or of a container, in an order that is the same in every process."""
    if isinstance(value, CodeType):
        return [value.co_code, value.co_exceptiontable, value.co_names, value.co_varnames, value.co_consts]
    if isinstance(value, Mapping):
        keys = [key for key in value if has_credentials or not _PLAIN_CREDENTIAL.search(str(key))]
        return [(key, value[key]) for key in sorted(keys, key=_order)]
    return sorted(value, key=_order) if isinstance(value, set | frozenset) else list(value)


def _order(value: Any) -> str:
    return repr(value) if isinstance(value, _TEXTS) else digest_of_data(value)


def _held_by(function: FunctionType) -> dict[str, Any]:
    """What a function holds, by the names that it has for it: defaults, what surrounds it, and globals."""
    code, arguments = function.__code__, function.__code__.co_varnames[: function.__code__.co_argcount]
    positional = dict(zip(arguments[::-1], (function.__defaults__ or ())[::-1], strict=False))
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    enclosed = {name: cell.cell_contents for name, cell in cells.items() if not _is_empty(cell)}
    found = {**positional, **(function.__kwdefaults__ or {}), **enclosed}
    named = _globals_named(_names(code, are_global=True), function.__globals__)
    for name, module in [*named.items()]:
        if isinstance(module, ModuleType) and not _is_installed(module.__name__):
            members = _globals_named(_names(code, are_global=False), vars(module))
            named |= {f"{name}.{member}": one for member, one in members.items()}
    return found | {name: _as_used(one, function.__module__) for name, one in named.items() if one is not function}


def _globals_named(names: Collection[str], there: Mapping[str, Any]) -> dict[str, Any]:
    """The values of those names that a module has."""
    return {name: there[name] for name in sorted(names) if name in there}


def _named_by_class(kind: type) -> dict[str, Any]:
    """What the body of a class names outside its methods: the types of its fields, defaults and decorators.

    Lists, dictionaries and the like may be filled as the metric runs, by whomever.
    """
    named = _globals_named(names_in_class(kind), vars(sys.modules.get(kind.__module__, object)))
    lasting = {name: one for name, one in named.items() if not isinstance(one, FILLED)}
    return {name: _as_used(one, kind.__module__) for name, one in lasting.items()}


def _is_empty(cell: CellType) -> bool:
    """Whether it belongs to a function whose definition is not complete yet."""
    try:
        return cell.cell_contents is cell
    except ValueError:
        return True


def _as_used(value: Any, module: str | None) -> Any:
    """A global as a function or class of a module has it: itself, or only its name or text."""
    code = _unwrapped(value)
    if inspect.isclass(code) or isinstance(code, FunctionType):
        return value if not _is_installed(code.__module__) or code.__module__ == module else _shown(code)
    is_plain = isinstance(value, (*_TEXTS, functools.partial, MethodType))
    return value if is_plain or _is_read(value) else _shown(value)


def _names(code: CodeType, *, are_global: bool) -> set[str]:
    """The names of globals or those of attributes in a function's code, and in that of the functions within it."""
    globals_here = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (_names(one, are_global=are_global) for one in code.co_consts if isinstance(one, CodeType))
    return (globals_here if are_global else {*code.co_names} - globals_here).union(*inner)


def _methods(kind: type) -> dict[str, FunctionType]:
    """The functions that a class has from the user's code or its own module, also within properties."""
    named = {name: _function_in(one) for name, one in _own_members(kind).items()}
    return {
        name: one
        for name, one in named.items()
        if isinstance(one, FunctionType) and (name == "__call__" or not name.startswith("__"))
    }


def _function_in(member: Any) -> Any:
    """What a member of a class runs: of a property, a class method, or something that is wrapped."""
    for name in ("fget", "__func__", "func"):
        member = getattr(member, name, None) or member
    return inspect.unwrap(member)


def _class_values(kind: type) -> dict[str, Any]:
    """The values that a class has from there, such as the members of an Enum, and its annotations."""
    plain = (*_TEXTS, functools.partial)
    members = _own_members(kind).items()  # a protocol and a typed dictionary refuse to be asked what is theirs
    named = {name: one for name, one in members if isinstance(one, plain) or kind in type(one).__mro__ or _is_read(one)}
    annotations = {name: _ADDRESS.sub("", repr(one)) for name, one in inspect.get_annotations(kind).items()}
    values = {name: one for name, one in named.items() if not isinstance(_function_in(one), FunctionType)}
    return {name: one for name, one in values.items() if not name.startswith("_")} | annotations


def _own_members(kind: type) -> dict[str, Any]:
    mine = [one for one in reversed(kind.__mro__) if not _is_installed(one.__module__)]
    own = mine or [one for one in reversed(kind.__mro__) if one.__module__ == kind.__module__]
    return {name: member for one in own for name, member in vars(one).items()}
