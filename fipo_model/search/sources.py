"""The source of classes, as far as it decides what they do: without comments, layout and docstrings."""

import ast
import functools
import inspect
import linecache
from collections.abc import Iterator, Mapping

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_of_class(kind: type) -> str:
    """What a class says, with its defaults, fields, validators and inner classes; empty where there is no source."""
    tree = _tree_of(kind)
    return ast.dump(tree) if tree else ""


def names_in_class(kind: type) -> frozenset[str]:
    """The names that the body of a class uses outside its methods, also in their defaults and decorators."""
    tree = _tree_of(kind)
    if tree is None:
        return frozenset()
    used = frozenset(node.id for node in _names_outside_functions(tree) if isinstance(node.ctx, ast.Load))
    return used - {node.id for node in _names_outside_functions(tree) if isinstance(node.ctx, ast.Store)}


def _tree_of(kind: type) -> ast.ClassDef | None:
    try:
        file = inspect.getsourcefile(kind)
    except (OSError, TypeError):  # made by a call, or typed into `exec`
        return None
    lines = linecache.getlines(file) if file else []
    return _classes_in("".join(lines)).get(kind.__qualname__)


@functools.lru_cache(maxsize=32)  # `inspect.getsource` parses the whole file for every class
def _classes_in(source: str) -> Mapping[str, ast.ClassDef]:
    """The classes of a file by their qualified names, without docstrings."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    for node in ast.walk(tree):
        if isinstance(node, _SCOPES) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return dict(_named_classes(tree, ""))


def _named_classes(node: ast.AST, before: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for inner in ast.iter_child_nodes(node):
        name = f"{before}{inner.name}" if isinstance(inner, _SCOPES) else ""
        if isinstance(inner, ast.ClassDef):
            yield name, inner
        within = f"{name}." if isinstance(inner, ast.ClassDef) else f"{name}.<locals>." if name else before
        yield from _named_classes(inner, within)


def _names_outside_functions(node: ast.AST) -> Iterator[ast.Name]:
    if isinstance(node, ast.Name):
        yield node
    for field, value in ast.iter_fields(node):
        if field == "body" and isinstance(node, _FUNCTIONS):
            continue
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, ast.AST):
                yield from _names_outside_functions(inner)
