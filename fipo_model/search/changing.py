"""What functions change as they run, such as a list of what was seen or a cache: it tells nobody what they do. Pure."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Collection, Iterator, MutableMapping, MutableSequence, MutableSet
from types import CodeType, FunctionType
from typing import Any

_CHANGING = frozenset(
    "append extend insert pop remove clear sort reverse appendleft extendleft popleft "  # of lists and deques
    "add discard update setdefault popitem subtract".split()  # of sets, dictionaries and counters
)
FILLED = (MutableMapping, MutableSequence, MutableSet)


def is_changed(name: str, value: Any, changed: Collection[str]) -> bool:
    """Whether a name is bound anew, or its value is a container that is filled."""
    return name in changed or (isinstance(value, FILLED) and f"{name}[]" in changed)


@functools.lru_cache(maxsize=1024)
def changed_by(code: CodeType) -> frozenset[str]:
    """The names that code binds anew, `self.calls` for an attribute, and with "[]" those whose members it changes.

    Its source tells. Empty where there is none, as for code that was typed into `exec`.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, TypeError, SyntaxError):  # part of a statement, such as a lambda in a call, is no source
        return frozenset()
    return frozenset(name for node in ast.walk(tree) for name in _changed(node))


def within(name: str, changed: Collection[str]) -> set[str]:
    """Of what is changed, the attributes of a name."""
    return {path.split(".")[1] for path in changed if path.startswith(f"{name}.")}


def changed_attributes(methods: dict[str, FunctionType], called: Collection[str]) -> set[str]:
    """The attributes that an object changes in those of its methods that are called, and in those that they call."""
    waiting, seen, found = [name for name in methods if name in called], set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            code = methods[name].__code__
            found |= within("".join(code.co_varnames[:1]), changed_by(code))
            waiting += [other for other in code.co_names if other in methods]
    return found


def cached_in(kind: type) -> set[str]:
    """The attributes that objects of a class get once they are asked for."""
    members = (member for one in kind.__mro__ for member in vars(one).items())
    return {name for name, member in members if isinstance(member, functools.cached_property)}


def _changed(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        yield _path(node)
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        yield f"{_path(node.value)}[]"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
        yield f"{_path(node.func.value)}[]"


def _path(node: ast.AST) -> str:
    """`self.seen` of `self.seen[3]`; empty for what no name holds."""
    if isinstance(node, ast.Subscript):
        return _path(node.value)
    if isinstance(node, ast.Attribute) and (owner := _path(node.value)):
        return f"{owner}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
